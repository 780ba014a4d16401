//! Sandboxes: runs that go on with what others left, and what can be done with what they changed.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Stdio;

use support::Ran;
use support::hosts::Dir;
use support::sandboxes::{CHANGES, Places};

#[test]
fn runs_go_on_with_what_others_left() {
    let places = Places::new();
    let before = places.host.picture();
    let ran = places
        .run(&["--sandbox", "s", "--overlay", ".::/data"], "write /data/there changed : create /data/new n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        ran.stderr,
        "vnode: 1 added, 1 modified; kept in sandbox s (vnode sandbox diff s shows it, apply brings it to the host)\n"
    );
    // The mounts are the sandbox's.
    let ran =
        places.run(&["--sandbox", "s", "--quiet"], "cat /data/there : cat /data/new : unlink /data/old");
    assert_eq!(ran.stdout, "cat /data/there: \"changed\"\ncat /data/new: \"n\"\nunlink /data/old: ok\n");
    assert_eq!(ran.stderr, "");
    assert_eq!(places.tells("diff s"), "A /data/new\nD /data/old\nM /data/there\n");
    assert_eq!(places.tells("diff s --exit-code /data/d"), "");
    assert_eq!(places.sandbox("diff s --exit-code /data/old").code, Some(1));
    assert_eq!(places.host.picture(), before);
}

#[test]
fn all_mounts_are_kept() {
    let places = Places::new();
    let other = Dir::new();
    let dir = format!("{}::/other::ro", other.text(""));
    let given = ["--sandbox", "s", "--overlay", ".::/data", "--dir", &dir, "--tmpfs", "/tmp"];
    let ran = places.run(&given, "write /tmp/f text : cat /other/there : write /other/there no");
    assert_eq!(ran.stdout, "write /tmp/f: ok\ncat /other/there: \"host's\"\nwrite /other/there: EROFS\n");
    let look = "cat /other/there : list /tmp : cat /data/there";
    let expected = "cat /other/there: \"host's\"\n/tmp list .: . ..\ncat /data/there: \"host's\"\n";
    // From elsewhere, too: relative paths are those of the first run.
    let ran: Ran =
        places.command(&["--sandbox", "s"], look).current_dir(other.path()).output().unwrap().into();
    assert_eq!(ran.stdout, expected, "{ran:?}");
    // The same said again is the same; more is added; something else in one's place is refused.
    assert_eq!(places.run(&given, look).stdout, expected);
    let more = places.run(&["--sandbox", "s", "--overlay", "d::/more"], "write /more/f changed");
    assert_eq!(more.code, Some(0), "{more:?}");
    assert_eq!(places.run(&["--sandbox", "s"], "cat /more/f").stdout, "cat /more/f: \"changed\"\n");
    for other in [["--overlay", "d::/data"], ["--tmpfs", "/data"], ["--dir", ".::/data"]] {
        let ran = places.run(&["--sandbox", "s", other[0], other[1]], look);
        ran.fails(125, "sandbox s has --overlay .::/data there");
    }
    assert_eq!(places.host.read("d/f"), "d/f");
}

#[test]
fn what_cant_be_a_sandbox_leaves_none() {
    let places = Places::new();
    places.run(&["--sandbox", "s"], "list /").fails(125, "there is no sandbox s yet");
    places.run(&["--sandbox", "s", "--tmpfs", "/x"], "list /").fails(125, "there is no sandbox s yet");
    places.run(&["--sandbox", "../s", "--overlay", "."], "list /").fails(125, "\"../s\" is no name");
    places.run(&["--keep", "a b", "--overlay", "."], "list /").fails(125, "\"a b\" is no name");
    places.run(&["--sandbox", "s", "--overlay", "missing"], "list /").fails(125, "no directory");
    places
        .run(&["--sandbox", "s", "--overlay", ".::/,upper=/tmp/x"], "list /")
        .fails(125, "leave upper= out");
    places
        .run(&["--sandbox", "s", "--keep", "t", "--overlay", "."], "list /")
        .fails(125, "cannot be used with");
    let ran: Ran = places
        .vnode()
        .args(["run", "--sandbox", "s", "--overlay", ".", "missing.wasm"])
        .output()
        .unwrap()
        .into();
    ran.fails(127, "there is no such module");
    assert_eq!(
        places.sandbox("list").stderr,
        "vnode: there are no sandboxes; vnode run --sandbox NAME makes one\n"
    );
    places.sandbox("show s").fails(125, "there is no sandbox s; there are none yet");
}

