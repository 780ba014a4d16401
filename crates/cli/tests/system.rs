//! `/dev`, `/proc` and `/tmp`: what a guest of WASIX finds in its tree.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use support::hosts::Dir;
use support::{Ran, run_with_input, vnode};

/// A guest by its name. `cargo xtask tidy` looks for these.
macro_rules! guest {
    ($name:literal) => {
        support::guest($name)
    };
}

/// Runs the guest that looks at files; what it says.
#[track_caller]
fn look(options: &[&str], steps: &str) -> Vec<String> {
    let mut command = vnode();
    command.arg("run").args(options).arg(guest!("system")).args(steps.split_whitespace());
    let ran = run_with_input(&mut command, b"typed");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    ran.stdout.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_posix_process_has_devices() {
    assert_eq!(
        look(&[], "cat /dev/null say /dev/null say /dev/full stat /dev/zero"),
        ["[0]", "say /dev/null = 5", "say /dev/full = ENOSPC", "char 0",]
    );
    assert_eq!(look(&[], "list /dev"), [". .. null zero full random urandom tty fd stdin stdout stderr "]);
    // Its descriptors, by the names that programs are given.
    assert_eq!(
        look(&[], "cat /dev/fd/0 say /dev/stdout link /dev/stdin"),
        ["typed[5]", "said", "say /dev/stdout = 5", "/proc/self/fd/0",]
    );
    assert_eq!(look(&[], "cat /dev/stdin cat /dev/fd/99"), ["typed[5]", "open /dev/fd/99 = ENOENT"]);
    assert_eq!(look(&[], "cat /dev/tty say /dev/new"), ["open /dev/tty = ENXIO", "say /dev/new = EROFS"]);
}

#[test]
fn a_posix_process_has_proc() {
    let said = look(&["--argv0", "name", "-e", "A=b"], "cat /proc/self/cmdline cat /proc/1/environ");
    assert_eq!(said, ["name|cat|/proc/self/cmdline|cat|/proc/1/environ|[48]", "A=b|[4]"]);
    let said =
        look(&["--tmpfs", "/work", "--cwd", "/work"], "link /proc/self link /proc/self/cwd list /proc/1");
    assert_eq!(said, ["1", "/work", ". .. fd environ status cmdline cwd root exe "]);
    assert_eq!(look(&["--user", "7:8"], "cat /proc/self/status")[8], "Uid:\t7\t7\t7\t7");
}

#[test]
fn there_is_a_tmp_unless_the_tree_has_one() {
    assert_eq!(look(&[], "say /tmp/x cat /tmp/x"), ["say /tmp/x = 5", "said", "[5]"]);
    // Anybody may write there.
    let dir = Dir::new();
    let root = format!("{}::/", dir.text(""));
    let before = dir.picture();
    let said = look(&["--dir", &root, "--user", "7"], "say /tmp/x list / say /dev/null");
    assert_eq!((said[0].as_str(), said[2].as_str()), ("say /tmp/x = 5", "say /dev/null = 5"));
    let mut names: Vec<&str> = said[1].split_whitespace().collect();
    names.sort_unstable();
    assert_eq!(names, [".", "..", "dev", "proc", "there", "tmp"]);
    assert_eq!(dir.picture(), before, "nothing of it is on the host");
    // What the host has is the guest's, as everything else there.
    std::fs::create_dir(dir.path().join("tmp")).unwrap();
    assert_eq!(look(&["--dir", &root], "say /tmp/x"), ["say /tmp/x = 5"]);
    assert_eq!(dir.read("tmp/x"), "said\n");
    // A mount below it makes up no directory that nobody could write.
    assert_eq!(
        look(&["--tmpfs", "/tmp/a", "--preopen", "/"], "say /tmp/x say /tmp/a/x list /tmp"),
        ["say /tmp/x = 5", "say /tmp/a/x = 5", ". .. a x ",]
    );
}

#[test]
fn what_the_user_mounts_there_wins() {
    let dir = Dir::new();
    for point in ["/dev", "/proc", "/tmp"] {
        let mount = format!("{}::{point}", dir.text(""));
        assert_eq!(look(&["--dir", &mount], &format!("cat {point}/there")), ["host's[6]"], "{point}");
    }
    // Below it, both are there.
    let shm = format!("{}::/dev/shm", dir.text(""));
    assert_eq!(
        look(&["--dir", &shm], "cat /dev/shm/there say /dev/null"),
        ["host's[6]", "say /dev/null = 5"]
    );
}

#[test]
fn what_the_tree_has_there_is_covered_and_stays() {
    let dir = Dir::new();
    std::fs::create_dir(dir.path().join("dev")).unwrap();
    std::fs::write(dir.path().join("dev/null"), "the host's").unwrap();
    std::fs::write(dir.path().join("proc"), "a file").unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("tmp")).unwrap();
    let before = dir.picture();
    let root = format!("{}::/::noatime", dir.text(""));
    let said = look(&["--dir", &root], "say /dev/null stat /dev/null cat /proc link /tmp");
    assert_eq!(said, ["say /dev/null = 5", "char 0", "a file[6]", "nowhere"]);
    assert_eq!(dir.picture(), before);
}

