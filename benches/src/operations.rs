//! What is counted: the operations of `guests/src/bench.c`, call by call, but for sequential IO: of a large copy the
//! processor's model decides how many instructions it is.

use crate::guest::{Guest, Still};
use anyhow::{Context, Result};
use std::sync::Arc;
use vnode_core::{Credentials, Cx, FilesystemRef, Namespace};
use vnode_memory::Memory;
use vnode_overlay::Overlay;

const PIECE: u32 = 65536;
const FILE_SIZE: u64 = 1 << 20;
const ENTRIES: u32 = 1000;
const DEEP: &str = "d/d/d/d/d/d/d/d/d/d/d/f";

/// One operation: it is made so often on a descriptor of the file `f`.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    run: fn(&mut Guest, u32, u32) -> Result<()>,
}

/// Calls something so often.
macro_rules! each {
    (|$guest:ident, $fd:ident, $index:ident| $body:expr) => {
        |$guest: &mut Guest, $fd: u32, count: u32| -> Result<()> {
            for $index in 0..count {
                let _ = ($fd, $index);
                $body;
            }
            Ok(())
        }
    };
}

pub(crate) const ALL: &[Operation] = &[
    Operation { name: "stat-1", run: each!(|guest, fd, i| guest.stat("f")?) },
    Operation { name: "stat-12", run: each!(|guest, fd, i| guest.stat(DEEP)?) },
    Operation { name: "stat-missing", run: each!(|guest, fd, i| guest.stat_missing("missing")?) },
    Operation { name: "stat-link", run: each!(|guest, fd, i| guest.stat("l1")?) },
    Operation { name: "stat-chain-8", run: each!(|guest, fd, i| guest.stat("l8")?) },
    Operation { name: "fstat", run: each!(|guest, fd, i| guest.fstat(fd)?) },
    Operation {
        name: "open-close",
        run: each!(|guest, fd, i| {
            let opened = guest.open("f")?;
            guest.close(opened)?
        }),
    },
    Operation { name: "readlink", run: each!(|guest, fd, i| guest.readlink("l8")?) },
    Operation {
        name: "symlink-unlink",
        run: each!(|guest, fd, i| {
            guest.symlink("f", "new")?;
            guest.unlink("new")?
        }),
    },
    Operation {
        name: "create-close-unlink",
        run: each!(|guest, fd, i| {
            let opened = guest.create("new")?;
            guest.close(opened)?;
            guest.unlink("new")?
        }),
    },
    Operation {
        name: "mkdir-rmdir",
        run: each!(|guest, fd, i| {
            guest.mkdir("new")?;
            guest.rmdir("new")?
        }),
    },
    Operation {
        name: "rename",
        run: each!(|guest, fd, i| {
            guest.rename("l1", "new")?;
            guest.rename("new", "l1")?
        }),
    },
    Operation { name: "readdir-1000", run: readdir },
    Operation { name: "pread-4k", run: each!(|guest, fd, i| guest.read_at(fd, 4096, offset_of(i))?) },
    Operation { name: "pwrite-4k", run: each!(|guest, fd, i| guest.write_at(fd, 4096, offset_of(i))?) },
    Operation { name: "write-1", run: each!(|guest, fd, i| guest.write(fd, 1)?) },
    Operation { name: "append-64", run: append },
];

/// The same on an overlay of memory filesystems, the tree being in the lower.
pub(crate) const LAYERED: &[Operation] = &[
    Operation { name: "overlay-stat-1", run: each!(|guest, fd, i| guest.stat("f")?) },
    Operation { name: "overlay-stat-12", run: each!(|guest, fd, i| guest.stat(DEEP)?) },
    Operation { name: "overlay-stat-missing", run: each!(|guest, fd, i| guest.stat_missing("missing")?) },
    Operation {
        name: "overlay-open-close",
        run: each!(|guest, fd, i| {
            let opened = guest.open("f")?;
            guest.close(opened)?
        }),
    },
    Operation { name: "overlay-pread-4k", run: each!(|guest, fd, i| guest.read_at(fd, 4096, offset_of(i))?) },
];

fn offset_of(index: u32) -> u64 {
    u64::from(index) * 37 % (FILE_SIZE / 4096) * 4096
}

fn readdir(guest: &mut Guest, _fd: u32, count: u32) -> Result<()> {
    guest.mkdir("many")?;
    for index in 0..ENTRIES {
        let made = guest.create(&format!("many/entry-{index:04}"))?;
        guest.close(made)?;
    }
    let dir = guest.open_dir("many")?;
    for _ in 0..count {
        let bytes = guest.list(dir)?;
        anyhow::ensure!(bytes > ENTRIES * 34, "the listing has only {bytes} bytes");
    }
    guest.close(dir)
}

fn append(guest: &mut Guest, _fd: u32, count: u32) -> Result<()> {
    let made = guest.create("log")?;
    guest.close(made)?;
    let log = guest.open_to_append("log")?;
    for index in 0..count {
        if index % 16384 == 0 {
            guest.truncate(log)?;
        }
        guest.write(log, 64)?;
    }
    guest.close(log)
}

/// The tree of `guests/src/bench.c`.
fn plant(guest: &mut Guest) -> Result<u32> {
    let fd = guest.create("f")?;
    for _ in 0..FILE_SIZE / u64::from(PIECE) {
        guest.write(fd, PIECE)?;
    }
    guest.rewind(fd)?;
    for (at, _) in DEEP.match_indices('/') {
        guest.mkdir(&DEEP[..at])?;
    }
    let deep = guest.create(DEEP)?;
    guest.close(deep)?;
    guest.symlink("f", "l1")?;
    for index in 2..=8 {
        guest.symlink(&format!("l{}", index - 1), &format!("l{index}"))?;
    }
    Ok(fd)
}

/// Makes an operation so often.
pub(crate) fn repeat(name: &str, count: u32) -> Result<()> {
    let named = |list: &'static [Operation]| list.iter().find(|operation| operation.name == name);
    let memory = FilesystemRef::new::<Memory>(Memory::new());
    let (mut guest, fd) = planted(&memory)?;
    match named(ALL) {
        Some(operation) => (operation.run)(&mut guest, fd, count),
        None => {
            let operation = named(LAYERED).with_context(|| format!("there is no operation {name:?}"))?;
            let mut guest = guest_of(over(memory)?)?;
            let fd = guest.open("f")?;
            (operation.run)(&mut guest, fd, count)
        }
    }
}

fn guest_of(root: FilesystemRef) -> Result<Guest> {
    let namespace = Arc::new(Namespace::new(root));
    Guest::out_of_time(&namespace, namespace.root().clone())
}

/// A guest on a filesystem with the tree, and a descriptor of the file `f`.
fn planted(root: &FilesystemRef) -> Result<(Guest, u32)> {
    let mut guest = guest_of(root.clone())?;
    let fd = plant(&mut guest)?;
    Ok((guest, fd))
}

/// An overlay of an empty upper over a lower.
fn over(lower: FilesystemRef) -> Result<FilesystemRef> {
    let who = Credentials::root();
    let upper = FilesystemRef::new::<Memory>(Memory::new());
    let overlay = Overlay::builder().lower(lower).build(&Cx::new(&who, &Still), upper);
    Ok(FilesystemRef::new::<Overlay>(overlay.context("cannot put the layers together")?))
}
