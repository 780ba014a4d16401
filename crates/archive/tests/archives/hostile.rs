//! Archives that nobody made by hand: each is a clear error or harmless, and takes little memory and time.

use std::io::Write as _;

use vnode_archive::{Archive, ArchiveError};
use vnode_core::io::Sink;

use crate::names::{Is, packed};
use crate::tree::{Mounted, read};

fn text(bytes: Vec<u8>) -> String {
    Archive::builder().bytes(bytes).unwrap_err().to_string()
}

/// A member's header, its fields as they are given.
pub(crate) fn header(name: &str, kind: u8, change: impl FnOnce(&mut tar::Header)) -> [u8; 512] {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header.set_entry_type(tar::EntryType::new(kind));
    change(&mut header);
    header.set_cksum();
    *header.as_bytes()
}

/// Its end: two blocks of zeros.
pub(crate) fn ended(blocks: &[&[u8]]) -> Vec<u8> {
    [&blocks.concat()[..], &[0; 1024]].concat()
}

#[test]
fn headers_that_take_too_much_memory_are_refused() {
    for kind in [b'L', b'K', b'x', b'g'] {
        let long = header("long", kind, |header| header.set_size(1 << 40));
        assert!(text(ended(&[&long])).contains("the headers of a member take more than 4 MiB"));
        // Also of several kinds together.
        let part = |kind| header("long", kind, |header| header.set_size(3 << 20));
        let content = vec![b'y'; 3 << 20];
        let both = [part(b'L'), part(b'K')];
        assert!(text(ended(&[&both[0], &content, &both[1], &content])).contains("more than 4 MiB"));
    }
    // A map of holes that goes on for ever.
    let mut extended = tar::GnuExtSparseHeader::new();
    extended.isextended[0] = 1;
    let sparse = header("sparse", b'S', |header| header.as_gnu_mut().unwrap().isextended[0] = 1);
    let endless = [&sparse[..], &extended.as_bytes().repeat(9000)].concat();
    assert!(text(endless).contains("more than 4 MiB"));
}

#[test]
fn headers_of_no_member_are_errors() {
    let name = header("././@LongLink", b'L', |header| header.set_size(5));
    let mut block = [0; 512];
    block[..5].copy_from_slice(b"name\0");
    assert!(text(ended(&[&name, &block])).contains("headers for a member that is missing"));
    assert!(text(ended(&[&name, &block, &name, &block])).contains("two headers of one kind"));
    let file = header("file", b'0', |_| ());
    let named = Archive::builder().bytes(ended(&[&name, &block, &file])).unwrap();
    assert_eq!(Mounted::new(named).paths(), [".", "./name"]);
    let pax = header("pax", b'x', |header| header.set_size(9));
    assert_eq!(text(ended(&[&pax, &block, &file])), "file: its pax header can't be read");
    let sum = {
        let mut wrong = header("second", b'0', |_| ());
        wrong[0] = b'x';
        text(ended(&[&file, &wrong]))
    };
    assert_eq!(sum, "there is no header of a member at byte 512: its sum is wrong");
}

#[test]
fn archives_that_are_cut_are_errors() {
    let whole = packed(&[("a", Is::File(&[7; 3000])), ("b", Is::File(&[8; 100]))]);
    let cut = |len: usize| text(whole[..len].to_vec());
    assert_eq!(cut(512 + 2999), "a: the archive ends in the middle of it");
    assert_eq!(cut(512), "a: the archive ends in the middle of it");
    assert_eq!(cut(512 + 3072 + 20), "it ends in the middle of a header");
    assert_eq!(cut(512 + 3072 + 512), "b: the archive ends in the middle of it");
    assert_eq!(cut(400), "it is neither a tar archive nor a zip archive");
    // The end itself may be missing, and what is behind content, too.
    assert!(Archive::builder().bytes(&whole[..512 + 3072 + 512 + 100]).is_ok());
    assert!(Archive::builder().bytes(&whole[..512 + 3072]).is_ok());
}

#[test]
fn sizes_that_cant_be_are_errors() {
    let huge = |size: u64| header("huge", b'0', |header| header.set_size(size));
    assert_eq!(text(ended(&[&huge(1 << 50)])), "huge: the archive ends in the middle of it");
    assert!(text(ended(&[&huge(u64::MAX)])).contains("more than 8 EiB"));
    assert!(text(ended(&[&huge(u64::MAX - 600)])).contains("more than 8 EiB"));
    let by_pax = |size: &str| {
        let record = format!("{} size={size}\n", 7 + size.len() + 2);
        let pax = header("pax", b'x', |header| header.set_size(record.len() as u64));
        let mut block = [0; 512];
        block[..record.len()].copy_from_slice(record.as_bytes());
        text(ended(&[&pax, &block, &header("file", b'0', |_| ())]))
    };
    assert_eq!(by_pax("1000000000000"), "file: the archive ends in the middle of it");
    assert_eq!(by_pax("99999999999999999999"), "file: its size is no number from 0");
    assert_eq!(by_pax("-1"), "file: its size is no number from 0");
}

