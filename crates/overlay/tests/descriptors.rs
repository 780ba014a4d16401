//! Copies in directories of the host, of which few descriptors may be open: they are found again where they are.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use support::{Tree, as_root};
use vnode_core::fs::Filesystem;
use vnode_core::{FilesystemRef, Mode, SetAttr};
use vnode_host::Host;

#[test]
fn copies_are_found_again() {
    const DIRECTORIES: usize = 60;
    let place = std::env::temp_dir().join(format!("vnode-descriptors-{}", std::process::id()));
    let files = || (0..DIRECTORIES).flat_map(|dir| (0..5).map(move |file| format!("d{dir}/f{file}")));
    std::fs::create_dir_all(place.join("upper")).unwrap();
    for file in files() {
        let file = place.join("lower").join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "old").unwrap();
    }
    let host = || Host::builder().devices(true).max_descriptors(48);
    let tree = |name: &str| Tree(FilesystemRef::new::<Host>(host().open(place.join(name)).unwrap()));
    let overlay = Tree::marked(&[&tree("lower")], &tree("upper"), vnode_overlay::Marks::User);
    let set = SetAttr { mode: Some(Mode::from_raw(0o600)), ..SetAttr::default() };
    let mut failed = Vec::new();
    for file in files() {
        let node = overlay.node(&file);
        let done = node.and_then(|node| as_root(|cx| overlay.0.setattr(cx, &node, &set)));
        failed.extend(done.err().map(|errno| (file, errno)));
    }
    for file in files() {
        failed.extend(overlay.read(&file).err().map(|errno| (file, errno)));
    }
    drop(overlay);
    std::fs::remove_dir_all(&place).unwrap();
    assert_eq!(failed, []);
}
