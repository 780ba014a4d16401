//! Directories of the store with all that is below them: how much storage they take, and their removal. A guest made them as
//! deep as it liked, with names and permissions as it liked, so they are gone through as a guest would, by single names.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use vnode_core::fs::{At, Filesystem as _, Inode, Remove};
use vnode_core::{Credentials, Cx, Errno, FilesystemRef, Mode, Name, Result, SetAttr};
use vnode_host::Host;

use crate::clock::Now;

/// A directory that is being gone through.
struct Level {
    dir: Arc<dyn Inode>,
    /// What it is called in the one before.
    name: Box<[u8]>,
    /// Names that are left.
    names: Vec<Box<[u8]>>,
}

/// A name that was found.
struct Here<'a> {
    cx: &'a Cx<'a>,
    fs: &'a FilesystemRef,
    at: At<'a, dyn Inode>,
}

/// What is done with what is found.
trait Visit {
    /// For what is no directory, and before a directory is gone through.
    fn meet(&mut self, here: &Here<'_>, inode: &Arc<dyn Inode>) -> Result<()>;

    /// For a directory when that is done.
    fn leave(&mut self, _: &Here<'_>) -> Result<()> {
        Ok(())
    }
}

/// Bytes of storage that a directory takes with all below it, as far as it can be looked at.
pub(super) fn storage(path: &Path) -> u64 {
    struct Sum(u64);
    impl Visit for Sum {
        fn meet(&mut self, here: &Here<'_>, inode: &Arc<dyn Inode>) -> Result<()> {
            let attr = here.fs.getattr(here.cx, inode)?;
            let names = if attr.kind.is_dir() { 1 } else { u64::from(attr.nlink.max(1)) };
            // Each name has its part of a file with several.
            self.0 = self.0.saturating_add(attr.blocks.saturating_mul(512) / names);
            Ok(())
        }
    }
    let mut sum = Sum(0);
    let _ = go(path, &mut sum);
    sum.0
}

/// Removes all that is in a directory.
pub(super) fn clear(path: &Path) -> Result<()> {
    struct Removal;
    impl Visit for Removal {
        fn meet(&mut self, here: &Here<'_>, inode: &Arc<dyn Inode>) -> Result<()> {
            if !inode.kind().is_dir() {
                return here.remove(Remove::File);
            }
            let mode = here.fs.getattr(here.cx, inode)?.mode;
            if mode.contains(Mode::RWXU) {
                return Ok(());
            }
            // Its owner need not have been allowed to look into it.
            let set = SetAttr { mode: Some(mode | Mode::RWXU), ..SetAttr::default() };
            here.fs.setattr(here.cx, inode, &set)
        }

        fn leave(&mut self, here: &Here<'_>) -> Result<()> {
            here.remove(Remove::Directory)
        }
    }
    go(path, &mut Removal)
}

impl Here<'_> {
    fn remove(&self, what: Remove) -> Result<()> {
        match self.fs.remove(self.cx, self.at, what) {
            // Another may have been faster.
            Err(Errno::NOENT) => Ok(()),
            removed => removed,
        }
    }
}

fn go(path: &Path, visit: &mut impl Visit) -> Result<()> {
    let host = Host::builder().one_mount(true).open(path).map_err(|error| error.errno)?;
    let fs = FilesystemRef::new::<Host>(host);
    let who = Credentials::root();
    let cx = Cx::new(&who, &Now);
    let root = fs.root();
    let mut levels = vec![Level { names: names(&cx, &fs, &root)?, dir: root, name: Box::default() }];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.names.pop() else {
            let name = core::mem::take(&mut level.name);
            levels.pop();
            if let Some(above) = levels.last() {
                let at = At { dir: &above.dir, name: Name::new(&name)? };
                visit.leave(&Here { cx: &cx, fs: &fs, at })?;
            }
            continue;
        };
        let at = At { dir: &level.dir, name: Name::new(&name)? };
        let inode = match fs.lookup(&cx, at) {
            Err(Errno::NOENT) => continue,
            found => found?,
        };
        visit.meet(&Here { cx: &cx, fs: &fs, at }, &inode)?;
        if inode.kind().is_dir() {
            levels.push(Level { names: names(&cx, &fs, &inode)?, dir: inode, name });
        }
    }
    Ok(())
}

fn names(cx: &Cx<'_>, fs: &FilesystemRef, dir: &Arc<dyn Inode>) -> Result<Vec<Box<[u8]>>> {
    let mut names = Vec::new();
    fs.open_dir(cx, dir)?.list(cx, 0, &mut |entry| {
        names.push(entry.name.into());
        ControlFlow::Continue(())
    })?;
    Ok(names)
}
