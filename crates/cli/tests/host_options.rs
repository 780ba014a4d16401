//! The options of host directories: each spelling, each key, and what is said when one can't be served.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use support::hosts::{Dir, files, is_root};
use support::{Module, PRINT_PREOPENS, Ran, guest, run, vnode};

#[test]
fn every_spelling_gives_the_same_directory() {
    let preopens = Module::new(PRINT_PREOPENS);
    let dir = Dir::new();
    let host = dir.text("");
    for (number, (option, value, guest)) in [
        ("--dir", host.clone(), host.as_str()),
        ("--dir", format!("{host}::/data"), "/data"),
        ("--dir", format!("{host}::/data/deep::rw"), "/data/deep"),
        ("--dir", format!("{host}::/data::rw,noatime,optional,xdev=deny"), "/data"),
        ("--volume", format!("{host}:/data"), "/data"),
        ("--volume", format!("{host}:/data:rw"), "/data"),
        ("--mapdir", format!("/data:{host}"), "/data"),
        ("--mount", format!("type=host,src={host},dst=/data"), "/data"),
        ("--mount", format!("type=host,source={host},target=/,rw"), "/"),
    ]
    .into_iter()
    .enumerate()
    {
        preopens.run(&[option, &value], &[]).prints(&format!("{guest} "));
        let at = guest.trim_end_matches('/');
        let said = files(&[option, &value], &format!("cat {at}/there : create {at}/{number} made"));
        let expected = [format!("cat {at}/there: \"host's\""), format!("create {at}/{number}: ok")];
        assert_eq!(said, expected, "{option} {value}");
        assert_eq!(dir.read(&number.to_string()), "made");
    }
}

#[test]
fn a_relative_directory_is_named_as_it_is_spelled() {
    let dir = Dir::new();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("sub/below"), "sub's").unwrap();
    let module = Module::new(PRINT_PREOPENS);
    let preopens = module.path();
    for (spelled, module, steps, says) in [
        (".", guest("files"), "cat there", "cat there: \"host's\"\n"),
        (".", guest("files"), "cat sub/below", "cat sub/below: \"sub's\"\n"),
        ("sub", guest("files"), "cat sub/below", "cat sub/below: \"sub's\"\n"),
        ("./sub", guest("files"), "cat sub/below", "cat sub/below: \"sub's\"\n"),
        ("sub/", preopens.clone(), "", "sub/ "),
        (".", preopens.clone(), "", ". "),
        ("sub/..::/up", guest("files"), "cat /up/there", "cat /up/there: \"host's\"\n"),
    ] {
        let output = vnode()
            .current_dir(dir.path())
            .args(["run", "--dir", spelled, &module])
            .args(steps.split_whitespace())
            .output()
            .unwrap();
        Ran::from(output).prints(says);
    }
}

#[test]
fn an_optional_directory_may_be_missing() {
    let preopens = Module::new(PRINT_PREOPENS);
    let dir = Dir::new();
    let (there, missing) = (dir.text(""), dir.text("missing"));
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    for absent in [&missing, &dir.text("dangling"), &dir.text("missing/deep")] {
        preopens
            .run(
                &["--dir", &format!("{absent}::/a::optional"), "--dir", &format!("{there}::/b::optional")],
                &[],
            )
            .prints("/b ");
    }
    // It was asked for, so the root isn't opened in its place; and it hasn't been made.
    preopens.run(&["--mount", &format!("type=host,src={missing},dst=/a,optional,ro")], &[]).prints("");
    let options = ["--tmpfs", "/", "--dir", &format!("{missing}::/a::optional")];
    assert_eq!(files(&options, "list / : cat /a/there"), ["/ list .: . ..", "cat /a/there: ENOENT"]);
    assert!(!dir.has("missing"));
    // A mount in it stands alone.
    preopens.run(&["--dir", &format!("{missing}::/a::optional"), "--tmpfs", "/a/b"], &[]).prints("/a/b ");
    // Only a missing one is left out.
    preopens
        .run(&["--dir", &format!("{there}/there::/a::optional")], &[])
        .fails(125, "is no directory on the host");
    preopens
        .run(&["--dir", &format!("{missing}::/a::optional"), "--tmpfs", "/a"], &[])
        .fails(125, "two mounts");
}