#[test]
fn changes_are_kept_after_the_fact() {
    let places = Places::new();
    let overlay = ["--overlay", ".::/data"];
    let ran = places.run(&overlay, "write /data/there changed : unlink /data/old : rename /data/d /data/e");
    assert_eq!(
        ran.stderr,
        "vnode: 1 modified, 1 deleted, 1 renamed; nothing of it is kept (--keep NAME keeps it)\n"
    );
    let ran =
        places.run(&[&overlay[..], &["--diff"]].concat(), "write /data/there changed : create /data/new n");
    assert_eq!(
        ran.stderr,
        "A /data/new\nM /data/there\n\
         vnode: 1 added, 1 modified; nothing of it is kept (--keep NAME keeps it)\n"
    );
    // Nothing is said of nothing.
    assert_eq!(places.run(&overlay, "cat /data/there").stderr, "");
    let ran = places.run(&[&overlay[..], &["--keep", "s", "--quiet"]].concat(), "write /data/there changed");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(places.tells("diff s"), "M /data/there\n");
    places
        .run(&[&overlay[..], &["--keep", "s"]].concat(), "cat /data/there")
        .fails(125, "there is a sandbox s already");
    // What a guest did before it was ended by force is kept, too.
    let steps = "write /data/there more : exit 3";
    let ran = places.run(&[&overlay[..], &["--keep", "t"]].concat(), steps);
    assert!(ran.stderr.contains("1 modified; kept in sandbox t"), "{ran:?}");
}

#[test]
fn an_upper_of_ones_own_is_named() {
    let places = Places::new();
    let upper = places.state.path().join("changes");
    let option = format!(".::/data,upper={}", upper.display());
    let ran = places.run(&["--overlay", &option], "create /data/new n");
    assert_eq!(ran.stderr, format!("vnode: 1 added; kept in {}\n", upper.display()));
}

#[test]
fn one_run_has_a_sandbox_at_a_time() {
    let places = Places::new();
    places.change("write /data/there changed");
    let mut child = places
        .command(&["--sandbox", "s"], "wait")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let told = format!("sandbox s is in use by process {}", child.id());
    places.run(&["--sandbox", "s"], "cat /data/there").fails(125, &told);
    for words in ["diff s", "apply s", "discard s", "fork s t", "rename s t", "delete s", "export s"] {
        places.sandbox(words).fails(125, &told);
    }
    let list = places.tells("list");
    assert!(list.lines().nth(1).unwrap().contains("now"), "{list}");
    assert!(places.tells("show s").contains(&format!("in use   by process {}\n", child.id())));
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(places.tells("diff s"), "M /data/there\n");
}

#[test]
fn sandboxes_are_listed_and_shown() {
    let places = Places::new();
    places.change(&format!("write /data/big {}", "x".repeat(20_000)));
    let ran = places.run(&["--sandbox", "other", "--overlay", "d", "--overlay", ".::/all"], "list /");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let host = fs::canonicalize(places.host.path()).unwrap();
    let list = places.tells("list");
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "SIZE", "SHARED", "USED", "SHOWS"]);
    assert_eq!((rows[1][0], rows[2][0]), ("other", "s"));
    assert_eq!(rows[1].last().unwrap(), &format!("{}::/all", host.display()));
    let json: serde_json::Value = serde_json::from_str(&places.tells("list --json")).unwrap();
    assert_eq!(json[1]["name"], "s");
    assert_eq!(json[1]["mounts"][0]["guest"], "/data");
    assert_eq!(json[1]["mounts"][0]["shows"][0]["path"], host.to_str().unwrap());
    assert!(json[1]["bytes"].as_u64().unwrap() >= 20_000, "{json}");
    let show = places.tells("show s");
    assert!(show.contains(&format!("mount    /data shows {}\n", host.display())), "{show}");
    let json: serde_json::Value = serde_json::from_str(&places.tells("show s --json")).unwrap();
    assert_eq!(json["name"], "s");
    // What a fork shares is told of both.
    places.tells("fork s t");
    let json: serde_json::Value = serde_json::from_str(&places.tells("list --json")).unwrap();
    let list = places.tells("list");
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    for (number, name) in [(1, "s"), (2, "t")] {
        assert_eq!((&json[number]["name"], &json[number]["bytes"]), (&name.into(), &0.into()));
        assert!(json[number]["shared_bytes"].as_u64().unwrap() >= 20_000, "{json}");
        assert_eq!((rows[number + 1][0], rows[number + 1][1]), (name, "0B"));
        assert!(rows[number + 1][2].ends_with('K'), "{list}");
    }
}

