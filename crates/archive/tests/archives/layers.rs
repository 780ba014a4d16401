//! Layers of container images: whiteouts become what an overlay understands in a lower.

use vnode_archive::{Archive, ArchiveError, PathProblem};
use vnode_core::FileType;

use crate::names::{Is, opened, packed};
use crate::tree::Mounted;

fn layer(members: &[(&str, Is<'_>)]) -> Result<Mounted, ArchiveError> {
    Archive::builder().layer(true).bytes(packed(members)).map(Mounted::new)
}

const EMPTY: Is<'_> = Is::File(b"");

/// Which directories are opaque, and by which attribute.
fn opaque(mounted: &Mounted) -> Vec<String> {
    let lines = mounted.lines();
    let marked = lines.iter().filter(|line| !line.xattrs.is_empty());
    marked
        .map(|line| {
            let names: Vec<_> = line.xattrs.iter().map(|(name, value)| (&name[..], &value[..])).collect();
            assert_eq!(names, [(&b"trusted.overlay.opaque"[..], &b"y"[..]), (b"user.overlay.opaque", b"y")]);
            String::from_utf8(line.path.clone()).unwrap()
        })
        .collect()
}

#[test]
fn whiteouts_are_devices_and_opaque_directories() {
    let members = [
        ("etc/.wh.passwd", EMPTY),
        ("var/.wh..wh..opq", EMPTY),
        ("var/own", Is::File(b"x")),
        (".wh..wh.plnk/1.2", Is::File(b"kept by AUFS")),
        (".wh..wh.aufs", EMPTY),
        ("not.wh.one", EMPTY),
    ];
    let mounted = layer(&members).unwrap();
    assert_eq!(mounted.paths(), [".", "./etc", "./etc/passwd", "./not.wh.one", "./var", "./var/own"]);
    let whiteout = mounted.attr("etc/passwd").unwrap();
    assert_eq!((whiteout.kind, whiteout.rdev, whiteout.nlink), (FileType::CharDevice, 0, 1));
    assert_eq!(opaque(&mounted), ["./var"]);
    // Otherwise they are names like any other.
    let plain = Mounted::new(opened(&members).unwrap());
    assert!(plain.paths().contains(&"./etc/.wh.passwd".to_owned()));
    assert!(opaque(&plain).is_empty());
}

#[test]
fn what_the_layer_has_itself_stays() {
    // Before and behind the whiteouts.
    let members = [
        ("file", Is::File(b"new")),
        (".wh.file", EMPTY),
        (".wh.late", EMPTY),
        ("late", Is::File(b"newer")),
        ("dir", Is::Directory),
        (".wh.dir", EMPTY),
        (".wh.made", EMPTY),
        ("made/x", EMPTY),
        (".wh.twice", EMPTY),
        (".wh.twice", EMPTY),
    ];
    let mounted = layer(&members).unwrap();
    assert_eq!(mounted.paths(), [".", "./dir", "./file", "./late", "./made", "./made/x", "./twice"]);
    assert_eq!(
        (mounted.read("file").unwrap(), mounted.read("late").unwrap()),
        (b"new".to_vec(), b"newer".to_vec())
    );
    assert_eq!(opaque(&mounted), ["./dir", "./made"]);
    assert_eq!(opaque(&layer(&[(".wh..wh..opq", EMPTY)]).unwrap()), ["."]);
}

#[test]
fn whiteouts_of_no_name_are_errors() {
    for path in [".wh.", "a/.wh..", ".wh...", ".wh.dir/file"] {
        match layer(&[(path, EMPTY)]).err().unwrap() {
            ArchiveError::Path { problem: PathProblem::Whiteout, path: told } => {
                assert_eq!(told, path.as_bytes())
            }
            other => panic!("{other}"),
        }
    }
}
