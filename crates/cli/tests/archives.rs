//! Archives that nobody made by hand.
#![allow(missing_docs, clippy::unwrap_used)]

use vnode_cli::load::load_archive;
use vnode_memory::Memory;

/// A member of 100,000 levels, on a stack that has not two bytes for each.
#[test]
fn a_tar_of_a_deep_tree_is_loaded_and_dropped() {
    const DEPTH: usize = 100_000;
    let deep = std::thread::Builder::new().stack_size(192 << 10).spawn(|| {
        let mut tar = tar::Builder::new(Vec::new());
        for name in ["one", "two"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(1);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            let path = format!("{}{name}", "d/".repeat(DEPTH));
            tar.append_data(&mut header, &path, &b"x"[..]).unwrap();
        }
        let memory = Memory::new();
        let loaded = load_archive(&memory, tar.into_inner().unwrap());
        // What went wrong is told with the path.
        assert!(loaded.is_ok(), "{:.200}", loaded.unwrap_err());
        assert_eq!(memory.usage().inodes as usize, DEPTH + 3);
    });
    deep.unwrap().join().unwrap();
}
