//! The founding case from run to run: a link that one command makes, the next finds, whatever keeps it.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use support::Ran;
use support::hosts::{Dir, command, lines};

/// The first command.
const MAKE: &str = "mkdir /data/d : write /data/d/f text : symlink /data/d/f /data/d/abs : symlink ../x/./y// /data/d/raw \
    : symlink f /data/d/rel : symlink d /data/dir : symlink l /data/l : symlink f /data/d/old : rename /data/d/old /data/new \
    : symlink gone /data/d/gone : unlink /data/d/gone";

/// The second, and what it says.
const FOLLOW: &str = "list /data/d : cat /data/d/abs : readlink /data/d/raw : cat /data/dir/rel : stat /data/l : readlink /data/new \
    : lstat /data/d/gone : mkdir /data/dir : append /data/dir/rel +more : cat /data/d/f : rename /data/d /data/moved \
    : readlink /data/moved/raw : cat /data/moved/rel : unlink /data/moved/rel : cat /data/moved/f : lstat /data/moved/rel";

const FOLLOWED: [&str; 16] = [
    "/data/d list .: . .. abs f raw rel",
    "cat /data/d/abs: \"text\"",
    "readlink /data/d/raw: \"../x/./y//\"",
    "cat /data/dir/rel: \"text\"",
    "stat /data/l: ELOOP",
    "readlink /data/new: \"f\"",
    "lstat /data/d/gone: ENOENT",
    "mkdir /data/dir: EEXIST",
    "append /data/dir/rel: ok",
    "cat /data/d/f: \"text+more\"",
    "rename /data/d: ok",
    "readlink /data/moved/raw: \"../x/./y//\"",
    "cat /data/moved/rel: \"text+more\"",
    "unlink /data/moved/rel: ok",
    "cat /data/moved/f: \"text+more\"",
    "lstat /data/moved/rel: ENOENT",
];

/// What the third finds.
const AT_LAST: &str = "list /data : list /data/moved : cat /data/moved/abs : readlink /data/moved/raw";
const LASTING: [&str; 4] = [
    "/data list .: . .. dir l moved new there",
    "/data/moved list .: . .. abs f raw",
    "cat /data/moved/abs: ENOENT",
    "readlink /data/moved/raw: \"../x/./y//\"",
];

/// The same where making a link is `EPERM`.
fn filtered(vnode: &Command) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/linkless.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(vnode.get_program()).args(vnode.get_args());
    python.envs(vnode.get_envs().filter_map(|(name, value)| Some((name, value?))));
    python
}

/// Runs the guest, where links can't be made if `linkless`; nothing where that can't be.
fn says(options: &[&str], steps: &str, linkless: bool) -> Option<Vec<String>> {
    let vnode = command(options, steps);
    let mut run = if linkless { filtered(&vnode) } else { vnode };
    let ran = Ran::from(run.output().ok()?);
    if linkless && ran.code == Some(77) {
        println!("skipped: system calls can't be filtered here");
        return None;
    }
    Some(lines(&ran))
}

#[track_caller]
fn lasts(options: &[&str], linkless: bool) {
    let Some(made) = says(options, MAKE, linkless) else { return };
    assert!(made.iter().all(|line| line.ends_with(": ok")), "{made:#?}");
    assert_eq!(says(options, FOLLOW, linkless).unwrap(), FOLLOWED);
    assert_eq!(says(options, AT_LAST, linkless).unwrap(), LASTING);
}

#[test]
fn in_a_directory_of_the_host() {
    let host = Dir::new();
    lasts(&["--dir", &format!("{}::/data", host.text(""))], false);
}

#[test]
fn in_the_upper_of_an_overlay() {
    let (host, place) = (Dir::new(), Dir::new());
    let before = host.picture();
    lasts(&["--overlay", &format!("{}::/data,upper={}", host.text(""), place.text("changes"))], false);
    assert_eq!(host.picture(), before);
}

#[test]
fn over_an_archive() {
    let place = Dir::new();
    let mut tar = Command::new("tar");
    tar.args(["-cf", &place.text("a.tar"), "-C", &place.text(""), "there"]);
    assert!(tar.status().unwrap().success());
    let option = format!("image={}::/data,upper={}", place.text("a.tar"), place.text("changes"));
    lasts(&["--overlay", &option], false);
}

#[test]
fn where_the_host_has_no_links() {
    for option in ["", "::emulate=yes"] {
        let host = Dir::new();
        let dir = format!("{}::/data{option}", host.text(""));
        let mut options = vec!["--dir", dir.as_str()];
        if option.is_empty() {
            options.push("--emulate-symlinks");
        }
        lasts(&options, true);
        // The host has no link, and a file that tells of them in each directory that had one.
        let mut names: Vec<_> =
            fs::read_dir(host.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".vnode-symlinks", "moved", "there"]);
    }
}