#[test]
fn sandboxes_are_renamed_and_deleted() {
    let places = Places::new();
    places.change("write /data/there changed");
    places.sandbox("rename s a/b").fails(125, "is no name");
    assert_eq!(places.tells("rename s t"), "");
    assert_eq!(places.tells("diff t"), "M /data/there\n");
    places.change("write /data/there other");
    places.sandbox("rename s t").fails(125, "there is a sandbox t already");
    places.sandbox("delete missing t").fails(125, "there is no sandbox missing; there are s, t");
    places.sandbox("show t").fails(125, "there is no sandbox t; there is s");
    assert_eq!(places.tells("rm s"), "");
    let left = |of: &str| fs::read_dir(places.state.path().join("vnode").join(of)).unwrap().count();
    assert_eq!((left("sandboxes"), left("uppers")), (0, 0));
    assert_eq!(places.host.read("there"), "host's");
}

#[test]
fn old_ones_are_pruned() {
    let places = Places::new();
    places.change("write /data/there changed");
    assert_eq!(places.tells("prune"), "");
    assert_eq!(places.tells("prune --unused-for 1d"), "");
    assert_eq!(places.tells("diff s"), "M /data/there\n");
    let told = places.tells("prune --unused-for 0s --dry-run");
    assert!(told.starts_with("would delete s, unused for "), "{told}");
    assert!(places.tells("prune --unused-for 0s").starts_with("deleted s, "));
    places.sandbox("show s").fails(125, "there is no sandbox s");
    // What interrupted commands left.
    fs::create_dir_all(places.state.path().join(format!("vnode/uppers/{}/upper", "0".repeat(32)))).unwrap();
    let told = places.tells("prune");
    assert!(told.starts_with("removed what 1 interrupted commands left, "), "{told}");
}

#[test]
fn discarded_changes_are_gone() {
    let places = Places::new();
    let before = places.host.picture();
    places.change("write /data/there changed : unlink /data/old : mkdir /data/new");
    assert_eq!(places.tells("discard s"), "");
    assert_eq!(places.tells("diff s"), "");
    let ran = places.run(&["--sandbox", "s"], "cat /data/there : cat /data/old");
    assert_eq!(ran.stdout, "cat /data/there: \"host's\"\ncat /data/old: \"old\"\n");
    assert_eq!(places.host.picture(), before);
}

#[test]
fn forks_go_their_own_ways() {
    let places = Places::new();
    places.change("write /data/there changed : rename /data/d /data/e : append /data/h +");
    assert_eq!(places.tells("fork s t"), "");
    places.sandbox("fork s t").fails(125, "there is a sandbox t already");
    places.change("write /data/there first : unlink /data/e/f");
    let ran = places
        .run(&["--sandbox", "t"], "cat /data/there : cat /data/e/f : cat /data/i : write /data/there second");
    assert_eq!(
        ran.stdout,
        "cat /data/there: \"changed\"\ncat /data/e/f: \"d/f\"\ncat /data/i: \"h+\"\nwrite /data/there: ok\n"
    );
    let ran = places.run(&["--sandbox", "s"], "cat /data/there : list /data/e : cat /data/i");
    assert_eq!(ran.stdout, "cat /data/there: \"first\"\n/data/e list .: . .. sub\ncat /data/i: \"h+\"\n");
    // What both have stays as long as one of them does.
    assert_eq!(places.tells("delete s"), "");
    let ran = places.run(&["--sandbox", "t"], "cat /data/there : cat /data/e/sub/deep");
    assert_eq!(ran.stdout, "cat /data/there: \"second\"\ncat /data/e/sub/deep: \"d/sub/deep\"\n");
    assert_eq!(places.host.read("there"), "host's");
}

