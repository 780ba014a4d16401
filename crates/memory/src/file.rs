//! An open regular file: the inode itself, so that opening allocates nothing.

use core::any::Any;

use vnode_core::fs::{Allocate, File, SeekFor};
use vnode_core::io::{Sink, Source};
use vnode_core::{Cx, Errno, Mode, Result, access};

use crate::chunk::CHUNK;
use crate::content::Content;
use crate::extent::Extent;
use crate::node::Node;

impl Node {
    /// Notes that the content was changed; called with the content still locked.
    pub(crate) fn content_changed(&self, cx: &Cx<'_>, content: &Content) {
        let now = cx.now();
        let mut meta = self.meta.write();
        meta.modified(now);
        meta.size = content.size();
        meta.pages = content.pages();
        if meta.mode.intersects(Mode::SETUID | Mode::SETGID)
            && let Some(mode) = access::mode_after_write(cx, &self.attr_of(&meta))
        {
            meta.mode = mode;
        }
    }
}

impl File for Node {
    fn read_at(&self, cx: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize> {
        let done = self.content()?.read().read(offset, into);
        self.meta.accessed(cx);
        Ok(done)
    }

    fn write_at(&self, cx: &Cx<'_>, offset: u64, from: &mut Source<'_>) -> Result<usize> {
        let mut content = self.content()?.write();
        let done = content.write(&self.shared.quota, offset, from)?;
        if done > 0 {
            self.content_changed(cx, &content);
        }
        Ok(done)
    }

    fn append(&self, cx: &Cx<'_>, from: &mut Source<'_>) -> Result<(usize, u64)> {
        let mut content = self.content()?.write();
        let end = content.size();
        let done = content.write(&self.shared.quota, end, from)?;
        if done > 0 {
            self.content_changed(cx, &content);
        }
        Ok((done, content.size()))
    }

    fn set_len(&self, cx: &Cx<'_>, len: u64) -> Result<()> {
        let mut content = self.content()?.write();
        content.set_size(&self.shared.quota, len)?;
        self.content_changed(cx, &content);
        Ok(())
    }

    fn allocate(&self, cx: &Cx<'_>, how: Allocate, offset: u64, len: u64) -> Result<()> {
        let mut content = self.content()?.write();
        content.allocate(&self.shared.quota, how, offset, len)?;
        self.content_changed(cx, &content);
        Ok(())
    }

    fn seek_data_or_hole(&self, _cx: &Cx<'_>, what: SeekFor, offset: u64) -> Result<u64> {
        self.content()?.read().seek(what, offset)
    }

    /// Of a file of any memory filesystem, at multiples of a chunk.
    fn copy_range(
        &self,
        cx: &Cx<'_>,
        offset: u64,
        from: &dyn File,
        from_offset: u64,
        len: u64,
    ) -> Result<u64> {
        // One lock at a time, for both may be the same file.
        let extent = match (from as &dyn Any).downcast_ref::<Node>() {
            Some(from) => {
                let extent = from.content()?.read().extent(from_offset, len).ok_or(Errno::OPNOTSUPP)?;
                from.meta.accessed(cx);
                extent
            }
            None if offset.is_multiple_of(CHUNK) => Extent::foreign(&from.in_place(cx, from_offset, len)?),
            None => return Err(Errno::OPNOTSUPP),
        };
        let len = extent.len();
        if len > 0 {
            let mut content = self.content()?.write();
            content.take_extent(&self.shared.quota, offset, extent)?;
            self.content_changed(cx, &content);
        }
        Ok(len)
    }

    fn lend(&self, _cx: &Cx<'_>, take: &mut dyn FnMut(&dyn File) -> Result<u64>) -> Result<u64> {
        take(self)
    }

    fn sync(&self, _cx: &Cx<'_>, _data_only: bool) -> Result<()> {
        Ok(())
    }
}