/// What two would keep in one file, one would lose.
#[test]
fn links_of_a_directory_are_one_runs_at_a_time() {
    let host = Dir::new();
    let dir = format!("{}::/data", host.text(""));
    let options = ["--emulate-symlinks", "--dir", &dir];
    let mut first = filtered(&command(&options, "symlink a /data/l : wait"));
    let mut first = first.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(first.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    if said.is_empty() {
        println!("skipped: system calls can't be filtered here, {}", first.wait().unwrap());
        return;
    }
    assert_eq!(said, "symlink /data/l: ok\n");
    let second = Ran::from(filtered(&command(&options, "list /data")).output().unwrap());
    second.fails(125, "another run keeps links in");
    // Who keeps none there may have it.
    let memory = format!("{dir}::emulate=memory");
    let says = Ran::from(filtered(&command(&["--dir", &memory], "list /data")).output().unwrap());
    assert_eq!(says.code, Some(0), "{says:?}");
    first.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(first.wait().unwrap().success());
    let third = Ran::from(filtered(&command(&options, "readlink /data/l")).output().unwrap());
    assert_eq!(third.stdout, "readlink /data/l: \"a\"\n");
}

/// Nothing is made in what an overlay only looks at, not even to find out whether it has links.
#[test]
fn an_overlay_shows_links_that_were_kept() {
    let host = Dir::new();
    let dir = format!("{}::/data", host.text(""));
    let made = "mkdir /data/d : write /data/d/f text : symlink d/f /data/l : symlink gone /data/d/m";
    if says(&["--emulate-symlinks", "--dir", &dir], made, true).is_none() {
        return;
    }
    let before = host.picture();
    let look =
        "list /data : cat /data/l : readlink /data/d/m : symlink new /data/n : unlink /data/l : list /data";
    for options in
        [["--emulate-symlinks", "--overlay", &dir].as_slice(), &["--overlay", &format!("{dir},emulate=yes")]]
    {
        assert_eq!(
            says(options, look, false).unwrap(),
            [
                "/data list .: . .. d l there",
                "cat /data/l: \"text\"",
                "readlink /data/d/m: \"gone\"",
                "symlink /data/n: ok",
                "unlink /data/l: ok",
                "/data list .: . .. d n there",
            ]
        );
    }
    // Nor in a directory that the guest may not change.
    let said = says(
        &["--emulate-symlinks", "--dir", &format!("{dir}::ro")],
        "cat /data/l : symlink a /data/b",
        false,
    );
    assert_eq!(said.unwrap(), ["cat /data/l: \"text\"", "symlink /data/b: EROFS"]);
    assert_eq!(host.picture(), before);
}

#[test]
fn links_are_not_made_up_unless_that_is_asked_for() {
    let host = Dir::new();
    let dir = format!("{}::/data", host.text(""));
    for option in ["", "::emulate=no"] {
        let dir = format!("{dir}{option}");
        let Some(said) = says(&["--dir", &dir], "symlink there /data/l : lstat /data/l", true) else {
            return;
        };
        assert_eq!(said, ["symlink /data/l: EPERM", "lstat /data/l: ENOENT"]);
    }
    // For the run they are kept in memory.
    let memory = format!("{dir}::emulate=memory");
    let said = says(&["--dir", &memory], "symlink there /data/l : cat /data/l : list /data", true).unwrap();
    assert_eq!(said, ["symlink /data/l: ok", "cat /data/l: \"host's\"", "/data list .: . .. l there"]);
    let said = says(&["--dir", &memory], "lstat /data/l", true).unwrap();
    assert_eq!(said, ["lstat /data/l: ENOENT"]);
    assert_eq!(fs::read_dir(host.path()).unwrap().count(), 1);
}

/// Where the host has links, the option changes nothing.
#[test]
fn links_of_the_host_are_its_own() {
    let host = Dir::new();
    let dir = format!("{}::/data", host.text(""));
    let said =
        says(&["--emulate-symlinks", "--dir", &dir], "symlink there /data/l : cat /data/l", false).unwrap();
    assert_eq!(said, ["symlink /data/l: ok", "cat /data/l: \"host's\""]);
    assert_eq!(fs::read_link(host.path().join("l")).unwrap(), Path::new("there"));
    assert_eq!(fs::read_dir(host.path()).unwrap().count(), 2);
}

/// What guests make of such links is applied as such links.
#[test]
fn links_that_were_kept_are_applied() {
    let (host, state) = (Dir::new(), Dir::new());
    let dir = format!("{}::/data", host.text(""));
    let made = "mkdir /data/d : write /data/d/f text : symlink d/f /data/l : symlink gone /data/d/m : symlink a /data/d/n";
    if says(&["--emulate-symlinks", "--dir", &dir], made, true).is_none() {
        return;
    }
    let changes = "unlink /data/l : symlink there /data/made : rename /data/d/m /data/moved : rename /data/d /data/e \
        : symlink x /data/e/o : unlink /data/e/n : symlink b /data/e/n";
    let overlay = format!("{dir},emulate=yes");
    let mut run = command(&["--quiet", "--sandbox", "s", "--overlay", &overlay], changes);
    let ran = Ran::from(run.env("XDG_STATE_HOME", state.path()).output().unwrap());
    assert!(lines(&ran).iter().all(|line| line.ends_with(": ok")), "{ran:?}");
    let mut apply = Command::new(env!("CARGO_BIN_EXE_vnode"));
    apply.args(["sandbox", "apply", "s", "--quiet"]).env("XDG_STATE_HOME", state.path());
    let applied = Ran::from(filtered(&apply).output().unwrap());
    assert_eq!((applied.code, applied.stderr.as_str()), (Some(0), ""));
    let look = "list /data : cat /data/made : readlink /data/moved : list /data/e : readlink /data/e/o : readlink /data/e/n";
    assert_eq!(
        says(&["--emulate-symlinks", "--dir", &dir], look, true).unwrap(),
        [
            "/data list .: . .. e made moved there",
            "cat /data/made: \"host's\"",
            "readlink /data/moved: \"gone\"",
            "/data/e list .: . .. f n o",
            "readlink /data/e/o: \"x\"",
            "readlink /data/e/n: \"b\"",
        ]
    );
    // There is no link on the host.
    let entries = fs::read_dir(host.path()).unwrap().chain(fs::read_dir(host.path().join("e")).unwrap());
    assert!(entries.into_iter().all(|entry| !entry.unwrap().file_type().unwrap().is_symlink()));
}
