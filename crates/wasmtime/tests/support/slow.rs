//! A filesystem that may block, made of any: before each call, and each call of its files and listings, it does what
//! the test says.
#![allow(dead_code, missing_docs, reason = "a part of tests, of which each uses some")]

use std::ops::ControlFlow;
use std::sync::Arc;

use vnode_core::fs::{
    Access, Allocate, At, Caps, DirEntry, DirStream, File, Filesystem, Inode, LinkTarget, NewInode,
    OpenedNew, Remove, Rename, Run, RunEnd, SeekFor, SetXattr, Want,
};
use vnode_core::io::{Sink, Source};
use vnode_core::{Attr, Cx, FilesystemRef, NameBuf, Result, SetAttr, StatFs};

pub(crate) type Before = Arc<dyn Fn(&'static str) + Send + Sync>;

pub(crate) struct Slow {
    pub(crate) fs: FilesystemRef,
    pub(crate) before: Before,
}

impl Slow {
    /// `fs`, with `before` told the name of each call.
    pub(crate) fn over(
        fs: &FilesystemRef,
        before: impl Fn(&'static str) + Send + Sync + 'static,
    ) -> FilesystemRef {
        FilesystemRef::new::<Slow>(Slow { fs: fs.clone(), before: Arc::new(before) })
    }
}

struct SlowFile(Arc<dyn File>, Before);
struct SlowListing(Box<dyn DirStream>, Before);
type Node = Arc<dyn Inode>;
type Place<'a> = At<'a, dyn Inode>;

macro_rules! slowly {
    ($inner:tt $before:tt $(fn $name:ident(&self $(, $arg:ident: $type:ty)*) -> $result:ty;)*) => {
        $(
            fn $name(&self $(, $arg: $type)*) -> $result {
                (self.$before)(stringify!($name));
                self.$inner.$name($($arg),*)
            }
        )*
    };
}

impl Filesystem for Slow {
    type Inode = dyn Inode;

    fn caps(&self) -> Caps {
        self.fs.caps() | Caps::BLOCKING
    }

    fn root(&self) -> Node {
        Filesystem::root(&self.fs)
    }

    fn create_open(
        &self,
        cx: &Cx<'_>,
        at: Place<'_>,
        new: NewInode<'_>,
        access: Access,
    ) -> Result<OpenedNew<dyn Inode>> {
        (self.before)("create_open");
        let (inode, file) = self.fs.create_open(cx, at, new, access)?;
        Ok((inode, Arc::new(SlowFile(file, Arc::clone(&self.before)))))
    }

    fn open(&self, cx: &Cx<'_>, inode: &Node, access: Access) -> Result<Arc<dyn File>> {
        (self.before)("open");
        Ok(Arc::new(SlowFile(self.fs.open(cx, inode, access)?, Arc::clone(&self.before))))
    }

    fn open_dir(&self, cx: &Cx<'_>, dir: &Node) -> Result<Box<dyn DirStream>> {
        (self.before)("open_dir");
        Ok(Box::new(SlowListing(self.fs.open_dir(cx, dir)?, Arc::clone(&self.before))))
    }

    slowly! { fs before
        fn statfs(&self, cx: &Cx<'_>) -> Result<StatFs>;
        fn lookup(&self, cx: &Cx<'_>, at: Place<'_>) -> Result<Node>;
        fn parent(&self, cx: &Cx<'_>, dir: &Node) -> Result<Node>;
        fn name_of(&self, cx: &Cx<'_>, dir: &Node, out: &mut NameBuf) -> Result<()>;
        fn create(&self, cx: &Cx<'_>, at: Place<'_>, new: NewInode<'_>) -> Result<Node>;
        fn link(&self, cx: &Cx<'_>, at: Place<'_>, target: &Node) -> Result<()>;
        fn remove(&self, cx: &Cx<'_>, at: Place<'_>, what: Remove) -> Result<()>;
        fn rename(&self, cx: &Cx<'_>, from: Place<'_>, to: Place<'_>, how: Rename) -> Result<()>;
        fn readlink(&self, cx: &Cx<'_>, link: &Node) -> Result<LinkTarget>;
        fn getattr(&self, cx: &Cx<'_>, inode: &Node) -> Result<Attr>;
        fn setattr(&self, cx: &Cx<'_>, inode: &Node, set: &SetAttr) -> Result<()>;
        fn sync(&self, cx: &Cx<'_>, inode: &Node, data_only: bool) -> Result<()>;
        fn resolve_run(&self, cx: &Cx<'_>, dir: &Node, run: &mut Run<'_>, want: Want) -> Result<RunEnd<dyn Inode>>;
        fn get_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8]) -> Result<Arc<[u8]>>;
        fn set_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8], value: &[u8], how: SetXattr) -> Result<()>;
        fn list_xattr(&self, cx: &Cx<'_>, inode: &Node, emit: &mut dyn FnMut(&[u8])) -> Result<()>;
        fn remove_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8]) -> Result<()>;
    }
}

impl File for SlowFile {
    slowly! { 0 1
        fn read_at(&self, cx: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize>;
        fn write_at(&self, cx: &Cx<'_>, offset: u64, from: &mut Source<'_>) -> Result<usize>;
        fn append(&self, cx: &Cx<'_>, from: &mut Source<'_>) -> Result<(usize, u64)>;
        fn set_len(&self, cx: &Cx<'_>, len: u64) -> Result<()>;
        fn allocate(&self, cx: &Cx<'_>, how: Allocate, offset: u64, len: u64) -> Result<()>;
        fn seek_data_or_hole(&self, cx: &Cx<'_>, what: SeekFor, offset: u64) -> Result<u64>;
        fn sync(&self, cx: &Cx<'_>, data_only: bool) -> Result<()>;
    }
}

impl DirStream for SlowListing {
    fn list(
        &mut self,
        cx: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        (self.1)("list");
        self.0.list(cx, cookie, emit)
    }
}
