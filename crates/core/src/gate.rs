//! What stands before a filesystem that may block: each of its calls, and of its files' and listings', asks first
//! whether the thread may ([`blocking`]).

use core::ops::ControlFlow;
use std::sync::Arc;

use crate::attr::{Attr, SetAttr, StatFs};
use crate::blocking;
use crate::cx::Cx;
use crate::erase::{AnyFilesystem, Node, NodeAt};
use crate::errno::Result;
use crate::fs::{
    Access, Allocate, DirEntry, DirStream, File, Inode, LinkTarget, NewInode, Remove, Rename, Run, RunEnd,
    SeekFor, SetXattr, Want,
};
use crate::io::{Sink, Source};
use crate::path::NameBuf;

/// A filesystem behind the gate.
pub(crate) struct Gate<F>(pub(crate) Arc<F>);

/// A file behind the gate.
struct GatedFile(Arc<dyn File>);

/// A file that something asks for: itself, or what is put before it.
fn gated(file: Arc<dyn File>) -> Arc<dyn File> {
    if file.asks_itself() { file } else { Arc::new(GatedFile(file)) }
}

/// A listing behind the gate.
struct GatedListing(Box<dyn DirStream>);

/// Methods that ask and forward.
macro_rules! ask_first {
    ($(fn $name:ident(&self $(, $arg:ident: $type:ty)*) -> $result:ty;)*) => {
        $(
            fn $name(&self $(, $arg: $type)*) -> $result {
                blocking::check()?;
                self.0.$name($($arg),*)
            }
        )*
    };
}

impl<F: AnyFilesystem> AnyFilesystem for Gate<F> {
    // A filesystem has its root at hand.
    fn root(&self) -> Node {
        self.0.root()
    }

    fn create_open(
        &self,
        cx: &Cx<'_>,
        at: NodeAt<'_>,
        new: NewInode<'_>,
        access: Access,
    ) -> Result<(Node, Arc<dyn File>)> {
        blocking::check()?;
        let (node, file) = self.0.create_open(cx, at, new, access)?;
        Ok((node, gated(file)))
    }

    fn open(&self, cx: &Cx<'_>, inode: &Node, access: Access) -> Result<Arc<dyn File>> {
        blocking::check()?;
        self.0.open(cx, inode, access).map(gated)
    }

    fn open_run(
        &self,
        cx: &Cx<'_>,
        dir: &Node,
        run: &mut Run<'_>,
        access: Access,
    ) -> Result<RunEnd<dyn Inode>> {
        blocking::check()?;
        let end = self.0.open_run(cx, dir, run, access)?;
        run.wrap_opened(gated);
        Ok(end)
    }

    fn open_dir(&self, cx: &Cx<'_>, dir: &Node) -> Result<Box<dyn DirStream>> {
        blocking::check()?;
        Ok(Box::new(GatedListing(self.0.open_dir(cx, dir)?)))
    }

    ask_first! {
        fn statfs(&self, cx: &Cx<'_>) -> Result<StatFs>;
        fn lookup(&self, cx: &Cx<'_>, at: NodeAt<'_>) -> Result<Node>;
        fn parent(&self, cx: &Cx<'_>, dir: &Node) -> Result<Node>;
        fn name_of(&self, cx: &Cx<'_>, dir: &Node, out: &mut NameBuf) -> Result<()>;
        fn create(&self, cx: &Cx<'_>, at: NodeAt<'_>, new: NewInode<'_>) -> Result<Node>;
        fn link(&self, cx: &Cx<'_>, at: NodeAt<'_>, target: &Node) -> Result<()>;
        fn remove(&self, cx: &Cx<'_>, at: NodeAt<'_>, what: Remove) -> Result<()>;
        fn rename(&self, cx: &Cx<'_>, from: NodeAt<'_>, to: NodeAt<'_>, how: Rename) -> Result<()>;
        fn readlink(&self, cx: &Cx<'_>, link: &Node) -> Result<LinkTarget>;
        fn getattr(&self, cx: &Cx<'_>, inode: &Node) -> Result<Attr>;
        fn setattr(&self, cx: &Cx<'_>, inode: &Node, set: &SetAttr) -> Result<()>;
        fn sync(&self, cx: &Cx<'_>, inode: &Node, data_only: bool) -> Result<()>;
        fn resolve_run(
            &self, cx: &Cx<'_>, dir: &Node, run: &mut Run<'_>, want: Want
        ) -> Result<RunEnd<dyn Inode>>;
        fn get_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8]) -> Result<Arc<[u8]>>;
        fn set_xattr(
            &self, cx: &Cx<'_>, inode: &Node, name: &[u8], value: &[u8], how: SetXattr
        ) -> Result<()>;
        fn list_xattr(&self, cx: &Cx<'_>, inode: &Node, emit: &mut dyn FnMut(&[u8])) -> Result<()>;
        fn remove_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8]) -> Result<()>;
    }
}

impl File for GatedFile {
    ask_first! {
        fn read_at(&self, cx: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize>;
        fn write_at(&self, cx: &Cx<'_>, offset: u64, from: &mut Source<'_>) -> Result<usize>;
        fn append(&self, cx: &Cx<'_>, from: &mut Source<'_>) -> Result<(usize, u64)>;
        fn set_len(&self, cx: &Cx<'_>, len: u64) -> Result<()>;
        fn allocate(&self, cx: &Cx<'_>, how: Allocate, offset: u64, len: u64) -> Result<()>;
        fn seek_data_or_hole(&self, cx: &Cx<'_>, what: SeekFor, offset: u64) -> Result<u64>;
        fn sync(&self, cx: &Cx<'_>, data_only: bool) -> Result<()>;
        fn copy_range(
            &self, cx: &Cx<'_>, offset: u64, from: &dyn File, from_offset: u64, len: u64
        ) -> Result<u64>;
        fn lend(&self, cx: &Cx<'_>, take: &mut dyn FnMut(&dyn File) -> Result<u64>) -> Result<u64>;
    }
}

impl DirStream for GatedListing {
    fn list(
        &mut self,
        cx: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        blocking::check()?;
        self.0.list(cx, cookie, emit)
    }
}
