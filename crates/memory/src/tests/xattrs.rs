//! Extended attributes.

use vnode_core::Errno;
use vnode_core::fs::{Filesystem, SetXattr};

use super::Fixture;
use crate::Memory;

#[test]
fn attributes_are_set_read_listed_and_removed() {
    let fx = Fixture::default();
    let (root, cx) = (fx.root(), fx.cx());
    let file = fx.file(&root, "f");
    let set = |name: &[u8], value: &[u8], how| fx.memory.set_xattr(&cx, &file, name, value, how);
    let get = |name: &[u8]| fx.memory.get_xattr(&cx, &file, name).map(|value| value.to_vec());
    assert_eq!(get(b"user.a"), Err(Errno::NODATA));
    assert_eq!(set(b"user.a", b"1", SetXattr::Replace), Err(Errno::NODATA));
    assert_eq!(set(b"user.a", b"1", SetXattr::Create), Ok(()));
    assert_eq!(set(b"user.a", b"2", SetXattr::Create), Err(Errno::EXIST));
    assert_eq!(set(b"user.a", b"22", SetXattr::Replace), Ok(()));
    assert_eq!(set(b"trusted.t", b"", SetXattr::Any), Ok(()));
    assert_eq!(set(b"security.s", &[7; 65536], SetXattr::Any), Ok(()));
    assert_eq!((get(b"user.a"), get(b"trusted.t")), (Ok(b"22".to_vec()), Ok(vec![])));
    let mut names = Vec::new();
    fx.memory.list_xattr(&cx, &file, &mut |name| names.push(name.to_vec())).unwrap();
    assert_eq!(names, [&b"user.a"[..], b"trusted.t", b"security.s"]);
    fx.check(&[]);
    assert_eq!(fx.memory.remove_xattr(&cx, &file, b"user.b"), Err(Errno::NODATA));
    for name in names {
        assert_eq!(fx.memory.remove_xattr(&cx, &file, &name), Ok(()));
    }
    assert_eq!(fx.memory.remove_xattr(&cx, &file, b"user.a"), Err(Errno::NODATA));
    assert_eq!(fx.memory.usage().bytes, 0);
}

#[test]
fn names_and_values_have_their_limits() {
    let fx = Fixture::new(Memory::builder().max_bytes(4096));
    let (root, cx) = (fx.root(), fx.cx());
    let file = fx.file(&root, "f");
    let set = |name: &[u8], len: usize| fx.memory.set_xattr(&cx, &file, name, &vec![0; len], SetXattr::Any);
    let long = [b"user.".to_vec(), vec![b'x'; 250]].concat();
    let longer = [b"user.".to_vec(), vec![b'x'; 251]].concat();
    assert_eq!(set(b"", 0), Err(Errno::RANGE));
    assert_eq!(set(&longer, 0), Err(Errno::RANGE));
    assert_eq!(set(b"user.", 0), Err(Errno::INVAL));
    assert_eq!(set(b"system.x", 0), Err(Errno::OPNOTSUPP));
    assert_eq!(set(b"user.a", 65537), Err(Errno::TOOBIG));
    assert_eq!(set(b"user.a", 65536), Err(Errno::NOSPC));
    assert_eq!(set(&long, 4096 - 255 - 64), Ok(()));
    assert_eq!(fx.memory.usage().bytes, 4096);
    let before = fx.attr(&file);
    fx.tick();
    assert_eq!(set(&long, 4096 - 255 - 63), Err(Errno::NOSPC));
    assert_eq!(fx.attr(&file), before);
    assert_eq!(fx.write(&file, 0, b"x"), Err(Errno::NOSPC));
    assert_eq!(set(&long, 0), Ok(()));
    fx.check(&[]);
    fx.unlink(&root, "f").unwrap();
    fx.check(&[&file]);
    drop(file);
    assert_eq!(fx.memory.usage().bytes, 0);
}
