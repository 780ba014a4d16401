//! An open file: of a lower until it is written to, by whomever, and of the upper from then on.

use core::cell::RefCell;
use std::sync::Arc;

use parking_lot::RwLock;
use vnode_core::fs::{Access, Allocate, File, Filesystem, SeekFor};
use vnode_core::io::{Sink, Source};
use vnode_core::{Cx, Errno, Result};

use crate::copy_up::First;
use crate::layers::{self, Own, UPPER};
use crate::leave::with_leave;
use crate::node::Node;
use crate::overlay::Shared;

/// The layer's file that is open now.
struct Real {
    in_upper: bool,
    file: Arc<dyn File>,
}

/// An open regular file.
pub(crate) struct OverlayFile {
    shared: Arc<Shared>,
    node: Arc<Node>,
    access: Access,
    real: RwLock<Real>,
}

impl OverlayFile {
    /// Opens a file. One of a lower is opened for reading: it is copied up when it is written to.
    pub(crate) fn open(
        cx: &Cx<'_>,
        shared: &Arc<Shared>,
        node: &Arc<Node>,
        access: Access,
    ) -> Result<Arc<dyn File>> {
        let (layer, inode) = node.shown()?;
        let (in_upper, fs) = (layer == UPPER, shared.layers.fs(layer));
        // Of a lower not even the access times are changed, which some filesystems must know by now.
        let file = match in_upper {
            true => fs.open(cx, inode, access),
            false => fs.open(&cx.keeping_atime(), inode, Access::READ),
        }?;
        Ok(OverlayFile::opened(shared, node, access, in_upper, file))
    }

    /// One whose layer's file is open.
    pub(crate) fn opened(
        shared: &Arc<Shared>,
        node: &Arc<Node>,
        access: Access,
        in_upper: bool,
        file: Arc<dyn File>,
    ) -> Arc<dyn File> {
        let real = RwLock::new(Real { in_upper, file });
        Arc::new(OverlayFile { shared: Arc::clone(shared), node: Arc::clone(node), access, real })
    }

    /// What is to be read now: the upper's file as soon as there is one.
    fn current(&self, cx: &Cx<'_>) -> Result<Arc<dyn File>> {
        let real = self.real.read();
        let Some(upper) = self.node.upper().filter(|_| !real.in_upper) else {
            return Ok(Arc::clone(&real.file));
        };
        drop(real);
        let file = self.shared.open_again(cx, &self.node, upper, self.access)?;
        Ok(self.goes_on_as(file))
    }

    /// Has the upper's file be the one that is open.
    fn goes_on_as(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        *self.real.write() = Real { in_upper: true, file: Arc::clone(&file) };
        file
    }

    /// What is to be changed now: the upper's file, copied up if it wasn't. A copy that may not be changed isn't kept.
    fn copied(&self, cx: &Cx<'_>) -> Result<Arc<dyn File>> {
        if self.node.upper().is_none() {
            let opened = RefCell::new(None);
            let open = |copy: &layers::Real| {
                *opened.borrow_mut() = Some(self.shared.layers.upper.fs.open(cx, copy, self.access)?);
                Ok(())
            };
            self.shared.copy_and(cx, &self.node, &First { size: None, act: &open })?;
            if let Some(file) = opened.into_inner() {
                return Ok(self.goes_on_as(file));
            }
        }
        self.current(cx)
    }

    /// Changes the file, which is copied up if it wasn't.
    fn change<T>(&self, cx: &Cx<'_>, change: impl FnOnce(&dyn File) -> Result<T>) -> Result<T> {
        let changed = change(&*self.copied(cx)?)?;
        self.node.changed();
        Ok(changed)
    }
}

impl Shared {
    /// Opens what is in the upper for those who had it open already, whatever its mode is by now: nobody sees that the
    /// layer's file is another one.
    fn open_again(
        &self,
        cx: &Cx<'_>,
        node: &Arc<Node>,
        upper: &layers::Real,
        access: Access,
    ) -> Result<Arc<dyn File>> {
        let fs = &self.layers.upper.fs;
        match fs.open(cx, upper, access) {
            Err(Errno::ACCES) => {}
            opened => return opened,
        }
        let own = Own::during(cx);
        let own = own.cx();
        // Nobody sets the mode meanwhile, or takes leave himself.
        let _alone = node.copying.lock();
        let before = self.attr(&own, node)?.ctime;
        let opened = with_leave(&own, fs, &[upper], || fs.open(cx, upper, access));
        self.restore_ctime(&own, node, before);
        opened
    }
}

impl File for OverlayFile {
    fn read_at(&self, cx: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize> {
        let file = self.current(cx)?;
        // A lower is never changed, not even its access times.
        if self.node.upper().is_some() {
            file.read_at(cx, offset, into)
        } else {
            file.read_at(&cx.keeping_atime(), offset, into)
        }
    }

    fn write_at(&self, cx: &Cx<'_>, offset: u64, from: &mut Source<'_>) -> Result<usize> {
        if from.remaining() == 0 {
            return Ok(0);
        }
        self.change(cx, |file| file.write_at(cx, offset, from))
    }

    fn append(&self, cx: &Cx<'_>, from: &mut Source<'_>) -> Result<(usize, u64)> {
        if from.remaining() == 0 && self.node.upper().is_none() {
            return Ok((0, self.shared.attr(cx, &self.node)?.size));
        }
        self.change(cx, |file| file.append(cx, from))
    }

    fn set_len(&self, cx: &Cx<'_>, len: u64) -> Result<()> {
        let upper = &self.shared.layers.upper.fs;
        let act = |copy: &layers::Real| upper.open(cx, copy, self.access)?.set_len(cx, len);
        if self.shared.copy_and(cx, &self.node, &First { size: Some(len), act: &act })? {
            return Ok(());
        }
        self.change(cx, |file| file.set_len(cx, len))
    }

    fn allocate(&self, cx: &Cx<'_>, how: Allocate, offset: u64, len: u64) -> Result<()> {
        self.change(cx, |file| file.allocate(cx, how, offset, len))
    }

    fn seek_data_or_hole(&self, cx: &Cx<'_>, what: SeekFor, offset: u64) -> Result<u64> {
        self.current(cx)?.seek_data_or_hole(cx, what, offset)
    }

    fn copy_range(
        &self,
        cx: &Cx<'_>,
        offset: u64,
        from: &dyn File,
        from_offset: u64,
        len: u64,
    ) -> Result<u64> {
        self.change(cx, |file| file.copy_range(cx, offset, from, from_offset, len))
    }

    fn lend(&self, cx: &Cx<'_>, take: &mut dyn FnMut(&dyn File) -> Result<u64>) -> Result<u64> {
        let file = self.current(cx)?;
        if self.node.upper().is_some() { file.lend(cx, take) } else { file.lend(&cx.keeping_atime(), take) }
    }

    fn sync(&self, cx: &Cx<'_>, data_only: bool) -> Result<()> {
        if self.node.upper().is_none() {
            return Ok(());
        }
        self.shared.layers.meta_to_medium(cx)?;
        self.current(cx)?.sync(cx, data_only)
    }
}
