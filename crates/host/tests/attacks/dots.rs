//! `..` at every depth and position.

use std::os::unix::fs::{MetadataExt, symlink};

use vnode_core::Errno;

use crate::guest::Guest;
use crate::scene::Scene;

const DEEPEST: usize = 4;
const LONGEST: u32 = 5;

/// What a path's part does to a depth.
fn after(depth: usize, part: &str) -> Option<usize> {
    match part {
        "a" | "down" => (depth < DEEPEST).then_some(depth + 1),
        ".." | "up" => Some(depth.saturating_sub(1)),
        "top" => Some(0),
        _ => Some(depth),
    }
}

#[test]
fn dots_lead_up_to_the_root_at_every_depth_and_position() {
    let scene = Scene::new();
    let mut inodes = Vec::new();
    let mut path = scene.served.clone();
    for depth in 0..=DEEPEST {
        inodes.push(std::fs::metadata(&path).unwrap().ino());
        for (link, target) in [("up", "../"), ("top", "/../."), ("down", "./a/")] {
            symlink(target, path.join(link)).unwrap();
        }
        path.push("a");
        if depth < DEEPEST {
            std::fs::create_dir(&path).unwrap();
        }
    }
    let parts = ["a", "..", "up", "top", "down"];
    let mut missing = 0;
    for guest in Guest::both(&scene.served) {
        for len in 1..=LONGEST {
            for number in 0..parts.len().pow(len) {
                let path = (0..len).map(|at| parts[number / parts.len().pow(at) % parts.len()]);
                let path: Vec<_> = path.collect();
                let depth = path.iter().try_fold(0, |depth, part| after(depth, part));
                // The more exhausting spellings of the shorter ones only.
                let spellings = if len < LONGEST { 3 } else { 1 };
                for (start, slash, end) in
                    [("", "/", ""), ("/", "//", "/"), ("../", "/./", "/.")].iter().take(spellings)
                {
                    let text = format!("{start}{}{end}", path.join(slash));
                    let expected = depth.map(|depth| inodes[depth]).ok_or(Errno::NOENT);
                    assert_eq!(guest.stat(&text).map(|attr| attr.ino), expected, "{text}");
                }
                missing += usize::from(depth.is_none());
            }
        }
    }
    assert!(missing > 10, "the deepest directory was left {missing} times only");
}

#[test]
fn dots_from_an_open_directory_end_at_the_root() {
    let scene = Scene::new();
    scene.mkdir("a/b/c/d/e");
    for guest in Guest::both(&scene.served) {
        let root = guest.stat("/").unwrap().ino;
        let deep = guest.resolve("a/b/c/d/e").unwrap();
        let mut expected: Vec<u64> =
            ["a/b/c/d", "a/b/c", "a/b", "a"].iter().map(|path| guest.stat(path).unwrap().ino).collect();
        expected.extend([root; 5]);
        for (ups, ino) in expected.into_iter().enumerate() {
            let path = vec![".."; ups + 1].join("/");
            assert_eq!(guest.stat_from(&deep, &path).unwrap().ino, ino, "{path}");
        }
        let most = "../".repeat(1365);
        assert_eq!(guest.stat_from(&deep, &most[..4095]).unwrap().ino, root);
        assert_eq!(guest.stat("/..").unwrap().ino, root);
    }
}
