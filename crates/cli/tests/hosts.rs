//! Host directories: what goes to the host and what comes from it, and what doesn't.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use support::hosts::{Dir, command, files, is_root};
use support::{Ran, guest};

#[test]
fn what_the_guest_does_is_done_on_the_host() {
    let dir = Dir::new();
    let said = files(
        &["--dir", &format!("{}::/data", dir.text(""))],
        "mkdir /data/d : write /data/d/f one : append /data/d/f two : link /data/d/f /data/hard \
         : rename /data/d/f /data/moved : symlink ../there /data/d/link : cat /data/d/link \
         : touch /data/there 1000000000 : write /data/gone x : unlink /data/gone : mkdir /data/e : rmdir /data/e \
         : stat /data/hard",
    );
    assert!(
        said[..12].iter().all(|line| line.ends_with(": ok") || line.ends_with("\"host's\"")),
        "{said:#?}"
    );
    assert!(said[12].starts_with("stat /data/hard: file of 6 bytes, 2 links"), "{said:#?}");
    assert_eq!((dir.read("moved"), dir.read("hard")), ("onetwo".to_owned(), "onetwo".to_owned()));
    let meta = |name: &str| fs::metadata(dir.path().join(name)).unwrap();
    assert_eq!(meta("moved").ino(), meta("hard").ino());
    assert_eq!((meta("there").mtime(), meta("there").atime()), (1_000_000_000, 1_000_000_000));
    assert_eq!(fs::read_link(dir.path().join("d/link")).unwrap().as_os_str(), "../there");
    assert!(!dir.has("gone") && !dir.has("e"));
    assert_eq!((meta("moved").mode() & 0o777, meta("d").mode() & 0o777), (0o644, 0o755));
}

#[test]
fn vnodes_own_umask_is_not_the_guests() {
    for (own, options, file, directory) in
        [("077", "", 0o644, 0o755), ("000", "", 0o644, 0o755), ("022", "--umask 007", 0o660, 0o770)]
    {
        let dir = Dir::new();
        let script = format!(
            "umask {own} && exec {} run {options} --dir {}::/data {} create /data/f x : mkdir /data/d",
            env!("CARGO_BIN_EXE_vnode"),
            dir.text(""),
            guest("files")
        );
        let ran: Ran = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap().into();
        ran.prints("create /data/f: ok\nmkdir /data/d: ok\n");
        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().mode() & 0o777;
        assert_eq!((mode("f"), mode("d")), (file, directory), "{own} {options}");
    }
}

