//! Class 7, deep trees: made, walked, listed and dropped in loops, never by recursion. Every test runs on a thread
//! whose stack has no room for a frame per level.

use std::sync::Arc;

use vnode_core::{FilesystemRef, Mode, Timespec};
use vnode_memory::{Data, Entry, EntryKind, Memory, Usage};
use vnode_wasmtime::{Guest, Policy};

use crate::puppet::*;

const DEPTH: usize = 100_000;

/// Runs on a stack of 128 KiB: less than two bytes for each level.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    // The compiler takes more, and compiles what all puppets share when the first is made.
    drop(Puppet::on(&FilesystemRef::new(Memory::new())));
    std::thread::Builder::new().stack_size(128 << 10).spawn(work).unwrap().join().unwrap();
}

/// Makes a chain of directories below `dir`, each with a file, and answers the deepest.
fn dig(guest: &mut Puppet, dir: i64, depth: usize) -> i64 {
    let mut here = dir;
    for _ in 0..depth {
        guest.mkdir(here, "d").unwrap();
        let next = guest.open_dir(here, "d").unwrap();
        if here != dir {
            guest.close(here).unwrap();
        }
        here = next;
    }
    here
}

fn entry<'a>(path: Vec<u8>, kind: EntryKind<'a>) -> Entry<'a> {
    let mode = Mode::from_raw(0o755);
    Entry { path: path.into(), kind, mode, uid: 0, gid: 0, mtime: Timespec::EPOCH, xattrs: Vec::new() }
}

#[test]
fn a_deep_tree_is_made_walked_and_removed_by_a_guest() {
    on_a_small_stack(|| {
        let memory = Arc::new(Memory::new());
        let fs = FilesystemRef::new::<Memory>(Arc::clone(&memory));
        let mut guest = Puppet::of(Guest::builder(&fs).preopen("/", "/").policy(Policy::Posix));
        let mut here = dig(&mut guest, ROOT, DEPTH);
        guest.file(here, "f", b"deepest");
        guest.symlink("/", here, "top").unwrap();
        let root = guest.stat(ROOT, 0, ".").unwrap().ino;
        assert_eq!(guest.stat(here, 1, "top/d/..").unwrap().ino, root);
        assert_eq!(guest.names(here, "."), ["f", "top"]);
        assert_eq!(guest.names(here, "../.."), ["d"]);
        // Under itself: the check walks all the way up.
        assert_eq!(guest.rename((ROOT, "d"), (here, "d")), Err(EINVAL));
        assert_eq!(guest.rename((here, "f"), (ROOT, "f")), Ok(()));
        guest.unlink(here, "top").unwrap();
        // `rm -r` from below.
        for _ in 0..DEPTH {
            let above = guest.open_dir(here, "..").unwrap();
            guest.close(here).unwrap();
            guest.rmdir(above, "d").unwrap();
            here = above;
        }
        guest.unlink(ROOT, "f").unwrap();
        assert_eq!(guest.names(ROOT, "."), [""; 0]);
        guest.close(here).unwrap();
        assert_eq!(memory.usage(), Usage { bytes: 0, inodes: 1 });
    });
}

#[test]
fn a_deep_tree_is_dropped() {
    on_a_small_stack(|| {
        let memory = Arc::new(Memory::new());
        let fs = FilesystemRef::new::<Memory>(Arc::clone(&memory));
        let mut guest = Puppet::on(&fs);
        dig(&mut guest, ROOT, DEPTH);
        assert_eq!(memory.usage().inodes as usize, DEPTH + 1);
        // The guest's descriptor holds the deepest, the filesystem the others.
        drop(fs);
        drop(memory);
        drop(guest);
    });
}

/// Each removed directory holds the one that it was in: a chain that only its end holds.
#[test]
fn a_deep_chain_of_removed_directories_is_dropped() {
    on_a_small_stack(|| {
        let memory = Arc::new(Memory::new());
        let fs = FilesystemRef::new::<Memory>(Arc::clone(&memory));
        let mut guest = Puppet::of(Guest::builder(&fs).preopen("/", "/").policy(Policy::Posix));
        let mut here = dig(&mut guest, ROOT, DEPTH);
        let deepest = guest.open_dir(here, ".").unwrap();
        for _ in 0..DEPTH {
            let above = guest.open_dir(here, "..").unwrap();
            guest.close(here).unwrap();
            guest.rmdir(above, "d").unwrap();
            here = above;
        }
        guest.close(here).unwrap();
        assert_eq!(memory.usage().inodes as usize, DEPTH + 1);
        guest.close(deepest).unwrap();
        assert_eq!(memory.usage().inodes, 1);
    });
}

#[test]
fn a_deep_tree_is_loaded_and_walked() {
    on_a_small_stack(|| {
        let memory = Arc::new(Memory::new());
        let deep = "d/".repeat(DEPTH);
        let file = |path: &str| entry(path.as_bytes().to_vec(), EntryKind::File(Data::Bytes(b"x".into())));
        let entries = [file(&format!("{deep}one")), file(&format!("{deep}two"))];
        memory.load(entries.map(Ok)).unwrap();
        assert_eq!(memory.usage().inodes as usize, DEPTH + 3);
        let fs = FilesystemRef::new::<Memory>(Arc::clone(&memory));
        let mut guest = Puppet::on(&fs);
        let (mut here, way) = (ROOT, "d/".repeat(2000));
        for _ in 0..DEPTH / 2000 {
            here = guest.open_dir(here, &way).unwrap();
        }
        assert_eq!(guest.names(here, "."), ["one", "two"]);
        assert_eq!(guest.content(here, "two").unwrap(), b"x");
    });
}
