//! What a guest does: one of everything that makes calls of the host.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;

use vnode_core::fs::{Access, Allocate, File, NewKind, Rename, SeekFor, SetXattr};
use vnode_core::io::{Sink, Source};
use vnode_core::{Follow, Listing, Mode, OpenFlags, Place, Result, SetTime, Timespec};
use vnode_host::Host;

use crate::guest::Guest;
use crate::scene::Scene;

/// A guest that has things open.
pub(crate) struct Process {
    pub(crate) guest: Guest,
    file: Arc<dyn File>,
    deep: Place,
    listing: Listing,
}

/// What an operation came to, as text.
pub(crate) type Came = Result<String>;

pub(crate) type Operation = (&'static str, fn(&mut Process) -> Came);

const BOTH: Access = Access::READ.union(Access::WRITE);
const NONE: OpenFlags = OpenFlags::empty();

/// The tree of every operation.
pub(crate) fn build(scene: &Scene) {
    scene.mkdir("a/b/c");
    scene.mkdir("empty");
    scene.write("a/b/file", b"0123456789");
    scene.write("file", b"text");
    scene.write("other", b"other");
    symlink("a/b", scene.at("link")).unwrap();
    symlink("/a/b/file", scene.at("a/to-file")).unwrap();
    for number in 0..40 {
        scene.write(&format!("a/b/c/entry-{number}-{}", "x".repeat(100)), b"");
    }
}

impl Process {
    pub(crate) fn new(scene: &Scene, stepwise: bool) -> Process {
        let guest = Guest::new(Host::builder().stepwise(stepwise), &scene.served);
        let file = guest.file("a/b/file", BOTH, NONE).unwrap();
        let deep = guest.resolve("a/b/c").unwrap();
        let listing = guest.call(|caller| caller.list(&deep)).unwrap();
        Process { guest, file, deep, listing }
    }

    fn list_held(&mut self) -> Came {
        let mut names = Vec::new();
        let Process { guest, listing, .. } = self;
        guest.call(|caller| {
            listing.list(caller, 0, &mut |entry| {
                names.push(String::from_utf8_lossy(entry.name).into_owned());
                core::ops::ControlFlow::Continue(())
            })
        })?;
        names.sort();
        Ok(format!("{names:?}"))
    }
}

fn done(came: Result<()>) -> Came {
    came.map(|()| "done".to_owned())
}

/// What of a file's attributes is the same in every scene.
fn told(attr: vnode_core::Attr) -> String {
    format!("{:?} {:o} {} links, {} bytes", attr.kind, attr.mode.raw(), attr.nlink, attr.size)
}

fn read(process: &Process, file: &dyn File) -> Came {
    let mut bytes = [0; 100];
    let mut into = Sink::from_slice(&mut bytes);
    let count = process.guest.call(|caller| file.read_at(caller.cx, 1, &mut into))?;
    Ok(format!("{:?}", bytes[..count].escape_ascii().to_string()))
}

/// Each makes at least one call of the host, and succeeds where none fails.
pub(crate) const OPERATIONS: &[Operation] = &[
    ("stat", |on| on.guest.stat("a/b/file").map(told)),
    ("stat of one name", |on| on.guest.stat("file").map(told)),
    ("stat through a link", |on| on.guest.stat("link/file").map(told)),
    ("stat through an absolute link", |on| on.guest.stat("a/to-file").map(told)),
    ("stat by dots", |on| on.guest.stat("a/b/../b/c/../file").map(told)),
    ("stat up", |on| on.guest.stat_from(&on.deep, "../../..").map(told)),
    ("lstat", |on| on.guest.lstat("a/to-file").map(told)),
    ("fstat", |on| on.guest.attr(&on.deep).map(told)),
    ("open", |on| read(on, &*on.guest.file("a/b/file", Access::READ, NONE)?)),
    ("open of one name", |on| read(on, &*on.guest.file("file", BOTH, NONE)?)),
    ("open through a link", |on| read(on, &*on.guest.file("a/to-file", Access::READ, NONE)?)),
    ("open to truncate", |on| on.guest.file("a/b/file", BOTH, OpenFlags::TRUNCATE).map(|_| String::new())),
    ("create", |on| on.guest.file("a/b/new", BOTH, OpenFlags::CREATE).map(|_| String::new())),
    ("create exclusively", |on| {
        on.guest.file("new", BOTH, OpenFlags::CREATE | OpenFlags::EXCLUSIVE).map(|_| String::new())
    }),
    ("read", |on| read(on, &*on.file)),
    ("write", |on| on.guest.write_at(&*on.file, 5, b"abcdefgh").map(|count| count.to_string())),
    ("append", |on| {
        let text = &mut Source::from_slice(b"abcdefgh");
        on.guest.call(|caller| on.file.append(caller.cx, text)).map(|came| format!("{came:?}"))
    }),
    ("ftruncate", |on| done(on.guest.call(|caller| on.file.set_len(caller.cx, 3)))),
    ("allocate", |on| done(on.guest.call(|caller| on.file.allocate(caller.cx, Allocate::Extend, 0, 20_000)))),
    ("punch", |on| done(on.guest.call(|caller| on.file.allocate(caller.cx, Allocate::PunchHole, 2, 3)))),
    ("seek data", |on| {
        on.guest
            .call(|caller| on.file.seek_data_or_hole(caller.cx, SeekFor::Hole, 1))
            .map(|at| at.to_string())
    }),
    ("fsync", |on| done(on.guest.call(|caller| on.file.sync(caller.cx, false)))),
    ("fdatasync", |on| done(on.guest.call(|caller| on.file.sync(caller.cx, true)))),
    ("fsync of a directory", |on| done(on.guest.call(|caller| caller.sync_place(&on.deep, false)))),
    ("truncate", |on| done(on.guest.truncate("a/b/file", 3))),
    ("mkdir", |on| done(on.guest.mkdir("a/b/new"))),
    ("mkfifo", |on| {
        done(
            on.guest.on("new", |caller, base, path| {
                caller.mknod(base, path, NewKind::Fifo, Mode::from_raw(0o600))
            }),
        )
    }),
    ("mknod of a file", |on| {
        done(on.guest.on("a/new", |caller, base, path| {
            caller.mknod(base, path, NewKind::Regular, Mode::from_raw(0o600))
        }))
    }),
    ("symlink", |on| done(on.guest.symlink("some/where", "a/b/new"))),
    ("readlink", |on| {
        let target = on.guest.on("link", |caller, base, path| caller.readlink(base, path))?;
        Ok(String::from_utf8_lossy(&target).into_owned())
    }),
    ("link", |on| done(on.guest.link("a/b/file", Follow::No, "new"))),
    ("unlink", |on| done(on.guest.unlink("a/b/file"))),
    ("rmdir", |on| done(on.guest.rmdir("empty"))),
    ("rename", |on| done(on.guest.rename("a/b/file", "file", Rename::Replace))),
    ("rename to nothing", |on| done(on.guest.rename("file", "a/b/new", Rename::NoReplace))),
    ("exchange", |on| done(on.guest.rename("a/b", "file", Rename::Exchange))),
    ("rename of a directory", |on| done(on.guest.rename("a/b/c", "empty/c", Rename::Replace))),
    ("chmod", |on| done(on.guest.chmod("a/b/file", 0o600))),
    ("chown", |on| {
        let own = rustix::process::geteuid().as_raw();
        done(on.guest.on("file", |caller, base, path| caller.chown(base, path, Follow::Yes, Some(own), None)))
    }),
    ("utimens", |on| {
        let then = Some(SetTime::To(Timespec { sec: 1000, nsec: 7 }));
        done(
            on.guest
                .on("a/b/file", |caller, base, path| caller.set_times(base, path, Follow::Yes, then, then)),
        )
    }),
    ("list", |on| on.guest.list("a/b/c").map(|names| format!("{names:?}"))),
    ("list what is open", Process::list_held),
    ("getcwd", |on| {
        let path = on.guest.call(|caller| caller.getcwd(&on.deep))?;
        Ok(String::from_utf8_lossy(&path).into_owned())
    }),
    ("statfs", |on| {
        let told = on.guest.call(|caller| caller.statfs_place(&on.deep))?;
        Ok(format!("{:x}", told.kind))
    }),
    ("setxattr", |on| {
        done(on.guest.on("file", |caller, base, path| {
            caller.set_xattr(base, path, Follow::Yes, b"user.x", b"value", SetXattr::Any)
        }))
    }),
    ("listxattr", |on| {
        let mut names = Vec::new();
        let mut emit = |name: &[u8]| names.push(name.to_vec());
        on.guest.on("file", |caller, base, path| caller.list_xattr(base, path, Follow::Yes, &mut emit))?;
        Ok(format!("{names:?}"))
    }),
];

/// All of a tree that operations change, but for times of the last change.
#[derive(PartialEq, Eq)]
pub(crate) struct Shape(BTreeMap<OsString, String>);

impl Shape {
    /// What is here or there only, or differs.
    pub(crate) fn differences(&self, other: &Shape) -> Vec<String> {
        let names = self.0.keys().chain(other.0.keys()).collect::<BTreeSet<_>>();
        let differ = names.into_iter().filter(|&name| self.0.get(name) != other.0.get(name));
        differ
            .map(|name| format!("{}: {:?} <> {:?}", name.display(), self.0.get(name), other.0.get(name)))
            .collect()
    }

    pub(crate) fn of(top: &Path) -> Shape {
        let mut all = BTreeMap::new();
        let mut pending = vec![top.to_owned()];
        while let Some(path) = pending.pop() {
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_file() {
                std::fs::read(&path).unwrap()
            } else if meta.is_symlink() {
                std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
            } else {
                Vec::new()
            };
            if meta.is_dir() {
                pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            // Who sets a time sets one long ago.
            let old = meta.mtime() < 1_000_000;
            let name = path.strip_prefix(top).unwrap().as_os_str().to_owned();
            let content = content.escape_ascii();
            all.insert(name, format!("{:o} {} {} {old} {content}", meta.mode(), meta.nlink(), meta.uid()));
        }
        Shape(all)
    }
}
