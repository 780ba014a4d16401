//! `..` at every depth and position.

use std::os::unix::fs::{MetadataExt, symlink};

use vnode_core::Errno;
use vnode_host::Host;

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

/// More levels than one call of the host goes up.
#[test]
fn a_deep_directory_has_its_way_up_wherever_it_is_moved() {
    const LEVELS: usize = 700;
    let scene = Scene::new();
    scene.mkdir("a/b/c");
    scene.mkdir("elsewhere/with/more/levels");
    let [runs, single] = Guest::both(&scene.served);
    for guest in [runs, single, Guest::unprivileged(Host::builder(), &scene.served)] {
        let deep = "d/".repeat(LEVELS);
        for level in 1..=LEVELS {
            guest.mkdir(format!("a/b/c/{}", &deep[..2 * level])).unwrap();
        }
        let held = guest.resolve(format!("a/b/c/{deep}")).unwrap();
        let top = guest.stat("/").unwrap().ino;
        let to_root = "../".repeat(LEVELS + 3);
        let cwd = |expected: &str| {
            let path = guest.call(|caller| caller.getcwd(&held)).unwrap();
            assert_eq!(String::from_utf8(path).unwrap(), format!("{expected}/{deep}").trim_end_matches('/'));
        };
        cwd("/a/b/c");
        assert_eq!(guest.stat_from(&held, &to_root).unwrap().ino, top);
        // Deeper, and less deep than it was found.
        for (from, to, above) in
            [("a/b/c", "elsewhere/with/more/levels/c", 5), ("elsewhere/with/more/levels/c", "c", 1)]
        {
            std::fs::rename(scene.at(from), scene.at(to)).unwrap();
            cwd(&format!("/{to}"));
            let up = "../".repeat(LEVELS);
            assert_eq!(guest.stat_from(&held, &up).unwrap().ino, guest.stat(to).unwrap().ino);
            assert_eq!(guest.stat_from(&held, &"../".repeat(LEVELS + above)).unwrap().ino, top);
        }
        // Out of the root, as far below something else as it was below the root.
        let out = scene.outside.join("sub/c");
        std::fs::rename(scene.at("c"), &out).unwrap();
        for up in ["..", "../..", &to_root] {
            assert_eq!(guest.stat_from(&held, up).map(drop), Err(Errno::NOENT), "{up}");
        }
        assert_eq!(guest.call(|caller| caller.getcwd(&held)), Err(Errno::NOENT));
        std::fs::rename(&out, scene.at("a/b/c")).unwrap();
        cwd("/a/b/c");
        let removed = std::process::Command::new("rm").arg("-rf").arg(scene.at("a/b/c")).status().unwrap();
        assert!(removed.success());
        scene.mkdir("a/b/c");
    }
}
