//! Archives as filesystems: read where they lie, and under an overlay.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use support::Ran;
use support::hosts::{Dir, command, files};

/// A tree with links of all kinds, and archives of it.
fn archives() -> Dir {
    let dir = Dir::new();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("d/e")).unwrap();
    fs::write(tree.join("d/f"), "text").unwrap();
    fs::hard_link(tree.join("d/f"), tree.join("d/g")).unwrap();
    fs::write(tree.join("d/e/big"), "0123456789abcdef".repeat(70_000)).unwrap();
    for (target, name) in [("/d/f", "absolute"), ("e", "d/relative"), ("nowhere", "dangling"), ("d/f", "l")] {
        symlink(target, tree.join(name)).unwrap();
    }
    for (option, name) in [("-cf", "plain.tar"), ("-czf", "packed.tar.gz")] {
        pack(&dir, option, name, "tree");
    }
    dir
}

/// Has tar(1) pack what is in a directory.
fn pack(dir: &Dir, option: &str, name: &str, tree: &str) {
    let mut tar = Command::new("tar");
    tar.current_dir(dir.path()).args([option, name, "-C", tree, "."]);
    assert!(tar.status().unwrap().success());
}

const LOOK: &str = "list / : list /d : cat /absolute : cat /l : cat /d/g : readlink /dangling : lstat /d/relative : stat /d/relative";

#[track_caller]
fn assert_seen(said: &[String]) {
    assert_eq!(
        said,
        [
            "/ list .: . .. absolute d dangling l",
            "/d list .: . .. e f g relative",
            "cat /absolute: \"text\"",
            "cat /l: \"text\"",
            "cat /d/g: \"text\"",
            "readlink /dangling: \"nowhere\"",
            "lstat /d/relative: link of 1 bytes, 1 links, changed just now",
            "stat /d/relative: dir",
        ]
    );
}

#[test]
fn an_image_is_seen_as_it_was_packed_and_stays_so() {
    let dir = archives();
    for name in ["plain.tar", "packed.tar.gz"] {
        let before = fs::read(dir.path().join(name)).unwrap();
        let option = dir.text(name);
        assert_seen(&files(&["--image", &option], LOOK));
        assert_eq!(
            files(
                &["--image", &option],
                "write /d/f x : mkdir /new : unlink /l : rename /d /e : symlink a /b"
            ),
            [
                "write /d/f: EROFS",
                "mkdir /new: EROFS",
                "unlink /l: EROFS",
                "rename /d: EROFS",
                "symlink /b: EROFS"
            ]
        );
        // Somewhere else, and in the full form.
        let below = format!("{option}::/img");
        assert_eq!(files(&["--image", &below], "cat /img/d/f"), ["cat /img/d/f: \"text\""]);
        let full = format!("type=image,src={option},dst=/img");
        assert_eq!(files(&["--mount", &full], "cat /img/l"), ["cat /img/l: \"text\""]);
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), before);
    }
}

#[test]
fn an_image_is_copied_as_well() {
    let dir = archives();
    for name in ["plain.tar", "packed.tar.gz"] {
        let option = format!("{}::/", dir.text(name));
        assert_seen(&files(&["--copy", &option], LOOK));
        assert_eq!(
            files(&["--copy", &option], "write /d/f x : cat /d/g : unlink /l : list /"),
            ["write /d/f: ok", "cat /d/g: \"x\"", "unlink /l: ok", "/ list .: . .. absolute d dangling"]
        );
    }
}

