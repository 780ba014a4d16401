//! Archives mounted as they are: whatever opens can be walked and read to the end, and counts itself right.

use std::collections::HashMap;
use std::ops::ControlFlow;

use vnode_archive::Archive;
use vnode_core::fs::{Access, File, SeekFor};
use vnode_core::io::Sink;
use vnode_core::{
    Caller, Clock, Credentials, Cx, Errno, FileType, FilesystemRef, Follow, Mode, Namespace, OpenFlags,
    OpenHow, OpenNode, Place, Policy, Timespec, VPath,
};

/// What an archive may have and unpack to.
const MAX_INODES: u64 = 200;
const MAX_BYTES: u64 = 1 << 20;
/// Bytes that are read of a file at each place where it is looked at.
const PIECE: usize = 10_000;
/// How many pieces of a file are looked at.
const PIECES: usize = 100;

pub(crate) struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timespec {
        Timespec::EPOCH
    }
}

/// Opens an archive, and looks at everything that it has.
pub(crate) fn examine(bytes: Vec<u8>, is_layer: bool) {
    let builder = Archive::builder().max_inodes(MAX_INODES).max_bytes(MAX_BYTES).layer(is_layer);
    let archive = match builder.bytes(bytes) {
        Ok(archive) => archive,
        Err(why) => return assert!(!why.to_string().is_empty(), "nothing is said of what is wrong"),
    };
    let usage = archive.usage();
    assert!(usage.inodes <= MAX_INODES);
    let members = archive.members().count() as u64;
    let namespace = Namespace::new(FilesystemRef::new::<Archive>(archive));
    let who = Credentials::root();
    let cx = Cx::new(&who, &Epoch);
    let root = namespace.root();
    let caller = Caller { ns: &namespace, cx: &cx, root, policy: Policy::Posix };
    let mut names: HashMap<u64, u32> = HashMap::from([(root.attr(&cx).expect("attributes").ino, 1)]);
    let mut open = vec![root.clone()];
    let mut count = 1;
    while let Some(dir) = open.pop() {
        let mut directories = 0;
        for (name, kind, ino) in entries(&caller, &dir) {
            count += 1;
            *names.entry(ino).or_default() += 1;
            let path = VPath::new(&name).expect("a name is a path");
            let place = caller.resolve(&dir, path, Follow::No).expect("it is listed");
            let attr = place.attr(&cx).expect("attributes");
            assert_eq!((place.kind(), attr.ino), (kind, ino));
            match kind {
                FileType::Directory => {
                    directories += 1;
                    let dot_dot = VPath::new(b"..").expect("a path");
                    let above = caller.resolve(&place, dot_dot, Follow::No).expect("a directory above");
                    assert!(above.is(&dir), "{} is not below what has it", name.escape_ascii());
                    open.push(place);
                }
                FileType::Symlink => {
                    let target = caller.readlink(&dir, path).expect("a target");
                    assert_eq!((target.len() as u64, target.is_empty()), (attr.size, false));
                }
                FileType::Regular => read(&caller, &dir, path, attr.size),
                _ => {}
            }
        }
        assert_eq!(dir.attr(&cx).map(|attr| attr.nlink), Ok(2 + directories));
    }
    assert_eq!(names.len() as u64, usage.inodes, "inodes used are inodes seen");
    assert!(members <= count);
    check_links(&caller, &names);
}

/// An inode has as many names as it says.
fn check_links(caller: &Caller<'_>, names: &HashMap<u64, u32>) {
    let mut open = vec![caller.root.clone()];
    while let Some(dir) = open.pop() {
        for (name, kind, ino) in entries(caller, &dir) {
            let path = VPath::new(&name).expect("a name is a path");
            let place = caller.resolve(&dir, path, Follow::No).expect("it is listed");
            if kind.is_dir() {
                open.push(place);
            } else {
                let attr = place.attr(caller.cx).expect("attributes");
                assert_eq!(Some(&attr.nlink), names.get(&ino), "{}", name.escape_ascii());
            }
        }
    }
}

fn read(caller: &Caller<'_>, dir: &Place, path: VPath<'_>, size: u64) {
    let how = OpenHow { access: Access::READ, flags: OpenFlags::empty(), mode: Mode::empty() };
    // What is compressed may be damaged, or more than there is room for.
    let file = match caller.open(dir, path, &how) {
        Ok(opened) => match opened.node {
            OpenNode::File(file) => file,
            _ => panic!("no file"),
        },
        Err(errno) => return assert_eq!(errno, Errno::IO),
    };
    assert_eq!(file.seek_data_or_hole(caller.cx, SeekFor::Hole, size), Err(Errno::NXIO));
    read_at(caller, &*file, size, size);
    read_at(caller, &*file, size.saturating_sub(PIECE as u64 / 2), size);
    let mut at = 0;
    for _ in 0..PIECES {
        if at >= size {
            return;
        }
        read_at(caller, &*file, at, size);
        let hole = file.seek_data_or_hole(caller.cx, SeekFor::Hole, at).expect("the end is a hole");
        let data = file.seek_data_or_hole(caller.cx, SeekFor::Data, at);
        assert!(hole <= size && (hole == at || data == Ok(at)));
        at = match data {
            Ok(data) if data > at => data,
            Ok(_) => hole,
            Err(errno) => return assert_eq!((errno, hole), (Errno::NXIO, at)),
        };
    }
}

fn read_at(caller: &Caller<'_>, file: &dyn File, at: u64, size: u64) {
    let mut bytes = [1; PIECE];
    let count = file.read_at(caller.cx, at, &mut Sink::from_slice(&mut bytes)).expect("it lies in memory");
    assert_eq!(count as u64, size.saturating_sub(at).min(PIECE as u64));
}

/// Names, types and numbers.
fn entries(caller: &Caller<'_>, dir: &Place) -> Vec<(Vec<u8>, FileType, u64)> {
    let mut entries = Vec::new();
    let mut listing = caller.list(dir).expect("a directory");
    let listed = listing.list(caller, 2, &mut |entry| {
        entries.push((entry.name.to_vec(), entry.kind, entry.ino));
        ControlFlow::Continue(())
    });
    listed.expect("a listing");
    entries
}
