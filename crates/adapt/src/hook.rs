//! What a decorator does with every call, and open files and listings that have it done.

use core::ops::ControlFlow;
use std::sync::Arc;

use vnode_core::fs::{Allocate, DirEntry, DirStream, File, InodeId, SeekFor};
use vnode_core::io::{Sink, Source};
use vnode_core::{Cx, Result};

use crate::call::{Call, Op};

/// What a decorator does with every call. Clones share their state: each open file has one.
pub(crate) trait Hook: Clone + Send + Sync + 'static {
    /// Carries a call out by `forward`, or doesn't.
    fn around<T>(
        &self,
        cx: &Cx<'_>,
        call: &Call<'_>,
        forward: impl FnOnce(&Cx<'_>) -> Result<T>,
    ) -> Result<T>;

    /// The same for a call that moves `asked` bytes, of which `forward` is told how many it may move.
    fn transfer<T>(
        &self,
        cx: &Cx<'_>,
        call: &Call<'_>,
        asked: usize,
        forward: impl FnOnce(&Cx<'_>, usize) -> Result<T>,
    ) -> Result<T> {
        self.around(cx, call, |cx| forward(cx, asked))
    }
}

/// An open file of a decorated filesystem.
pub(crate) struct HookedFile<H> {
    pub(crate) file: Arc<dyn File>,
    pub(crate) inode: InodeId,
    pub(crate) hook: H,
}

impl<H: Hook> HookedFile<H> {
    pub(crate) fn opened(file: Arc<dyn File>, inode: InodeId, hook: &H) -> Arc<dyn File> {
        Arc::new(HookedFile { file, inode, hook: hook.clone() })
    }

    fn call(&self, op: Op) -> Call<'static> {
        Call::of(op, self.inode)
    }
}

impl<H: Hook> File for HookedFile<H> {
    fn read_at(&self, cx: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize> {
        self.hook.transfer(cx, &self.call(Op::Read), into.remaining(), |cx, limit| {
            let done = self.file.read_at(cx, offset, &mut into.first(limit))?;
            into.advance(done);
            Ok(done)
        })
    }

    fn write_at(&self, cx: &Cx<'_>, offset: u64, from: &mut Source<'_>) -> Result<usize> {
        self.hook.transfer(cx, &self.call(Op::Write), from.remaining(), |cx, limit| {
            let done = self.file.write_at(cx, offset, &mut from.first(limit))?;
            from.advance(done);
            Ok(done)
        })
    }

    fn append(&self, cx: &Cx<'_>, from: &mut Source<'_>) -> Result<(usize, u64)> {
        self.hook.transfer(cx, &self.call(Op::Append), from.remaining(), |cx, limit| {
            let (done, end) = self.file.append(cx, &mut from.first(limit))?;
            from.advance(done);
            Ok((done, end))
        })
    }

    fn set_len(&self, cx: &Cx<'_>, len: u64) -> Result<()> {
        self.hook.around(cx, &self.call(Op::SetLen), |cx| self.file.set_len(cx, len))
    }

    fn allocate(&self, cx: &Cx<'_>, how: Allocate, offset: u64, len: u64) -> Result<()> {
        self.hook.around(cx, &self.call(Op::Allocate), |cx| self.file.allocate(cx, how, offset, len))
    }

    fn seek_data_or_hole(&self, cx: &Cx<'_>, what: SeekFor, offset: u64) -> Result<u64> {
        self.hook.around(cx, &self.call(Op::Seek), |cx| self.file.seek_data_or_hole(cx, what, offset))
    }

    fn copy_range(
        &self,
        cx: &Cx<'_>,
        offset: u64,
        from: &dyn File,
        from_offset: u64,
        len: u64,
    ) -> Result<u64> {
        self.hook.around(cx, &self.call(Op::CopyRange), |cx| {
            self.file.copy_range(cx, offset, from, from_offset, len)
        })
    }

    fn lend(&self, cx: &Cx<'_>, take: &mut dyn FnMut(&dyn File) -> Result<u64>) -> Result<u64> {
        self.hook.around(cx, &self.call(Op::Lend), |cx| self.file.lend(cx, take))
    }

    fn sync(&self, cx: &Cx<'_>, data_only: bool) -> Result<()> {
        self.hook.around(cx, &self.call(Op::Fsync), |cx| self.file.sync(cx, data_only))
    }
}

/// An open directory's listing on a decorated filesystem.
pub(crate) struct HookedStream<H> {
    stream: Box<dyn DirStream>,
    inode: InodeId,
    hook: H,
}

impl<H: Hook> HookedStream<H> {
    pub(crate) fn opened(stream: Box<dyn DirStream>, inode: InodeId, hook: &H) -> Box<dyn DirStream> {
        Box::new(HookedStream { stream, inode, hook: hook.clone() })
    }
}

impl<H: Hook> DirStream for HookedStream<H> {
    fn list(
        &mut self,
        cx: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let stream = &mut self.stream;
        self.hook.around(cx, &Call::of(Op::List, self.inode), |cx| stream.list(cx, cookie, emit))
    }
}
