//! Sandboxes: what is told of paths, mounts and names, and what is left after a part was applied.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use support::sandboxes::{CHANGES, Places};

#[test]
fn paths_that_fit_nothing_are_told() {
    let places = Places::new();
    places.change(CHANGES);
    let before = places.host.picture();
    for words in [
        "apply s /data/typo",
        "apply s /data/there /data/d/sub",
        "apply -n s /etc",
        "discard s /data/h /typo",
    ] {
        places.sandbox(words).fails(125, "nothing was changed at ");
    }
    places.sandbox("diff s /typo").fails(125, "/typo is in none of the mounts of sandbox s: /data");
    assert_eq!(places.tells("diff s /data/typo"), "");
    assert_eq!(places.host.picture(), before);
    assert!(places.tells("diff s").contains("M /data/h (one of "));
}

#[test]
fn what_two_mounts_changed_is_a_conflict() {
    let places = Places::new();
    let run = |name: &str, steps: &str| {
        let given = ["--quiet", "--sandbox", name, "--overlay", ".::/p", "--overlay", "d::/q"];
        assert_eq!(places.run(&given, steps).code, Some(0));
    };
    let before = places.host.picture();
    for (name, steps) in [
        ("a", "write /p/d/f one : write /q/f two"),
        ("b", "rename /p/d /p/e : write /q/f two"),
        ("c", "create /p/d/new one : create /q/new two"),
    ] {
        run(name, steps);
        let ran = places.sandbox(&format!("apply {name}"));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains("changed by way of two mounts"), "{ran:?}");
        assert_eq!(places.host.picture(), before);
    }
    run("d", "write /p/h one : write /q/f two");
    assert_eq!(places.sandbox("apply d").code, Some(0));
    assert_eq!((places.host.read("h"), places.host.read("d/f")), ("one".into(), "two".into()));
}

#[test]
fn what_is_left_of_a_sandbox_can_be_deleted() {
    let places = Places::new();
    let record = places.state.path().join("vnode/sandboxes/s/sandbox.json");
    let damage: [&dyn Fn(); 3] =
        [&|| fs::remove_file(&record).unwrap(), &|| fs::write(&record, "{").unwrap(), &|| {
            fs::remove_file(&record).unwrap();
            fs::create_dir(&record).unwrap();
        }];
    for damage in damage {
        places.change("write /data/there changed");
        damage();
        places.sandbox("diff s").fails(125, "is damaged");
        assert_eq!(places.tells("delete s"), "");
        assert_eq!(fs::read_dir(places.state.path().join("vnode/uppers")).unwrap().count(), 0);
    }
}

#[test]
fn names_drive_no_terminal() {
    let places = Places::new();
    places.change("create /data/\u{1b}[31mred \u{1b}]0;title\u{7} : symlink \u{1b}[2J /data/link");
    for words in [
        "diff s",
        "diff s -p",
        "diff s --stat",
        "diff s --json",
        "diff s --color always",
        "apply -n s",
        "apply s --json",
    ] {
        let told = places.tells(words);
        let names = told
            .replace("\u{1b}[m", "")
            .replace("\u{1b}[32m", "")
            .replace("\u{1b}[1m", "")
            .replace("\u{1b}[36m", "");
        // Content goes to a pipe as it is, as git has it.
        let is_content = |line: &str| line.starts_with('+');
        assert!(
            !names.lines().any(|line| !is_content(line) && line.contains(['\u{1b}', '\u{7}'])),
            "{words}: {told:?}"
        );
    }
}

#[test]
fn files_of_several_names_stay_one_after_a_part_was_applied() {
    let places = Places::new();
    for name in ["e", "f"] {
        fs::hard_link(places.host.path().join("h"), places.host.path().join(name)).unwrap();
    }
    places.change("unlink /data/h : write /data/old 2");
    assert_eq!(places.sandbox("apply s /data/h").code, Some(0));
    places.change("write /data/e changed");
    let ran = places.run(&["--sandbox", "s"], "cat /data/e : cat /data/f : cat /data/i");
    assert_eq!(ran.stdout, "cat /data/e: \"changed\"\ncat /data/f: \"changed\"\ncat /data/i: \"changed\"\n");
    assert!(places.tells("diff s").contains("M /data/e (one of "));
    assert_eq!(places.sandbox("apply s").code, Some(0));
    for name in ["e", "f", "i"] {
        assert_eq!(places.host.read(name), "changed", "{name}");
    }
    // A new name for one of which another was applied away.
    places.change("unlink /data/e : unlink /data/old");
    assert_eq!(places.sandbox("apply s /data/e").code, Some(0));
    places.change("link /data/f /data/e");
    assert_eq!(places.sandbox("apply s").code, Some(0));
    let ino = |name: &str| fs::metadata(places.host.path().join(name)).unwrap().ino();
    assert!(ino("e") == ino("f") && ino("f") == ino("i"));
}

#[test]
fn what_was_applied_may_be_removed_again() {
    let places = Places::new();
    places.change("mkdir /data/n : create /data/n/x 1 : write /data/there 2");
    assert_eq!(places.sandbox("apply s /data/n").code, Some(0));
    places.change("unlink /data/n/x : rmdir /data/n");
    let ran = places.sandbox("apply s");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!places.host.has("n") && places.host.read("there") == "2");
}

#[test]
fn what_the_host_removed_is_a_conflict() {
    let places = Places::new();
    places.change("write /data/there changed : rename /data/d /data/e : rename /data/old /data/moved");
    fs::remove_file(places.host.path().join("there")).unwrap();
    fs::remove_file(places.host.path().join("old")).unwrap();
    fs::remove_dir_all(places.host.path().join("d")).unwrap();
    let before = places.host.picture();
    let ran = places.sandbox("apply s");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("/data/there (deleted since)"), "{ran:?}");
    assert_eq!(places.host.picture(), before);
}

#[test]
fn a_mount_that_cant_be_isnt_kept() {
    let places = Places::new();
    places.change("write /data/there changed");
    let file = places.host.text("there");
    for given in [
        ["--overlay", &format!("{file}::/x")],
        ["--dir", &format!("{file}::/y")],
        ["--image", &format!("{file}::/z")],
    ] {
        let ran = places.run(&["--sandbox", "s", given[0], given[1]], "list /");
        assert_eq!(ran.code, Some(125), "{ran:?}");
        assert_eq!(places.tells("diff s"), "M /data/there\n");
        assert_eq!(places.run(&["--sandbox", "s"], "cat /data/there").code, Some(0));
    }
    // One that can be is, until it is taken away.
    let more = places.host.text("d");
    assert_eq!(
        places
            .run(&["--sandbox", "s", "--overlay", &format!("{more}::/x"), "--tmpfs", "/y"], "write /x/f 2")
            .code,
        Some(0)
    );
    let show = places.tells("show s");
    assert!(show.contains("mount    /x shows ") && show.contains("mount    --tmpfs /y, from "), "{show}");
    fs::rename(places.host.path().join("d"), places.host.path().join("elsewhere")).unwrap();
    places.sandbox("diff s").fails(125, "/x: ");
    assert_eq!(places.tells("unmount s /x"), "");
    assert_eq!(places.tells("unmount s /y"), "");
    assert_eq!(places.tells("diff s"), "M /data/there\n");
    places.sandbox("unmount s /y").fails(125, "sandbox s has no mount at /y");
    places.sandbox("unmount s /data").fails(125, "this is its only mount");
}
