//! Archives: whatever they hold, a filesystem with limits takes it or says why not, and stays whole.

use vnode_cli::load::load_archive;
use vnode_core::{Caller, Credentials, Cx, FileType, FilesystemRef, Follow, Namespace, Place, Policy, VPath};
use vnode_memory::Memory;

use crate::archive::{Epoch, examine};

/// Bytes of a block.
const BLOCK: usize = 512;
/// What the filesystem may hold.
const MAX_BYTES: u64 = 1 << 20;
const MAX_INODES: u64 = 100;

/// Feeds one input: an archive, whose headers get the right sums if the first byte is even; with 2 in it, it is also a
/// layer of an image.
pub fn run(bytes: &[u8]) {
    let Some((&mend, archive)) = bytes.split_first() else { return };
    let mut archive = archive.to_vec();
    if mend % 2 == 0 {
        mend_sums(&mut archive);
    }
    // Mounted as it is, and as a layer of an image.
    examine(archive.clone(), mend & 2 != 0);
    let memory = Memory::builder().max_bytes(MAX_BYTES).max_inodes(MAX_INODES).build();
    let loaded = load_archive(&memory, archive);
    if let Err(why) = &loaded {
        assert!(!why.is_empty(), "nothing is said of what is wrong");
    }
    check(memory);
}

/// Puts the right sum into every block that stands where a header would: a fuzzer doesn't learn to add.
fn mend_sums(archive: &mut [u8]) {
    let mut at = 0;
    while let Some(block) = archive.get_mut(at..at + BLOCK) {
        if block.iter().all(|&byte| byte == 0) {
            at += BLOCK;
            continue;
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = std::str::from_utf8(&block[124..135]).ok();
        let size = size.and_then(|text| usize::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok());
        let blocks = size.unwrap_or(0).min(archive.len()).div_ceil(BLOCK);
        at += BLOCK * (1 + blocks);
    }
}

/// Checks that what is counted is what is there, and that every directory's `..` is the one that has it.
fn check(memory: Memory) {
    let namespace = Namespace::new(FilesystemRef::new::<Memory>(memory));
    let who = Credentials::root();
    let cx = Cx::new(&who, &Epoch);
    let root = namespace.root();
    let caller = Caller { ns: &namespace, cx: &cx, root, policy: Policy::Posix };
    let mut names = 1;
    let mut open = vec![root.clone()];
    while let Some(dir) = open.pop() {
        let mut directories = 0;
        for (name, kind) in entries(&caller, &dir) {
            names += 1;
            let path = VPath::new(&name).expect("a name is a path");
            let place = caller.resolve(&dir, path, Follow::No).expect("it is listed");
            assert_eq!(place.kind(), kind);
            let attr = place.attr(&cx).expect("attributes");
            assert!(attr.nlink > 0, "{} has no name", name.escape_ascii());
            if kind.is_dir() {
                directories += 1;
                let dot_dot = VPath::new(b"..").expect("a path");
                let above = caller.resolve(&place, dot_dot, Follow::No).expect("a directory above");
                assert!(above.is(&dir), "{} is not below what has it", name.escape_ascii());
                open.push(place);
            }
        }
        assert_eq!(dir.attr(&cx).map(|attr| attr.nlink), Ok(2 + directories));
    }
    let figures = caller.statfs_place(root).expect("figures");
    assert_eq!(figures.files - figures.files_free, names, "inodes used are names");
    assert!(names <= MAX_INODES && figures.blocks * u64::from(figures.block_size) <= MAX_BYTES);
}

fn entries(caller: &Caller<'_>, dir: &Place) -> Vec<(Vec<u8>, FileType)> {
    let mut entries = Vec::new();
    let mut listing = caller.list(dir).expect("a directory");
    let listed = listing.list(caller, 2, &mut |entry| {
        entries.push((entry.name.to_vec(), entry.kind));
        std::ops::ControlFlow::Continue(())
    });
    listed.expect("a listing");
    entries
}
