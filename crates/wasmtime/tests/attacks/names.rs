//! Class 9, names: bytes, and nothing but bytes.

use vnode_core::FilesystemRef;
use vnode_memory::Memory;

use crate::puppet::*;

#[test]
fn names_are_any_bytes_but_slash_and_nul() {
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::on(&fs);
    let mut expected = 0;
    for byte in 1..=255u8 {
        for name in [vec![byte], vec![b'n', byte], vec![byte; 255]] {
            if byte == b'/' || name == b"." {
                continue;
            }
            assert_eq!(guest.mkdir(ROOT, &name), Ok(()), "{name:?}");
            assert_eq!(guest.mkdir(ROOT, &name), Err(EEXIST), "{name:?}");
            expected += 1;
        }
    }
    assert_eq!(guest.names(ROOT, ".").len(), expected);
    for path in [&b"\0"[..], b"a\0", b"\0a", b"a/\0", b"a\0/b"] {
        assert_eq!(guest.mkdir(ROOT, path), Err(EINVAL), "{path:?}");
        assert_eq!(guest.symlink(path, ROOT, "link"), Err(EINVAL), "{path:?}");
        assert_eq!(guest.stat(ROOT, 0, path), Err(EINVAL), "{path:?}");
        assert_eq!(guest.open(ROOT, path, CREAT, WRITE), Err(EINVAL), "{path:?}");
    }
    for len in [256, 257, 4000] {
        assert_eq!(guest.mkdir(ROOT, vec![b'x'; len]), Err(ENAMETOOLONG), "{len}");
        assert_eq!(
            guest.stat(ROOT, 0, [&b"n\x01/"[..], &vec![0xff; len]].concat()),
            Err(ENAMETOOLONG),
            "{len}"
        );
    }
    assert_eq!(guest.mkdir(ROOT, ""), Err(ENOENT));
}

/// CVE-2024-51745 and its like: what other systems take for devices, for the same name, or for a separator.
#[test]
fn no_name_means_more_than_its_bytes() {
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::on(&fs);
    let names: &[&[u8]] = &[
        b"CON",
        b"con",
        b"NUL",
        b"COM1",
        "COM\u{b9}".as_bytes(),
        "LPT\u{b2}".as_bytes(),
        b"AUX.txt",
        b"a\\b",
        b"..\\..\\secret",
        b"C:",
        b"C:\\x",
        b"f",
        b"F",
        b"f.",
        b"f ",
        b"f::$DATA",
        "\u{e9}".as_bytes(),
        "e\u{301}".as_bytes(),
        b"\xff\xfe",
        b"\xc3\x28",
        b"...",
        b". ",
        b".. ",
        b"~",
        b"*",
        b"$HOME",
        b"-rf",
    ];
    for (number, name) in names.iter().enumerate() {
        let fd =
            guest.open(ROOT, name, CREAT | EXCL, WRITE).unwrap_or_else(|errno| panic!("{name:?}: {errno}"));
        assert_eq!(guest.write(fd, &[number as u8]), Ok(1));
        guest.close(fd).unwrap();
    }
    for (number, name) in names.iter().enumerate() {
        let fd = guest.open(ROOT, name, 0, READ).unwrap();
        assert_eq!(guest.pread(fd, 2, 0).unwrap(), [number as u8], "{name:?}");
        guest.close(fd).unwrap();
    }
    assert_eq!(guest.names(ROOT, ".").len(), names.len());
}