#[test]
fn guests_that_run_at_once_share_a_directory() {
    let dir = Dir::new();
    let option = format!("{}::/data", dir.text(""));
    let children: Vec<_> = (0..4)
        .map(|guest| {
            let steps = format!("mkdir /data/{guest} : hold /data/{guest}/f 100 : create /data/one {guest}");
            command(&["--dir", &option], &steps).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let said: Vec<Ran> = children.into_iter().map(|child| child.wait_with_output().unwrap().into()).collect();
    let winners = said.iter().filter(|ran| ran.stdout.contains("create /data/one: ok\n")).count();
    let losers = said.iter().filter(|ran| ran.stdout.contains("create /data/one: EEXIST\n")).count();
    assert_eq!((winners, losers), (1, 3), "{said:?}");
    let winner = said.iter().position(|ran| ran.stdout.contains("one: ok")).unwrap();
    assert_eq!(dir.read("one"), winner.to_string());
    for guest in 0..4 {
        assert_eq!(fs::read_dir(dir.path().join(guest.to_string())).unwrap().count(), 100);
    }
}

#[test]
fn the_guest_sees_at_once_what_others_change() {
    let dir = Dir::new();
    let option = format!("{}::/data", dir.text(""));
    let steps =
        "cat /data/there : list /data : wait : cat /data/there : cat /data/new : list /data : lstat /data/d";
    let mut child =
        command(&["--dir", &option], steps).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let before: Vec<String> = stdout.by_ref().take_while(|line| line != "wait").collect();
    assert_eq!(before, ["cat /data/there: \"host's\"", "/data list .: . .. there"]);
    fs::write(dir.path().join("there"), "other").unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/new"), "new").unwrap();
    symlink("d/new", dir.path().join("new")).unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let after: Vec<String> = stdout.collect();
    assert_eq!(
        after,
        [
            "cat /data/there: \"other\"",
            "cat /data/new: \"new\"",
            "/data list .: . .. d new there",
            "lstat /data/d: dir"
        ]
    );
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_read_only_directory_refuses_every_change() {
    let dir = Dir::new();
    fs::create_dir(dir.path().join("d")).unwrap();
    symlink("there", dir.path().join("link")).unwrap();
    let before = dir.picture();
    let steps = "create /data/new x : write /data/there x : append /data/there x : overwrite /data/there x \
        : truncate /data/there : truncate /data/link : unlink /data/there : unlink /data/link \
        : rename /data/there /data/other : rename /data/d /data/e : mkdir /data/new : rmdir /data/d \
        : symlink there /data/new : link /data/there /data/new : touch /data/there 1 : touch /data/d 1 \
        : ftouch /data/there : ftouch /data/d : create /data/d/new x";
    for option in [
        &["--dir", &format!("{}::/data::ro", dir.text(""))][..],
        &["--volume", &format!("{}:/data:ro", dir.text(""))],
        &["--mount", &format!("type=host,src={},dst=/data,readonly", dir.text(""))],
    ] {
        for line in files(option, steps) {
            assert!(line.ends_with(": EROFS"), "{line}");
        }
        assert_eq!(files(option, "ftruncate /data/there"), ["ftruncate /data/there: EINVAL"]);
        assert_eq!(
            files(option, "cat /data/link : create /data/there x"),
            ["cat /data/link: \"host's\"", "create /data/there: EEXIST",]
        );
    }
    assert_eq!(dir.picture(), before);
}

#[test]
fn a_link_of_one_guest_is_the_next_ones() {
    let dir = Dir::new();
    let option = format!("{}::/data", dir.text(""));
    let said = files(
        &["--dir", &option],
        "mkdir /data/d : symlink ../there /data/d/relative : symlink /data/there /data/d/absolute \
         : symlink nowhere /data/dangling : symlink loop /data/loop",
    );
    assert!(said.iter().all(|line| line.ends_with(": ok")), "{said:#?}");
    assert_eq!(fs::read_link(dir.path().join("d/absolute")).unwrap().as_os_str(), "/data/there");
    assert_eq!(
        files(
            &["--dir", &option],
            "cat /data/d/relative : cat /data/d/absolute : readlink /data/d/absolute : cat /data/dangling \
             : cat /data/loop : write /data/dangling made : cat /data/nowhere",
        ),
        [
            "cat /data/d/relative: \"host's\"",
            "cat /data/d/absolute: \"host's\"",
            "readlink /data/d/absolute: \"/data/there\"",
            "cat /data/dangling: ENOENT",
            "cat /data/loop: ELOOP",
            "write /data/dangling: ok",
            "cat /data/nowhere: \"made\"",
        ]
    );
    // Mounted elsewhere, the absolute one leads elsewhere.
    assert_eq!(
        files(
            &["--dir", &format!("{}::/other", dir.text(""))],
            "cat /other/d/absolute : cat /other/d/relative"
        ),
        ["cat /other/d/absolute: ENOENT", "cat /other/d/relative: \"host's\""]
    );
}

#[test]
fn links_that_lead_out_on_the_host_lead_into_the_guests_own_tree() {
    let (dir, outside) = (Dir::new(), Dir::new());
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let climb = format!("{}{}", "../".repeat(40), &outside.text("secret")[1..]);
    symlink(outside.text("secret"), dir.path().join("absolute")).unwrap();
    symlink(climb, dir.path().join("climbing")).unwrap();
    symlink("/proc/self/root", dir.path().join("magic")).unwrap();
    symlink("/", dir.path().join("root")).unwrap();
    let before = outside.picture();
    let option = format!("{}::/data", dir.text(""));
    assert_eq!(
        files(
            &["--dir", &option],
            "cat /data/absolute : cat /data/climbing : stat /data/magic : cat /data/root/data/there \
             : write /data/absolute x : create /data/climbing x",
        ),
        [
            "cat /data/absolute: ENOENT",
            "cat /data/climbing: ENOENT",
            "stat /data/magic: ENOENT",
            "cat /data/root/data/there: \"host's\"",
            "write /data/absolute: ENOENT",
            "create /data/climbing: EEXIST",
        ]
    );
    // What the guest has at that place is what it gets.
    let in_its_place = format!("{}::{}", dir.text(""), outside.text(""));
    assert_eq!(
        files(&["--dir", &option, "--dir", &in_its_place], "write /data/absolute inner : cat /data/climbing"),
        ["write /data/absolute: ok", "cat /data/climbing: \"inner\""]
    );
    assert_eq!(dir.read("secret"), "inner");
    assert_eq!(outside.picture(), before);
    for line in files(&["--dir", &option, "--strict"], "cat /data/absolute : cat /data/climbing") {
        assert!(line.ends_with(": EPERM") || line.ends_with(": ENOTCAPABLE"), "{line}");
    }
}

#[test]
fn mounts_nest_in_host_directories_and_these_in_memory() {
    let (dir, inner) = (Dir::new(), Dir::new());
    fs::create_dir(dir.path().join("tmp")).unwrap();
    fs::write(dir.path().join("tmp/covered"), "covered").unwrap();
    let at_root = format!("{}::/", dir.text(""));
    let options = ["--dir", &at_root, "--tmpfs", "/tmp", "--tmpfs", "/made/up"];
    assert_eq!(
        files(
            &options,
            "write /tmp/f memory : cat /tmp/f : cat /tmp/covered : list / : list /made : create /made/up/f x \
             : create /made/f x : rmdir /made/../tmp : rename /made/../tmp /other : rename /there /tmp/there : link /there /tmp/there",
        ),
        [
            "write /tmp/f: ok",
            "cat /tmp/f: \"memory\"",
            "cat /tmp/covered: ENOENT",
            "/ list .: . .. made there tmp",
            "/made list .: . .. up",
            "create /made/up/f: ok",
            // Made up by the mount in it, in no filesystem.
            "create /made/f: EROFS",
            "rmdir /made/../tmp: EBUSY",
            "rename /made/../tmp: EBUSY",
            "rename /there: EXDEV",
            "link /there: EXDEV",
        ]
    );
    assert!(!dir.has("made"), "a mount point is made nowhere");
    assert!(!dir.has("tmp/f") && dir.has("tmp/covered"));

    let below = format!("{}::/mnt/host", inner.text(""));
    assert_eq!(
        files(
            &["--tmpfs", "/", "--dir", &below, "--tmpfs", "/mnt/host/sub/tmp"],
            "create /f x : create /mnt/host/f host : list / : list /mnt/host : create /mnt/host/sub/tmp/f x \
             : cat /mnt/host/sub/../f",
        ),
        [
            "create /f: ok",
            "create /mnt/host/f: ok",
            "/ list .: . .. f mnt",
            "/mnt/host list .: . .. f sub there",
            "create /mnt/host/sub/tmp/f: ok",
            "cat /mnt/host/sub/../f: \"host\"",
        ]
    );
    assert_eq!(inner.read("f"), "host");
    assert!(!inner.has("sub"));

    // A directory of the host in another, in any order of the options.
    let inside = format!("{}::/in/side::ro", inner.text(""));
    assert_eq!(
        files(
            &["--dir", &inside, "--dir", &at_root],
            "cat /in/side/there : create /in/side/g x : create /g x"
        ),
        ["cat /in/side/there: \"host's\"", "create /in/side/g: EROFS", "create /g: ok"]
    );
    assert!(dir.has("g") && !inner.has("g"));
}

#[test]
fn nothing_moves_between_two_mounts_of_one_directory() {
    let dir = Dir::new();
    fs::create_dir(dir.path().join("d")).unwrap();
    let ro = format!("{}::/ro::ro", dir.text(""));
    let rw = format!("{}::/rw", dir.text(""));
    let before = dir.picture();
    for line in files(
        &["--dir", &ro, "--dir", &rw],
        "link /ro/there /rw/new : rename /ro/there /rw/new : rename /rw/there /ro/new \
         : rename /rw/d /ro/e : rename /ro/there /rw/there : rename /ro/d /rw/d",
    ) {
        assert!(line.ends_with(": EXDEV"), "{line}");
    }
    // Linux looks at where the new name goes first (`filename_create`).
    assert_eq!(files(&["--dir", &ro, "--dir", &rw], "link /rw/there /ro/new"), ["link /rw/there: EROFS"]);
    assert_eq!(dir.picture(), before);
    assert_eq!(
        files(&["--dir", &ro, "--dir", &rw], "write /rw/there both : cat /ro/there : overwrite /ro/there x"),
        ["write /rw/there: ok", "cat /ro/there: \"both\"", "overwrite /ro/there: EROFS"]
    );
}

#[test]
fn special_files_are_listed_and_never_opened() {
    let dir = Dir::new();
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o666.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let option = format!("{}::/data", dir.text(""));
    // A FIFO would be waited for; the guest is told at once.
    let said = files(
        &["--dir", &option, "--timeout", "20s"],
        "list /data : cat /data/fifo : append /data/fifo x : cat /data/socket : unlink /data/fifo",
    );
    assert_eq!(
        said,
        [
            "/data list .: . .. fifo socket there",
            "cat /data/fifo: ENXIO",
            "append /data/fifo: ENXIO",
            "cat /data/socket: ENXIO",
            "unlink /data/fifo: ok",
        ]
    );
    if is_root() {
        let null = dir.path().join("null");
        let device = rustix::fs::makedev(1, 3);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &null,
            rustix::fs::FileType::CharacterDevice,
            0o666.into(),
            device,
        )
        .unwrap();
        let said = files(&["--dir", &option], "cat /data/null : append /data/null x : stat /data/null");
        assert_eq!(said[..2], ["cat /data/null: ENXIO", "append /data/null: ENXIO"]);
        assert!(said[2].starts_with("stat /data/null: char"), "{said:?}");
    }
}

#[test]
fn other_mounts_of_the_host_are_served_unless_refused() {
    if !is_root() {
        let _ = writeln!(std::io::stderr(), "skipped: only root can mount");
        return;
    }
    let dir = Dir::new();
    fs::create_dir(dir.path().join("mnt")).unwrap();
    let inside = |options: &str, steps: &str| {
        let script = format!(
            "mount -t tmpfs none {0}/mnt && echo -n other > {0}/mnt/f && exec {1} run --dir {0}::/data{options} {2} {steps}",
            dir.text(""),
            env!("CARGO_BIN_EXE_vnode"),
            guest("files"),
        );
        Ran::from(
            Command::new("unshare").args(["-m", "sh", "-c", &script]).stdin(Stdio::null()).output().unwrap(),
        )
    };
    inside("", "cat /data/mnt/f : write /data/mnt/g x : rename /data/there /data/mnt/there")
        .prints("cat /data/mnt/f: \"other\"\nwrite /data/mnt/g: ok\nrename /data/there: EXDEV\n");
    inside("::xdev=deny", "cat /data/mnt/f : list /data/mnt : write /data/mnt/g x : cat /data/there").prints(
        "cat /data/mnt/f: EXDEV\nlist /data/mnt: EXDEV\nwrite /data/mnt/g: EXDEV\ncat /data/there: \"host's\"\n",
    );
}

#[test]
fn permissions_of_the_host_count_for_other_users() {
    let dir = Dir::new();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(dir.path().join("there"), fs::Permissions::from_mode(0o600)).unwrap();
    let option = format!("{}::/data", dir.text(""));
    assert_eq!(
        files(
            &["--dir", &option, "--user", "4321"],
            "cat /data/there : overwrite /data/there x : create /data/new x",
        ),
        ["cat /data/there: EACCES", "overwrite /data/there: EACCES", "create /data/new: ok"]
    );
    let owner = |name: &str| fs::metadata(dir.path().join(name)).unwrap().uid();
    assert_eq!(owner("new"), owner("there"), "what a guest makes is vnode's own user's");
}

#[test]
fn what_a_guest_writes_runs_as_nobody_else() {
    let dir = Dir::new();
    let program = dir.path().join("program");
    for steps in ["overwrite /data/program x", "append /data/program x", "truncate /data/program"] {
        fs::write(&program, "text").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).unwrap();
        let said = files(&["--dir", &format!("{}::/data", dir.text(""))], steps);
        assert!(said[0].ends_with(": ok"), "{said:?}");
        if steps.starts_with("truncate") {
            assert_eq!(dir.read("program"), "");
        }
        assert_eq!(fs::metadata(&program).unwrap().mode() & 0o7777, 0o755, "{steps}");
    }
}