/// Holes cost nothing, however many bytes they have.
#[test]
fn a_file_of_an_exabyte_is_read_where_somebody_wants_it() {
    let exabyte = 1_u64 << 60;
    let binary = |number: u64| [&[0x80, 0, 0, 0][..], &number.to_be_bytes()].concat();
    let sparse = header("sparse", b'S', |header| {
        header.set_size(5);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.realsize.copy_from_slice(&binary(exabyte));
        gnu.sparse[0].offset.copy_from_slice(&binary(exabyte - 5));
        gnu.sparse[0].numbytes.copy_from_slice(&binary(5));
    });
    let mut content = [0; 512];
    content[..5].copy_from_slice(b"hello");
    let mounted = Mounted::new(Archive::builder().bytes(ended(&[&sparse, &content])).unwrap());
    let attr = mounted.attr("sparse").unwrap();
    assert_eq!((attr.size, attr.blocks), (exabyte, 8));
    let file = mounted.open("sparse").unwrap();
    mounted.with(|caller| {
        let mut bytes = [1; 10];
        assert_eq!(file.read_at(caller.cx, exabyte - 8, &mut Sink::from_slice(&mut bytes)), Ok(8));
        assert_eq!(&bytes, b"\0\0\0hello\x01\x01");
        assert_eq!(file.seek_data_or_hole(caller.cx, vnode_core::fs::SeekFor::Data, 0), Ok(exabyte - 5));
    });
    // More than a file can have.
    let more = header("sparse", b'S', |header| {
        let gnu = header.as_gnu_mut().unwrap();
        gnu.realsize.copy_from_slice(&binary(u64::MAX));
        gnu.sparse[0].offset.copy_from_slice(&binary(u64::MAX - 5));
        gnu.sparse[0].numbytes.copy_from_slice(&binary(7));
    });
    assert!(text(ended(&[&more])).contains("a piece lies behind its end"));
    let most = header("sparse", b'S', |header| {
        header.as_gnu_mut().unwrap().realsize.copy_from_slice(&binary(u64::MAX));
    });
    assert!(text(ended(&[&most])).contains("sparse: can't make a file of its size: file too large"));
}

#[test]
fn names_are_bounded() {
    let members: Vec<_> = (0..50).map(|number| (format!("d{number}/f"), Is::File(b""))).collect();
    let members: Vec<_> = members.iter().map(|(name, is)| (&name[..], *is)).collect();
    let bytes = packed(&members);
    // The root, a directory and a file for each member.
    let open = |most| Archive::builder().max_inodes(most).bytes(bytes.clone());
    assert_eq!(open(101).unwrap().usage().inodes, 101);
    assert!(matches!(open(100), Err(ArchiveError::TooMany { max_inodes: 100 })));
    // Links are names, too.
    let links: Vec<_> = (0..50).map(|number| format!("l{number}")).collect();
    let links = links.iter().map(|name| (&name[..], Is::Link("file")));
    let bytes = packed(&[("file", Is::Fifo)].into_iter().chain(links).collect::<Vec<_>>());
    assert!(Archive::builder().max_inodes(52).bytes(bytes.clone()).is_ok());
    assert!(matches!(Archive::builder().max_inodes(51).bytes(bytes), Err(ArchiveError::TooMany { .. })));
    // What takes the place of something else is not counted twice.
    let again = packed(&[("file", Is::File(b"x")); 100]);
    assert!(Archive::builder().max_inodes(2).bytes(again).is_ok());
}

#[test]
fn long_names_are_errors() {
    let long = |len: usize| {
        let name = format!("{}/x", "n".repeat(len));
        let size = name.len() as u64;
        let before = header("././@LongLink", b'L', |header| header.set_size(size));
        let mut block = name.into_bytes();
        block.resize(block.len().next_multiple_of(512), 0);
        Archive::builder().bytes(ended(&[&before, &block, &header("cut", b'0', |_| ())]))
    };
    assert_eq!(long(255).unwrap().usage().inodes, 3);
    assert!(long(256).unwrap_err().to_string().ends_with("a name in the path is longer than 255 bytes"));
}