/// The host's tree, but for times.
fn tree(places: &Places) -> Vec<String> {
    let mut lines = Vec::new();
    let mut left = vec![places.host.path().to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = match meta.file_type() {
            kind if kind.is_file() => fs::read_to_string(&path).unwrap(),
            kind if kind.is_symlink() => fs::read_link(&path).unwrap().display().to_string(),
            _ => String::new(),
        };
        let name = path.strip_prefix(places.host.path()).unwrap().display();
        lines.push(format!("{name} {:o} {content}", meta.permissions().mode()));
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    lines.sort();
    lines
}

#[test]
fn everything_is_applied() {
    let places = Places::new();
    places.change(CHANGES);
    let deep = fs::metadata(places.host.path().join("d/sub/deep")).unwrap().ino();
    let ran = places.sandbox("apply s");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let read = |name: &str| places.host.read(name);
    assert_eq!(
        (read("there"), read("h"), read("i"), read("new")),
        ("changed".into(), "h+".into(), "h+".into(), "n".into())
    );
    let ino = |name: &str| fs::symlink_metadata(places.host.path().join(name)).unwrap().ino();
    assert_eq!(ino("h"), ino("i"));
    // It was renamed, not copied.
    assert_eq!(ino("e/sub/deep"), deep);
    assert_eq!(fs::read_link(places.host.path().join("moved")).unwrap().to_str(), Some("nowhere"));
    assert_eq!(fs::read_link(places.host.path().join("link")).unwrap().to_str(), Some("e/f"));
    for gone in ["d", "old", "dangling", "e/f", ".vnode-apply"] {
        assert!(!places.host.has(gone), "{gone}");
    }
    assert_eq!(read("dir/f"), "text");
    assert_eq!(places.tells("diff s"), "");
    // The sandbox goes on over what the directory has now.
    let ran =
        places.run(&["--sandbox", "s"], "cat /data/there : write /data/there again : cat /data/e/sub/deep");
    assert_eq!(
        ran.stdout,
        "cat /data/there: \"changed\"\nwrite /data/there: ok\ncat /data/e/sub/deep: \"d/sub/deep\"\n"
    );
    assert_eq!(places.tells("diff s"), "M /data/there\n");
}

#[test]
fn a_part_is_applied_and_the_rest_after_it() {
    let (places, whole) = (Places::new(), Places::new());
    for places in [&places, &whole] {
        places.change(CHANGES);
    }
    assert_eq!(whole.sandbox("apply s").code, Some(0));
    let ran = places.sandbox("apply s /data/there /data/dir");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!((places.host.read("there"), places.host.read("dir/f")), ("changed".into(), "text".into()));
    assert!(places.host.has("d/f") && places.host.has("old") && !places.host.has("new"));
    let left = places.tells("diff s");
    assert!(!left.contains("/data/there") && !left.contains("/data/dir"), "{left}");
    assert!(left.contains("R /data/d/ -> /data/e/"), "{left}");
    assert_eq!(places.sandbox("apply s").code, Some(0));
    assert_eq!(tree(&places), tree(&whole));
}

#[test]
fn nothing_is_applied_over_what_others_changed() {
    let places = Places::new();
    places.change(CHANGES);
    fs::write(places.host.path().join("there"), "the user's own").unwrap();
    fs::write(places.host.path().join("new"), "the user's, too").unwrap();
    let before = places.host.picture();
    let ran = places.sandbox("apply s");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("/data/there") && ran.stderr.contains("/data/new"), "{ran:?}");
    assert!(!ran.stderr.contains("/data/h"), "{ran:?}");
    assert!(ran.stderr.contains("--force"), "{ran:?}");
    let ran = places.sandbox("apply s --json");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""), "{ran:?}");
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["applied"], false);
    assert_eq!(json["conflicts"][0]["path"], "/data/new");
    assert_eq!(places.host.picture(), before);
    // What is no conflict can be chosen.
    assert_eq!(places.sandbox("apply s /data/h").code, Some(0));
    assert_eq!((places.host.read("h"), places.host.read("there")), ("h+".into(), "the user's own".into()));
    // And the rest is one still.
    let ran = places.sandbox("apply s");
    assert!(
        ran.code == Some(1) && ran.stderr.contains("/data/there (") && ran.stderr.contains("/data/new ("),
        "{ran:?}"
    );
    let ran = places.sandbox("apply --force s");
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stderr.contains("--force overwrote what the host changed meanwhile:\n  /data/new ("),
        "{ran:?}"
    );
    assert_eq!((places.host.read("there"), places.host.read("new")), ("changed".into(), "n".into()));
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let places = Places::new();
    places.change(CHANGES);
    let before = places.host.picture();
    let told = places.tells("apply --dry-run s");
    for path in ["/data/there", "/data/old", "/data/e", "/data/link", "/data/dir/f"] {
        assert!(told.contains(path), "{path}: {told}");
    }
    assert_eq!(places.host.picture(), before);
    assert!(!places.tells("diff s").is_empty());
}

#[test]
fn links_are_applied_as_links() {
    let places = Places::new();
    let outside = Dir::new();
    places.change(&format!(
        "symlink {0} /data/a : symlink {0}/there /data/b : symlink loop /data/loop : rename /data/d /data/e : symlink \
         {0} /data/d",
        outside.text("")
    ));
    assert_eq!(places.sandbox("apply s").code, Some(0));
    for name in ["a", "b", "loop", "d"] {
        assert!(fs::symlink_metadata(places.host.path().join(name)).unwrap().is_symlink(), "{name}");
    }
    // The host's links lead nobody out: what the guest wrote below a directory isn't written where a link leads now.
    places.change("write /data/e/f changed : create /data/e/new n");
    fs::rename(places.host.path().join("e"), places.host.path().join("kept")).unwrap();
    symlink(outside.path(), places.host.path().join("e")).unwrap();
    let before = outside.picture();
    for words in ["apply s", "apply --force s"] {
        let ran = places.sandbox(words);
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
        assert_eq!(outside.picture(), before, "{ran:?}");
    }
}

