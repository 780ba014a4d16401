//! Overlays: what the guest changes is kept elsewhere, and the host's directory stays as it is.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use support::Ran;
use support::hosts::{Dir, command, files, is_root, lines};

/// A host's directory with a little of everything.
fn lower() -> Dir {
    let dir = Dir::new();
    for name in ["d", "d/sub", "gone"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    for name in ["d/f", "d/sub/deep", "gone/g", "old", "h"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    fs::hard_link(dir.path().join("h"), dir.path().join("i")).unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    dir
}

/// Changes of every kind.
const CHANGES: &str = "write /data/there changed : append /data/h + : rename /data/d /data/e : unlink /data/gone/g \
    : rmdir /data/gone : mkdir /data/gone : rename /data/dangling /data/moved : unlink /data/old \
    : create /data/new n : symlink e/f /data/link";

/// What is seen after them.
const LOOK: &str = "list /data : cat /data/there : cat /data/i : cat /data/e/sub/deep : list /data/gone \
    : readlink /data/moved : cat /data/old : cat /data/link : lstat /data/d";

#[track_caller]
fn assert_changed(said: &[String]) {
    assert_eq!(
        said,
        [
            "/data list .: . .. e gone h i link moved new there",
            "cat /data/there: \"changed\"",
            "cat /data/i: \"h+\"",
            "cat /data/e/sub/deep: \"d/sub/deep\"",
            "/data/gone list .: . ..",
            "readlink /data/moved: \"nowhere\"",
            "cat /data/old: ENOENT",
            "cat /data/link: \"d/f\"",
            "lstat /data/d: ENOENT",
        ]
    );
}

/// `--overlay` of a directory at `/data`.
fn overlay(lower: &Dir, keys: &str) -> String {
    format!("{}::/data{keys}", lower.text(""))
}

#[track_caller]
fn change(options: &[&str]) {
    let said = files(options, CHANGES);
    assert!(said.iter().all(|line| line.ends_with(": ok")), "{said:#?}");
}

#[test]
fn changes_in_memory_are_gone_with_the_guest() {
    let host = lower();
    let before = host.picture();
    let option = overlay(&host, "");
    let said = files(&["--overlay", &option], &format!("{CHANGES} : {LOOK}"));
    let (changes, look) = said.split_at(10);
    assert!(changes.iter().all(|line| line.ends_with(": ok")), "{changes:#?}");
    assert_changed(look);
    assert_eq!(host.picture(), before);
    assert_eq!(files(&["--overlay", &option], "cat /data/there"), ["cat /data/there: \"host's\""]);
}

#[test]
fn changes_in_a_directory_are_there_in_the_next_run() {
    let (host, place) = (lower(), Dir::new());
    let before = host.picture();
    let upper = place.path().join("changes");
    let option = overlay(&host, &format!(",upper={}", upper.display()));
    change(&["--overlay", &option]);
    assert_changed(&files(&["--overlay", &option], LOOK));
    assert_changed(&files(
        &["--mount", &format!("type=overlay,lower={},upper={},dst=/data", host.text(""), upper.display())],
        LOOK,
    ));
    assert_eq!(host.picture(), before);
    // The format: what was deleted is a device 0:0; nobody else may enter.
    let meta = |name: &str| fs::symlink_metadata(upper.join(name)).unwrap();
    assert!(meta("upper/old").file_type().is_char_device() && meta("upper/old").rdev() == 0);
    assert_eq!(meta("").permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_to_string(upper.join("upper/there")).unwrap(), "changed");
    let left: Vec<_> =
        fs::read_dir(upper.join("work")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["index"]);
    let noted = fs::read_to_string(upper.join("meta")).unwrap();
    for path in ["/there", "/h", "/d", "/gone", "/gone/g", "/dangling", "/old"] {
        let lines: Vec<&str> = noted.lines().filter(|line| line.ends_with(&format!(" {path}"))).collect();
        let host = fs::symlink_metadata(host.path().join(&path[1..])).unwrap();
        assert!(
            lines.iter().any(|line| line.contains(&format!(" {} {} ", host.ino(), host.size()))),
            "{path}: {noted}"
        );
    }
    // Without the directory nothing of it is seen.
    assert_eq!(files(&["--overlay", &overlay(&host, "")], "cat /data/old"), ["cat /data/old: \"old\""]);
}

#[test]
fn the_kernel_shows_what_was_changed() {
    let (host, place) = (lower(), Dir::new());
    let (upper, seen) = (place.path().join("changes"), place.path().join("seen"));
    change(&["--overlay", &overlay(&host, &format!(",upper={}", upper.display()))]);
    fs::create_dir(&seen).unwrap();
    // As the help says.
    let option = format!(
        "redirect_dir=on,index=on,lowerdir={},upperdir={}/upper,workdir={}/work",
        host.text(""),
        upper.display(),
        upper.display()
    );
    // In a namespace of its own, with which the mount is gone.
    let script = "mount -t overlay -o \"$1\" overlay \"$2\" && cd \"$2\" && ls | tr '\\n' ' ' && cat there e/sub/deep link h";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh", &option, seen.to_str().unwrap()])
        .output();
    let Ok(output) = output else { return println!("skipped: there is no unshare") };
    if !output.status.success() {
        return println!("skipped: {}", String::from_utf8_lossy(&output.stderr));
    }
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "e gone h i link moved new there changedd/sub/deepd/fh+");
}

#[test]
fn lowers_lie_on_one_another_in_their_order() {
    let (top, bottom) = (Dir::new(), lower());
    fs::write(top.path().join("there"), "top").unwrap();
    fs::create_dir(top.path().join("d")).unwrap();
    fs::write(top.path().join("d/t"), "t").unwrap();
    let (first, second) = (top.text(""), bottom.text(""));
    let look = "cat /data/there : list /data/d : cat /data/old";
    for (options, there) in [
        (["--overlay", &format!("{first}::/data,lower={second}")], "top"),
        (["--overlay", &format!("{second}::/data,lower={first}")], "host's"),
        (["--mount", &format!("type=overlay,lower={first},lower={second},dst=/data")], "top"),
    ] {
        let said = files(&options, look);
        assert_eq!(said[0], format!("cat /data/there: \"{there}\""), "{options:?}");
        assert_eq!(said[1..], ["/data/d list .: . .. f sub t", "cat /data/old: \"old\""], "{options:?}");
    }
}

#[test]
fn a_directory_is_named_as_it_is_spelled() {
    let host = lower();
    let ran = |option: &str| {
        let output = command(&["--overlay", option], "write there changed : cat there")
            .current_dir(host.path())
            .output();
        Ran::from(output.unwrap())
    };
    assert_eq!(lines(&ran(".")), ["write there: ok", "cat there: \"changed\""]);
    assert_eq!(host.read("there"), "host's");
}

#[test]
fn an_overlay_holds_as_much_as_it_may() {
    let (host, place) = (lower(), Dir::new());
    let big = "x".repeat(100_000);
    let plain = overlay(&host, "");
    let kept = |name: &str| overlay(&host, &format!(",upper={}", place.path().join(name).display()));
    let (first, second) = (kept("1"), kept("2"));
    let write = format!("write /data/big {big} : create /data/more {big}");
    for (options, holds) in [
        (&["--overlay", &plain, "--quota", "64K"][..], false),
        (&["--overlay", &plain, "--max-fs-bytes", "64K"], false),
        (&["--overlay", &first, "--quota", "64K"], false),
        (&["--overlay", &second, "--max-fs-bytes", "64K"], true),
        (&["--overlay", &second, "--quota", "64K"], false),
        (&["--overlay", &format!("{plain}::size=1M"), "--quota", "64K"], true),
        (&["--overlay", &format!("{plain},size=64K"), "--quota", "1M"], false),
        (&["--overlay", &plain, "--quota", "0", "--max-fs-bytes", "64K"], true),
    ] {
        // What had room was written.
        let said = files(options, &write);
        assert_eq!(said[0] == "write /data/big: ok", holds, "{options:?}");
        assert_eq!(said[1] == "create /data/more: ok", holds, "{options:?}");
        assert!(holds || said.iter().any(|line| line.ends_with(": ENOSPC")), "{options:?}: {said:?}");
    }
    let steps: Vec<String> = (0..12).map(|number| format!("create /data/{number} x")).collect();
    let said = files(&["--overlay", &format!("{plain},inodes=12")], &steps.join(" : "));
    assert!(said[0].ends_with(": ok") && said[11].ends_with(": ENOSPC"), "{said:#?}");
}

#[test]
fn a_read_only_overlay_refuses_every_change() {
    let (host, place) = (lower(), Dir::new());
    let option = overlay(&host, &format!(",upper={}/changes,ro", place.text("")));
    let said = files(&["--overlay", &option], &format!("{CHANGES} : cat /data/old"));
    let (changes, look) = said.split_at(10);
    // As on Linux, what is there is told first.
    let refuses = |line: &String| line.ends_with(": EROFS") || line == "mkdir /data/gone: EEXIST";
    assert!(changes.iter().all(refuses), "{changes:#?}");
    assert_eq!(look, ["cat /data/old: \"old\""]);
}

#[track_caller]
fn refused(option: &str, says: &str) {
    let ran = Ran::from(command(&["--overlay", option], "list /").output().unwrap());
    ran.fails(125, says);
    assert!(ran.stderr.contains(&format!("--overlay {option}: ")), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_is_told_before_the_guest_starts() {
    let (host, place) = (lower(), Dir::new());
    let (there, elsewhere) = (host.text(""), place.text(""));
    let before = host.picture();
    let upper = |path: &str| format!("{there}::/data,upper={path}");
    refused(&format!("{there}/missing::/data"), "the host has no directory");
    refused(&format!("{there}::/data,lower={there}/missing"), "missing");
    refused(&format!("{there}/there::/data"), "is no directory on the host");
    refused(&format!("{there}:/data"), &format!("write --overlay {there}::/data"));
    // In one another, by whatever path.
    let link = place.path().join("link");
    symlink(host.path(), &link).unwrap();
    for path in [&there, &format!("{there}/d"), &format!("{there}/new"), &format!("{}/new", link.display())] {
        refused(&upper(path), "are in one another; keep changes elsewhere");
    }
    fs::create_dir_all(place.path().join("around/in")).unwrap();
    refused(&format!("{elsewhere}/around/in::/data,upper={elsewhere}/around"), "are in one another");
    refused(
        &format!("{there}::/data,lower={elsewhere}/around,upper={elsewhere}/around/in"),
        "are in one another",
    );
    // Nothing that an overlay could be kept in.
    refused(&upper(&format!("{elsewhere}/missing/new")), "can't keep changes in");
    refused(&upper(&format!("{elsewhere}/there")), "can't keep changes in");
    refused(&upper(&elsewhere), ", which no overlay made");
    let own = place.path().join("own");
    fs::create_dir_all(own.join("upper")).unwrap();
    fs::create_dir_all(own.join("work/important")).unwrap();
    refused(&upper(own.to_str().unwrap()), "has work/important, which no overlay made");
    assert!(own.join("work/important").is_dir());
    let later = place.path().join("later");
    fs::create_dir(&later).unwrap();
    fs::write(later.join("meta"), "vnode-overlay-meta 2 trusted\n").unwrap();
    refused(&upper(later.to_str().unwrap()), "was made by another version of vnode");
    // It looks like one, and is somebody's own.
    for meta in ["", "title: x", "vnode-overlay-meta 1 trusted\n"] {
        let like = place.path().join("like");
        fs::create_dir_all(like.join("work/src")).unwrap();
        fs::write(like.join("work/src/thesis"), "thesis").unwrap();
        fs::write(like.join("meta"), meta).unwrap();
        refused(&upper(like.to_str().unwrap()), "has work/src, which no overlay made");
        fs::remove_dir_all(like.join("work")).unwrap();
        let says = if meta == "title: x" { "its file meta is damaged" } else { "" };
        if !says.is_empty() {
            refused(&upper(like.to_str().unwrap()), says);
            assert!(!like.join("upper").exists() && !like.join("work").exists());
            assert_eq!(fs::read_to_string(like.join("meta")).unwrap(), meta);
        }
    }
    for (name, makes) in [("work", "no directory"), ("upper", "no directory")] {
        let wrong = place.path().join(format!("wrong-{name}"));
        fs::create_dir(&wrong).unwrap();
        fs::write(wrong.join(name), "").unwrap();
        refused(&upper(wrong.to_str().unwrap()), &format!("has {name}, {makes}, which no overlay made"));
    }
    let lossy = place.path().join("lossy");
    fs::create_dir_all(lossy.join("work/work/incompat/volatile")).unwrap();
    refused(&upper(lossy.to_str().unwrap()), "remove");
    assert_eq!(host.picture(), before);
}

#[test]
fn a_directory_is_one_runs_at_a_time() {
    let (host, place) = (lower(), Dir::new());
    let option = overlay(&host, &format!(",upper={}/changes", place.text("")));
    let mut first = command(&["--overlay", &option], "write /data/there first : wait");
    let mut first = first.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(first.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "write /data/there: ok");
    refused(&option, &format!("changes is in use by process {}; wait until that ends", first.id()));
    first.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(first.wait().unwrap().success());
    assert_eq!(files(&["--overlay", &option], "cat /data/there"), ["cat /data/there: \"first\""]);
    // Nor of two mounts of one run.
    let twice = ["--overlay", &option, "--overlay", &option.replace("::/data", "::/other")];
    Ran::from(command(&twice, "list /").output().unwrap()).fails(125, "is in use by process");
}

/// Runs `vnode --overlay OPTION` behind a shell's script, in a mount namespace of its own; nothing where that can't be.
fn behind(script: &str, arguments: &[&str], option: &str) -> Option<Ran> {
    if !is_root() {
        println!("skipped: only root can mount");
        return None;
    }
    let arguments: Vec<&str> = arguments.to_vec();
    let script = format!("{{ {script}; }} || exit 77; shift {}; exec \"$@\"", arguments.len());
    let mut run = Command::new("unshare");
    run.args(["-m", "sh", "-c", &script, "sh"]).args(arguments);
    let vnode = command(&["--overlay", option], "list /");
    run.arg(vnode.get_program()).args(vnode.get_args()).stdin(Stdio::null());
    let ran = Ran::from(run.output().ok()?);
    if ran.code == Some(77) || ran.stderr.starts_with("unshare") {
        println!("skipped: {}", ran.stderr);
        return None;
    }
    Some(ran)
}

#[test]
fn a_filesystem_that_can_not_keep_changes_is_refused() {
    let (host, place) = (lower(), Dir::new());
    let at = place.text("at");
    fs::create_dir(&at).unwrap();
    let option = overlay(&host, &format!(",upper={at}/changes"));
    let unfit = "is on a filesystem without extended attributes or device nodes";
    if let Some(ran) = behind("mount -t ramfs none \"$1\"", &[&at], &option) {
        ran.fails(125, unfit);
        assert!(ran.stderr.contains("give a directory on ext4"), "{}", ran.stderr);
    }
    // Linux's overlayfs lets nobody make its whiteouts, either.
    let script =
        "mkdir \"$2/u\" \"$2/w\" && mount -t overlay -o \"lowerdir=$3,upperdir=$2/u,workdir=$2/w\" o \"$1\"";
    let nested = overlay(&host, &format!(",upper={at}/nested"));
    if let Some(ran) = behind(script, &[&at, &place.text(""), &host.text("d")], &nested) {
        ran.fails(125, unfit);
    }
}

#[test]
fn what_is_in_one_another_by_mounts_is_refused() {
    let (host, place) = (lower(), Dir::new());
    let at = place.text("at");
    fs::create_dir(&at).unwrap();
    let option = overlay(&host, &format!(",upper={at}/changes"));
    for (from, to) in [(host.text("d/sub"), at.clone()), (at.clone(), host.text("gone"))] {
        if let Some(ran) = behind("mount --bind \"$1\" \"$2\"", &[&from, &to], &option) {
            ran.fails(125, "are in one another; keep changes elsewhere");
        }
    }
}

#[test]
fn what_the_kernel_has_mounted_is_refused() {
    let (host, place) = (lower(), Dir::new());
    let (seen, upper) = (place.text("seen"), place.text("changes"));
    for dir in [&seen, &upper, &format!("{upper}/upper"), &format!("{upper}/work")] {
        fs::create_dir(dir).unwrap();
    }
    let script = "mount -t overlay -o \"lowerdir=$1,upperdir=$2/upper,workdir=$2/work\" o \"$3\"";
    let option = overlay(&host, &format!(",upper={upper}"));
    if let Some(ran) = behind(script, &[&host.text(""), &upper, &seen], &option) {
        ran.fails(125, &format!("is in use by the overlay mounted on {seen}; unmount that first"));
    }
}

#[test]
fn what_root_kept_is_not_shown_to_who_can_not_read_it() {
    let (host, place) = (lower(), Dir::new());
    let option = overlay(&host, &format!(",upper={}/changes", place.text("")));
    change(&["--overlay", &option]);
    let drop = "--bounding-set=-sys_admin";
    for means in [&["setpriv", drop, "--inh-caps=-sys_admin"][..], &["unshare", "-Ur"]] {
        let vnode = command(&["--overlay", &option], "list /data/gone");
        let mut run = Command::new(means[0]);
        run.args(&means[1..]).arg(vnode.get_program()).args(vnode.get_args()).stdin(Stdio::null());
        if !is_root() {
            return println!("skipped: only root keeps changes as root");
        }
        let Ok(output) = run.output() else { continue };
        let ran = Ran::from(output);
        if ran.stderr.starts_with(means[0]) {
            println!("skipped: {}", ran.stderr);
            continue;
        }
        ran.fails(125, "was made by root, whose trusted.* attributes this process can't see");
    }
    assert_changed(&files(&["--overlay", &option], LOOK));
}

/// Runs as somebody who isn't root; nothing where that can't be.
fn as_nobody(option: &str, steps: &str) -> Option<Vec<String>> {
    let run = command(&["--overlay", option, "--no-cache"], steps);
    let mut command = Command::new(if is_root() { "setpriv" } else { "env" });
    if is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        // Where the tests are, nobody else may be let in.
        let mut reads = Command::new("setpriv");
        reads.args(command.get_args()).args(["test", "-r"]).arg(support::guest("files"));
        if !reads.status().is_ok_and(|status| status.success()) {
            println!("skipped: nobody but root can read the guests");
            return None;
        }
    }
    command.arg(run.get_program()).args(run.get_args()).stdin(Stdio::null());
    let ran = Ran::from(command.output().unwrap());
    Some(lines(&ran))
}

#[test]
fn whoever_is_not_root_keeps_changes_too() {
    let (host, place) = (lower(), Dir::new());
    fs::set_permissions(host.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let before = host.picture();
    let option = overlay(&host, &format!(",upper={}/changes", place.text("")));
    let Some(said) = as_nobody(&option, CHANGES) else { return };
    assert!(said.iter().all(|line| line.ends_with(": ok")), "{said:#?}");
    assert_changed(&as_nobody(&option, LOOK).unwrap());
    assert_eq!(host.picture(), before);
    let meta = fs::read_to_string(place.path().join("changes/meta")).unwrap();
    assert!(meta.starts_with("vnode-overlay-meta 1 user\n"), "{meta}");
    // Root goes on with it.
    if is_root() {
        assert_changed(&files(&["--overlay", &option], LOOK));
    }
}