/// On a stack that has not two bytes for each level.
#[test]
fn a_deep_tree_is_read_and_dropped() {
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
            tar.append_data(&mut header, format!("{}{name}", "d/".repeat(DEPTH)), &b"x"[..]).unwrap();
        }
        let archive = Archive::builder().bytes(tar.into_inner().unwrap()).unwrap();
        assert_eq!(archive.usage().inodes as usize, DEPTH + 3);
        let members: Vec<_> = archive.members().map(|member| member.path).collect();
        assert_eq!(members.len(), 2);
        assert!(members[1].starts_with(b"d/d/") && members[1].ends_with(b"d/two"));
        let mounted = Mounted::new(archive);
        mounted.with(|caller| {
            let mut at = caller.root.clone();
            for _ in 0..DEPTH / 1000 {
                let path = b"d/".repeat(1000);
                at = caller
                    .resolve(&at, vnode_core::VPath::new(&path).unwrap(), vnode_core::Follow::No)
                    .unwrap();
            }
            let how = vnode_core::OpenHow {
                access: vnode_core::fs::Access::READ,
                flags: vnode_core::OpenFlags::empty(),
                mode: vnode_core::Mode::empty(),
            };
            let opened = caller.open(&at, vnode_core::VPath::new(b"one").unwrap(), &how).unwrap();
            let vnode_core::OpenNode::File(file) = opened.node else { panic!("no file") };
            assert_eq!(read(caller.cx, &*file).unwrap(), b"x");
        });
    });
    deep.unwrap().join().unwrap();
}

#[test]
fn targets_are_as_long_as_paths() {
    let with_target = |len: usize| {
        let before = header("././@LongLink", b'K', |header| header.set_size(len as u64));
        let mut block = vec![b't'; len];
        block.resize(len.next_multiple_of(512), 0);
        Archive::builder().bytes(ended(&[&before, &block, &header("link", b'2', |_| ())]))
    };
    assert_eq!(Mounted::new(with_target(4095).unwrap()).attr("link").unwrap().size, 4095);
    let text = with_target(4096).unwrap_err().to_string();
    assert_eq!(text, "link: the target of the link has 4096 bytes: file name too long");
}

#[test]
fn attributes_are_bounded() {
    let with_attributes = |list: &[(String, usize)]| {
        let mut tar = tar::Builder::new(Vec::new());
        let values: Vec<_> =
            list.iter().map(|(name, len)| (format!("SCHILY.xattr.{name}"), vec![b'v'; *len])).collect();
        tar.append_pax_extensions(values.iter().map(|(name, value)| (&name[..], &value[..]))).unwrap();
        let before = tar.into_inner().unwrap();
        // Without the end that the writer puts behind them.
        let bytes = ended(&[before.strip_suffix(&[0; 1024]).unwrap(), &header("file", b'0', |_| ())]);
        Archive::builder().bytes(bytes)
    };
    let name = |len: usize| format!("user.{}", "n".repeat(len - 5));
    assert!(with_attributes(&[(name(255), 65_536)]).is_ok());
    let text = with_attributes(&[(name(256), 1)]).unwrap_err().to_string();
    assert!(text.starts_with("file: can't set an extended attribute"), "{text}");
    assert!(with_attributes(&[(name(10), 65_537)]).is_err());
    let many: Vec<_> = (0..4000).map(|number| (format!("user.with-a-long-name.{number}"), 1)).collect();
    assert!(with_attributes(&many).is_err());
    assert!(with_attributes(&many[..1000]).is_ok());
    // Others than `user.` are not taken.
    let others =
        with_attributes(&[("security.capability".to_owned(), 20), ("trusted.overlay.opaque".to_owned(), 1)]);
    assert_eq!(Mounted::new(others.unwrap()).lines()[1].xattrs, []);
}

#[test]
fn what_is_no_file_is_no_archive() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Archive::open(directory.path()), Err(ArchiveError::NoArchive)));
    let fifo = directory.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).unwrap();
    // Nobody waits for its other end.
    assert!(matches!(Archive::open(&fifo), Err(ArchiveError::NoArchive)));
    assert!(matches!(Archive::open("/dev/null"), Err(ArchiveError::NoArchive)));
    assert!(matches!(Archive::open(directory.path().join("none")), Err(ArchiveError::Read(_))));
    let mut empty = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(Archive::open(empty.path()), Err(ArchiveError::NoArchive)));
    empty.write_all(&[0; 512]).unwrap();
    assert_eq!(Archive::open(empty.path()).unwrap().usage().inodes, 1);
}

/// Every bit of an archive turned over: whatever comes of it can be read, or is an error.
#[test]
fn archives_with_wrong_bits_are_read_or_refused() {
    let plain = packed(&[("a/b", Is::File(b"content")), ("a/l", Is::Symlink("b")), ("c", Is::Link("a/b"))]);
    let mut read_well = 0;
    for bit in 0..plain.len() * 8 {
        let mut bytes = plain.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        // With its sum put right, as whoever means it would.
        let block = bit / 8 / 512 * 512;
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&bytes[block..block + 512]);
        if header.as_bytes()[0] != 0 && block != 512 {
            header.set_cksum();
            bytes[block..block + 512].copy_from_slice(header.as_bytes());
        }
        if let Ok(archive) = Archive::builder().bytes(bytes) {
            read_well += Mounted::new(archive).lines().len().min(1);
        }
    }
    assert!(read_well > plain.len());
}

#[test]
fn devices_are_nodes() {
    let device = header("null", b'3', |header| {
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
    });
    let mounted = Mounted::new(Archive::builder().bytes(ended(&[&device])).unwrap());
    assert_eq!(mounted.attr("null").unwrap().rdev, 0x103);
}