#[test]
fn a_part_is_discarded() {
    let places = Places::new();
    let before = places.host.picture();
    places.change(CHANGES);
    assert_eq!(places.tells("discard s /data/there /data/e /data/d /data/old /data/dir"), "");
    let left = places.tells("diff s");
    for path in ["/data/there", "/data/old", "/data/dir", "/data/e", "/data/d"] {
        assert!(
            !left.lines().any(|line| line.contains(&format!("{path}/")) || line.ends_with(path)),
            "{path}: {left}"
        );
    }
    assert!(left.contains("M /data/h") && left.contains("A /data/new"), "{left}");
    let ran =
        places.run(&["--sandbox", "s"], "cat /data/there : cat /data/d/f : cat /data/old : cat /data/new");
    assert_eq!(
        ran.stdout,
        "cat /data/there: \"host's\"\ncat /data/d/f: \"d/f\"\ncat /data/old: \"old\"\ncat /data/new: \"n\"\n"
    );
    assert_eq!(places.host.picture(), before);
}

#[test]
fn changes_are_exported() {
    let places = Places::new();
    places.change(CHANGES);
    let file = places.state.path().join("layer.tar");
    let names = |words: &str| {
        let _ = fs::remove_file(&file);
        assert_eq!(places.sandbox(&format!("export s {words} -o {}", file.display())).code, Some(0));
        let mut names: Vec<String> = tar::Archive::new(fs::File::open(&file).unwrap())
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        names.sort();
        names
    };
    let oci = names("");
    for name in ["there", ".wh.old", ".wh.d", "e/sub/deep", "link", "dir/f"] {
        assert!(oci.iter().any(|there| there == name), "{name}: {oci:?}");
    }
    let plain = names("--format tar --exclude dir/");
    assert!(!plain.iter().any(|name| name.contains(".wh.") || name.starts_with("dir")), "{plain:?}");
    let whole = names("--format tree");
    assert!(whole.iter().any(|name| name == "i") && !whole.iter().any(|name| name == "old"), "{whole:?}");
    // To stdout, the same bytes each time.
    let bytes = || places.vnode().args(["sandbox", "export", "s"]).output().unwrap().stdout;
    assert!(bytes().len() > 1024 && bytes() == bytes());
    let export = places.sandbox("export s -o /nowhere/file");
    export.fails(125, "/nowhere/file");
}

#[test]
fn no_guest_writes_where_sandboxes_are_kept() {
    let places = Places::new();
    let given = |of: &str, more: &str| format!("{}::/x{more}", places.state.text(of));
    // Before there are some, and when there are.
    for of in ["", "", "vnode"] {
        let ran = places.run(&["--dir", &given(of, "")], "create /x/f text");
        ran.fails(125, "vnode's sandboxes are there");
        if of.is_empty() {
            assert_eq!(places.run(&["--dir", &given(of, "::ro")], "cat /x/there").code, Some(0));
        }
        places.change("write /data/there changed");
    }
}

#[test]
fn a_directory_that_became_a_link_is_refused() {
    let places = Places::new();
    let victim = Dir::new();
    let before = victim.picture();
    let run = |words: &[&str], steps: &str| places.run(words, steps);
    let made = run(&["--sandbox", "inner", "--overlay", "d/sub::/s"], "create /s/evil x : mkdir /s/cron");
    assert_eq!(made.code, Some(0), "{made:?}");
    // Another guest's changes, when they are applied.
    let steps =
        format!("unlink /data/d/sub/deep : rmdir /data/d/sub : symlink {} /data/d/sub", victim.text(""));
    places.change(&steps);
    assert_eq!(places.sandbox("apply s").code, Some(0));
    for words in ["apply inner", "apply inner --force", "apply inner /s/evil", "diff inner"] {
        places.sandbox(words).fails(125, "was replaced by a link");
    }
    run(&["--sandbox", "inner"], "list /s").fails(125, "was replaced by a link");
    let again = run(&["--sandbox", "inner", "--overlay", "d/sub::/s"], "list /s");
    again.fails(125, "sandbox inner has --overlay d/sub::/s there");
    assert_eq!(victim.picture(), before);
    assert_eq!(places.tells("delete inner"), "");
}