#[test]
fn a_guest_of_preview_1_sees_what_it_was_given_and_nothing_else() {
    let said = Ran::from(
        vnode()
            .args(["run", &support::guest("files"), "list", "/", ":", "stat", "/dev", ":", "stat", "/proc"])
            .output()
            .unwrap(),
    );
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    assert!(!said.stdout.contains("null") && said.stdout.contains("stat /dev: ENOENT"), "{}", said.stdout);
}

#[test]
fn commands_are_in_bin_and_on_the_path() {
    let dir = Dir::new();
    for name in ["ls.wasm", "cat.wasm", "readme.txt", ".wasm"] {
        std::fs::write(dir.path().join(name), name).unwrap();
    }
    std::fs::create_dir(dir.path().join("sub.wasm")).unwrap();
    let own = format!("cat={}", dir.text("there"));
    let (bins, in_env) = (dir.text(""), "cat /proc/self/environ");
    let look_with = |options: &[&str], steps: &str| {
        look(&[&["--bin-dir", &bins, "--bin", &own], options].concat(), steps)
    };
    assert_eq!(
        look_with(&[], "list /bin cat /bin/cat cat /bin/ls say /bin/ls say /bin/new stat /bin/ls"),
        [
            ". .. cat ls ",
            // What is named goes over what lies in the directory.
            "host's[6]",
            "ls.wasm[7]",
            "say /bin/ls = EROFS",
            "say /bin/new = EROFS",
            "file 7",
        ]
    );
    assert_eq!(look_with(&[], in_env), ["PATH=/usr/local/bin:/bin:/usr/bin|[34]"]);
    assert_eq!(look_with(&["--env", "PATH=/x"], in_env), ["PATH=/x|[8]"]);
    assert_eq!(look(&[], in_env), ["[0]"]);
}

#[test]
fn commands_are_executed_by_their_names() {
    let options = ["--bin", &format!("look={}", guest!("system"))];
    let said = look(&options, "run look run none");
    assert_eq!(said, ["process 2", "char 0", "look: status 0", "spawn none = ENOENT"]);
    assert_eq!(
        look(&[&options[..], &["--env", "PATH=/usr/bin"]].concat(), "run look"),
        ["spawn look = ENOENT"]
    );
}

#[test]
fn a_command_that_cannot_be_is_told_with_its_option() {
    let dir = Dir::new();
    std::fs::write(dir.path().join("x.wasm"), "x").unwrap();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    let (file, directory, empty) = (dir.text("there"), dir.text(""), dir.text("empty"));
    let x = format!("x={file}");
    let fails = |options: &[&str], says: &str| {
        let ran = Ran::from(vnode().arg("run").args(options).arg(guest!("system")).output().unwrap());
        ran.fails(125, says);
    };
    fails(&["--bin", "x"], "write NAME=FILE");
    fails(&["--bin", "x="], "the file behind = is missing");
    fails(&["--bin", "a/b=x"], "is no name for a file in /bin");
    fails(&["--bin", "..=x"], "is no name for a file in /bin");
    fails(&["--bin", "x=/no/such"], "--bin x=/no/such: can't read it");
    fails(&["--bin", &format!("x={directory}")], "that is no file");
    fails(&["--bin", &x, "--bin", &x], "two commands are named x");
    fails(&["--bin-dir", "/no/such"], "--bin-dir /no/such: can't read it");
    fails(&["--bin-dir", &empty], "no .wasm file is there");
    fails(&["--bin-dir", &directory, "--bin-dir", &directory], "two commands are named x");
    fails(&["--bin", &x, "--tmpfs", "/bin"], "--tmpfs /bin is on /bin");
}
