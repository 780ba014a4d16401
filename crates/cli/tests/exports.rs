//! What guests changed in sandboxes, as archives.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use support::hosts::Dir;
use support::{Ran, guest, vnode_in};

/// A directory of the host, a place for sandboxes, and one for archives.
struct Places {
    host: Dir,
    state: Dir,
    out: Dir,
}

impl Places {
    fn new() -> Places {
        let host = Dir::new();
        fs::create_dir_all(host.path().join("d/sub")).unwrap();
        for name in ["d/f", "d/sub/deep", "old", "a.o"] {
            fs::write(host.path().join(name), name).unwrap();
        }
        Places { host, state: Dir::new(), out: Dir::new() }
    }

    fn vnode(&self) -> Command {
        let mut command = vnode_in(Command::new(env!("CARGO_BIN_EXE_vnode")), self.state.path());
        command.current_dir(self.host.path()).env_remove("SOURCE_DATE_EPOCH");
        command
    }

    #[track_caller]
    fn run(&self, options: &[&str], steps: &str) -> String {
        let mut command = self.vnode();
        let ran: Ran = command
            .arg("run")
            .args(options)
            .arg(guest("files"))
            .args(steps.split_whitespace())
            .output()
            .unwrap()
            .into();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    }

    fn change(&self) {
        self.run(
            &["--sandbox", "s", "--overlay", ".::/data"],
            "rename /data/d /data/e : write /data/e/f changed : unlink /data/old : create /data/b.o x \
             : create /data/new n : symlink e/f /data/link",
        );
    }

    /// `vnode sandbox export` with these words.
    fn export(&self, words: &[&str]) -> Command {
        let mut command = self.vnode();
        command.args(["sandbox", "export"]).args(words);
        command
    }

    fn bytes(&self, words: &[&str]) -> Vec<u8> {
        let out = self.export(words).output().unwrap();
        assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
        out.stdout
    }

    fn out(&self, name: &str) -> String {
        self.out.text(name)
    }
}

fn names(bytes: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap();
    entries.map(|entry| entry.unwrap().path_bytes().escape_ascii().to_string()).collect()
}

/// What is in a directory, but for what `Dir` has put there.
fn listed(at: &Path) -> Vec<String> {
    let entries = fs::read_dir(at).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "there").collect()
}

#[test]
fn a_layer_over_the_directory_is_what_the_sandbox_shows() {
    let places = Places::new();
    places.change();
    let layer = places.out("layer.tar");
    assert_eq!(places.bytes(&["s", "-o", &layer]), b"");
    assert_eq!(
        names(&fs::read(&layer).unwrap()),
        [".wh.d", ".wh.old", "b.o", "e/", "e/f", "e/sub/", "e/sub/deep", "link", "new"]
    );
    const LOOK: &str =
        "list /data : list /data/e : cat /data/e/f : cat /data/e/sub/deep : readlink /data/link";
    let shown = places.run(&["--sandbox", "s"], LOOK);
    let option = format!("image={layer}::/data,oci,lower={}", places.host.text(""));
    assert_eq!(places.run(&["--overlay", &option], LOOK), shown);
    // A second time: the archive is another's place.
    let before = fs::read(&layer).unwrap();
    places.bytes(&["s", "-o", &layer, "--format", "oci"]);
    assert_eq!(fs::read(&layer).unwrap(), before);
    assert_eq!(listed(places.out.path()), ["layer.tar"]);
}

#[test]
fn archives_have_what_is_asked_for() {
    let places = Places::new();
    places.change();
    let of = |words: &[&str]| names(&places.bytes(words));
    let tar = ["b.o", "e/", "e/f", "e/sub/", "e/sub/deep", "link", "new"];
    assert_eq!(of(&["s", "--format", "tar"]), tar);
    assert_eq!(
        of(&["s", "--format=tree", "-o", "-"]),
        ["a.o", "b.o", "e/", "e/f", "e/sub/", "e/sub/deep", "link", "new", "there"]
    );
    assert_eq!(
        of(&["s", "--exclude", "*.o", "--exclude", "sub/", "--exclude=/old"]),
        [".wh.d", "e/", "e/f", "link", "new"]
    );
}

#[test]
fn the_same_changes_are_the_same_bytes() {
    let (one, other) = (Places::new(), Places::new());
    one.change();
    std::thread::sleep(std::time::Duration::from_millis(20));
    other.change();
    for format in ["oci", "tar", "tree"] {
        assert_eq!(one.bytes(&["s", "--format", format]), other.bytes(&["s", "--format", format]));
    }
    let dated = one.export(&["s"]).env("SOURCE_DATE_EPOCH", "86400").output().unwrap().stdout;
    let times = |bytes: &[u8]| -> Vec<u64> {
        let mut archive = tar::Archive::new(bytes);
        archive.entries().unwrap().map(|entry| entry.unwrap().header().mtime().unwrap()).collect()
    };
    assert!(times(&dated).iter().all(|&time| time == 86400));
    assert_ne!(one.bytes(&["s", "--keep-times"]), other.bytes(&["s", "--keep-times"]));
}

#[test]
fn a_part_of_an_archive_is_a_failure() {
    let places = Places::new();
    places.run(
        &["--sandbox", "s", "--overlay", ".::/data"],
        &format!("create /data/new {}", "x".repeat(100_000)),
    );
    let mut child = places.export(&["s"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    Ran::from(child.wait_with_output().unwrap()).fails(125, "can't write the archive: Broken pipe");
}

#[test]
fn what_cant_be_an_archive_is_none() {
    let places = Places::new();
    places.change();
    let fails =
        |words: &[&str], says: &str| Ran::from(places.export(words).output().unwrap()).fails(125, says);
    fails(&["none"], "there is no sandbox");
    fails(&["s", "--exclude", "[a"], "--exclude: \"[a\" is no pattern");
    fails(&["s", "--mount", "/other"], "sandbox s has nothing at /other; its mounts are /data");
    fails(&["s", "-o", &places.out("no/such.tar")], "can't write");
    fails(&["s", "--format", "tree", "-o", "d/all.tar"], "which the archive has; write it elsewhere");
    let dated = places.export(&["s"]).env("SOURCE_DATE_EPOCH", "today").output().unwrap();
    Ran::from(dated).fails(125, "SOURCE_DATE_EPOCH is \"today\"");
    // What was there is there if nothing comes of it.
    places.run(&["--sandbox", "s"], "mkdir /data/e/.wh.x");
    let there = places.out("there.tar");
    fs::write(&there, "mine").unwrap();
    fails(&["s", "-o", &there], "sandbox s: /e/.wh.x can't be in a layer");
    assert_eq!(
        (fs::read(&there).unwrap(), listed(places.out.path())),
        (b"mine".to_vec(), vec!["there.tar".to_owned()])
    );
    assert!(names(&places.bytes(&["s", "--exclude", ".wh.*"])).contains(&"e/".to_owned()));
    places.run(&["--sandbox", "two", "--overlay", "d::/d", "--overlay", ".::/all"], "create /d/new n");
    fails(&["two"], "sandbox two has several mounts");
    assert_eq!(names(&places.bytes(&["two", "--mount", "/d"])), ["new"]);
    assert_eq!(names(&places.bytes(&["two", "--mount", "/all"])), [""; 0]);
}