#[test]
fn a_directory_that_cant_be_served_is_told_with_its_option() {
    let module = Module::new(PRINT_PREOPENS);
    let dir = Dir::new();
    let file = dir.text("there");
    let missing = dir.text("missing");
    for (option, value, says) in [
        ("--dir", missing.clone(), format!("the host has no directory {missing}; add optional")),
        ("--dir", format!("{missing}::/x::ro"), format!("vnode: --dir {missing}::/x::ro: the host has no")),
        (
            "--volume",
            format!("{missing}:/x"),
            format!("--volume {missing}:/x: the host has no directory {missing}"),
        ),
        ("--mapdir", format!("/x:{missing}"), format!("--mapdir /x:{missing}: the host has no directory")),
        (
            "--mount",
            format!("type=host,src={missing},dst=/x"),
            format!("--mount type=host,src={missing},dst=/x: the host has no directory"),
        ),
        ("--dir", format!("{file}::/x"), format!("{file} is no directory on the host")),
        ("--dir", format!("{file}/below::/x"), "is no directory on the host".to_owned()),
        // As other programs spell it.
        ("--dir", format!("{missing}:/x"), format!("if that was meant, write --dir {missing}::/x")),
        ("--dir", format!("{missing}:/x:ro"), format!("if that was meant, write --dir {missing}::/x::ro")),
        ("--dir", format!("{}::/x", "n".repeat(300)), "File name too long".to_lowercase()),
    ] {
        let ran = module.run(&[option, &value], &[]);
        ran.fails(125, "");
        assert!(ran.stderr.to_lowercase().contains(&says.to_lowercase()), "{says}\n{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
    let here = dir.text("");
    module
        .run(&["--dir", &format!("{here}::/x"), "--volume", &format!("{here}:x/")], &[])
        .fails(125, &format!("two mounts are on /x: --dir {here}::/x and --volume {here}:x/; give each"));
    module
        .run(&["--dir", &format!("{here}::/"), "--tmpfs", "/there"], &[])
        .fails(125, "--tmpfs /there: can't mount on /there: ");
    module
        .run(&["--dir", "../up"], &[])
        .fails(125, "write the guest's directory without it, behind the host's");
    module
        .run(&["--dir", "no\x1b\n::/x"], &[])
        .fails(125, "--dir no\\u{1b}\\n::/x: the host has no directory no\\u{1b}\\n;");
}

#[test]
fn no_guest_writes_where_compiled_modules_are_kept() {
    let dir = Dir::new();
    fs::create_dir(dir.path().join("other")).unwrap();
    symlink(dir.path(), dir.path().join("other/link")).unwrap();
    let with = |value: &str| {
        let mut command = vnode();
        command.env("XDG_CACHE_HOME", dir.path().join("cache")).args([
            "run",
            "--dir",
            value,
            &guest("files"),
        ]);
        Ran::from(command.args(["cat", "/x/there"]).output().unwrap())
    };
    // Before it is there, and when it is.
    for _ in 0..2 {
        for host in [dir.text(""), dir.text("other/link")] {
            let ran = with(&format!("{host}::/x"));
            ran.fails(125, &format!("--dir {host}::/x: vnode's cache of compiled modules is there"));
        }
        with(&format!("{}::/x::ro", dir.text(""))).prints("cat /x/there: \"host's\"\n");
        with(&format!("{}::/x", dir.text("other"))).prints("cat /x/there: ENOENT\n");
        assert!(dir.has("cache/vnode/modules"));
    }
    with(&format!("{}::/x", dir.text("cache/vnode/modules"))).fails(125, "cache of compiled modules");
}

#[test]
fn a_directory_that_may_not_be_entered_is_told() {
    let dir = Dir::new();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = match is_root() {
        // A root that is asked for permission like anybody else.
        true => {
            let mut setpriv = Command::new("setpriv");
            setpriv.args([
                "--bounding-set=-dac_override,-dac_read_search",
                "--inh-caps=-dac_override,-dac_read_search",
            ]);
            rustix::fs::chown(&closed, Some(rustix::fs::Uid::from_raw(12_345)), None).unwrap();
            setpriv.arg(env!("CARGO_BIN_EXE_vnode"));
            setpriv
        }
        false => vnode(),
    };
    command.args(["run", "--dir"]).arg(format!("{}::/x", closed.display())).arg(guest("files"));
    let ran = Ran::from(command.stdin(Stdio::null()).output().unwrap());
    ran.fails(125, &format!("vnode may not enter {} on the host: permission denied", closed.display()));
}

#[test]
fn vnode_takes_as_many_descriptors_as_it_may() {
    let dir = Dir::new();
    let script = format!(
        "ulimit -Sn 30 && exec {} run --dir {}::/data {} hold /data/ 500",
        env!("CARGO_BIN_EXE_vnode"),
        dir.text(""),
        guest("files")
    );
    let ran: Ran = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap().into();
    ran.prints("hold /data/: ok\n");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 501);
}

#[test]
fn too_few_descriptors_of_the_host_are_an_error_of_the_guest() {
    let dir = Dir::new();
    let script = format!(
        "ulimit -n 60 && exec {} run --dir {}::/data {} hold /data/ 100 : list /data/none : unlink /data/there",
        env!("CARGO_BIN_EXE_vnode"),
        dir.text(""),
        guest("files")
    );
    let ran: Ran = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap().into();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(matches!(lines[0], "hold /data/: EMFILE" | "hold /data/: ENFILE"), "{ran:?}");
}

#[test]
fn access_times_can_be_left() {
    let dir = Dir::new();
    let file = dir.path().join("there");
    let read = |keys: &str| {
        assert!(
            Command::new("touch").args(["-a", "-d", "2001-01-01"]).arg(&file).status().unwrap().success()
        );
        let before = fs::metadata(&file).unwrap().atime();
        files(&["--dir", &format!("{}::/data{keys}", dir.text(""))], "cat /data/there");
        fs::metadata(&file).unwrap().atime() == before
    };
    assert!(read("::noatime"));
    assert!(read("::noatime,ro"));
}

#[test]
fn figures_list_a_host_directory_without_what_it_holds() {
    let dir = Dir::new();
    let option = format!("{}::/data", dir.text(""));
    let ran = run(["run", "--stats", "--dir", &option, "--tmpfs", "/tmp", &guest("files")]);
    assert!(ran.stderr.contains("\n  /data: a directory of the host\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("\n  /tmp: 0 bytes in 1 inodes\n"), "{}", ran.stderr);
    let ran = run(["run", "--stats=json", "--dir", &option, "--tmpfs", "/tmp", &guest("files")]);
    let report: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(report["filesystems"][1], serde_json::json!({"at": "/data", "type": "host"}));
    assert_eq!(
        report["filesystems"][2],
        serde_json::json!({"at": "/tmp", "type": "tmpfs", "bytes": 0, "inodes": 1})
    );
}

#[test]
fn names_are_bytes_to_the_guest_as_to_the_host() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = Dir::new();
    let odd = OsStr::from_bytes(b"\xff\x01:: \xc3");
    fs::create_dir(dir.path().join(odd)).unwrap();
    fs::write(dir.path().join(odd).join("f"), "odd").unwrap();
    let mut value = dir.path().join(odd).into_os_string();
    // Where the path has colons, the full form takes it.
    value = OsStr::from_bytes(&[b"type=host,dst=/x,src=", value.as_bytes()].concat()).to_owned();
    let output = vnode()
        .args(["run".as_ref(), "--mount".as_ref(), value.as_os_str()])
        .arg(guest("files"))
        .args(["cat", "/x/f"])
        .output()
        .unwrap();
    Ran::from(output).prints("cat /x/f: \"odd\"\n");
}

/// What is in the directory of the cache and is no module is removed in time: sandboxes are not.
#[test]
fn sandboxes_are_apart_from_compiled_modules() {
    let dir = Dir::new();
    let run = |state: &str, name: &str| {
        let mut command = vnode();
        command.env("XDG_CACHE_HOME", dir.text("xdg")).env("XDG_STATE_HOME", dir.text(state));
        command.args([
            "run",
            "--quiet",
            "--sandbox",
            name,
            "--overlay",
            &format!("{}::/x", dir.text("other")),
        ]);
        Ran::from(command.arg(guest("files")).args(["create", "/x/new", "n"]).output().unwrap())
    };
    fs::create_dir(dir.path().join("other")).unwrap();
    run("xdg", "one").prints("create /x/new: ok\n");
    assert!(dir.has("xdg/vnode/modules") && dir.has("xdg/vnode/sandboxes/one/sandbox.json"));
    // Where they are in there nothing is cached.
    fs::remove_dir_all(dir.path().join("xdg")).unwrap();
    for name in ["two", "three"] {
        run("xdg/vnode/modules", name).prints("create /x/new: ok\n");
    }
    let there = fs::read_dir(dir.path().join("xdg/vnode/modules")).unwrap();
    let there: Vec<_> = there.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there, ["vnode"]);
}