#[test]
fn what_is_changed_over_an_image_is_kept() {
    let dir = archives();
    for name in ["plain.tar", "packed.tar.gz"] {
        let before = fs::read(dir.path().join(name)).unwrap();
        let upper = dir.text(&format!("{name}.changes"));
        let image = dir.text(name);
        let option = format!("image={image}::/,upper={upper}");
        assert_seen(&files(&["--overlay", &option], LOOK));
        let said = files(
            &["--overlay", &option],
            "append /l +more : symlink /d/e /made : rename /dangling /d/e/moved : unlink /absolute",
        );
        assert!(said.iter().all(|line| line.ends_with(": ok")), "{said:?}");
        let seen = [
            "/ list .: . .. d l made",
            "cat /d/g: \"text+more\"",
            "/made list .: . .. big moved",
            "readlink /d/e/moved: \"nowhere\"",
        ];
        let look = "list / : cat /d/g : list /made : readlink /d/e/moved";
        assert_eq!(files(&["--overlay", &option], look), seen);
        let full = format!("type=overlay,image={image},upper={upper},dst=/");
        assert_eq!(files(&["--mount", &full], look), seen);
        // In memory it is gone with the guest.
        assert_seen(&files(&["--overlay", &format!("image={image}")], LOOK));
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), before);
    }
}

#[test]
fn layers_of_container_images_lie_on_one_another() {
    let dir = archives();
    let layer = dir.path().join("layer");
    fs::create_dir_all(layer.join("d/e")).unwrap();
    fs::write(layer.join("d/.wh.f"), "").unwrap();
    fs::write(layer.join("d/e/.wh..wh..opq"), "").unwrap();
    fs::write(layer.join("d/e/new"), "new").unwrap();
    fs::write(layer.join(".wh.dangling"), "").unwrap();
    pack(&dir, "-cf", "layer.tar", "layer");
    let look = "list / : list /d : list /d/e : cat /d/g : cat /absolute";
    let option = format!("image={}::/,image={}", dir.text("layer.tar"), dir.text("plain.tar"));
    assert_eq!(
        files(&["--overlay", &format!("{option},oci")], look),
        [
            "/ list .: . .. absolute d l",
            "/d list .: . .. e g relative",
            "/d/e list .: . .. new",
            "cat /d/g: \"text\"",
            "cat /absolute: ENOENT",
        ]
    );
    // Without the key they are names as any.
    assert_eq!(
        files(&["--overlay", &option], "list / : list /d/e"),
        ["/ list .: . .. .wh.dangling absolute d dangling l", "/d/e list .: . .. .wh..wh..opq big new"]
    );
    // A directory of the host lies on an image as well.
    let over = format!("{}::/,image={}", dir.text("layer"), dir.text("plain.tar"));
    assert_eq!(files(&["--overlay", &over], "cat /d/e/new : cat /d/g").len(), 2);
}

#[track_caller]
fn refused(options: &[&str], says: &str) {
    Ran::from(command(options, "list /").output().unwrap()).fails(125, says);
}

#[test]
fn what_is_no_archive_is_told_before_the_guest_starts() {
    let dir = archives();
    let (tree, there, none) = (dir.text("tree"), dir.text("there"), dir.text("none.tar"));
    refused(&["--image", &none], "No such file or directory");
    refused(&["--image", &there], "archive");
    refused(&["--image", &tree], "archive");
    refused(&["--overlay", &format!("image={there}::/")], "archive");
    let bytes = fs::read(dir.path().join("plain.tar")).unwrap();
    fs::write(dir.path().join("cut.tar"), &bytes[..bytes.len() / 2]).unwrap();
    refused(&["--image", &dir.text("cut.tar")], "ends in the middle");
    let packed = dir.text("packed.tar.gz");
    refused(&["--image", &format!("{packed}::/::size=64k")], "size=");
    refused(&["--image", &format!("{packed}::/::inodes=3")], "inodes=");
    assert_eq!(
        files(&["--image", &format!("{packed}::/::size=2M,inodes=100")], "cat /l"),
        ["cat /l: \"text\""]
    );
}

/// The archive lies where the guest may write.
#[test]
fn a_guest_that_truncates_the_archive_reads_an_error() {
    let dir = archives();
    let options = [
        "--image",
        &format!("{}::/img", dir.text("plain.tar")),
        "--dir",
        &format!("{}::/host", dir.text("")),
    ];
    let said = files(&options, "cat /img/d/f : truncate /host/plain.tar : cat /img/d/f : list /img/d");
    assert_eq!(
        said,
        [
            "cat /img/d/f: \"text\"",
            "truncate /host/plain.tar: ok",
            "cat /img/d/f: EIO",
            "/img/d list .: . .. e f g relative",
        ]
    );
}
