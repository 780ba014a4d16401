//! `--copy`: the guest sees the host's tree, and the host nothing of what the guest does to it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use support::{CREATE, Module, exits_with};

/// Prints the content of "f/abs" below the first preopen.
const PRINT_FILE: &str = r#"(data (i32.const 100) "f/abs")
    (func (export "_start") (local $errno i32)
        (local.set $errno (call $path_open (i32.const 3) (i32.const 1) (i32.const 100) (i32.const 5)
            (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 8)))
        (if (local.get $errno) (then (call $exit (local.get $errno))))
        (i32.store (i32.const 0) (i32.const 1000))
        (i32.store (i32.const 4) (i32.const 1000))
        (drop (call $fd_read (i32.load (i32.const 8)) (i32.const 0) (i32.const 1) (i32.const 16)))
        (call $print (i32.const 1) (i32.const 1000) (i32.load (i32.const 16))))"#;

#[test]
fn links_of_the_tree_resolve_in_the_guests_root() {
    let module = Module::new(PRINT_FILE);
    let host = tempfile::tempdir().unwrap();
    fs::create_dir(host.path().join("real")).unwrap();
    fs::write(host.path().join("real/file"), "content").unwrap();
    symlink("real", host.path().join("f")).unwrap();
    symlink("/data/real/file", host.path().join("real/abs")).unwrap();
    let copy = format!("{}::/data", host.path().display());
    module.run(&["--copy", &copy], &[]).prints("content");
    // ENOTCAPABLE or EPERM in strict: the link leads out of the preopen.
    let strict = module.run(&["--copy", &copy, "--strict"], &[]);
    assert!(matches!(strict.code, Some(63 | 76)), "{strict:?}");
    // Elsewhere the absolute link leads nowhere: ENOENT.
    let elsewhere = format!("{}::/elsewhere", host.path().display());
    assert_eq!(module.run(&["--copy", &elsewhere], &[]).code, Some(44));
}

#[test]
fn nothing_goes_back() {
    let host = tempfile::tempdir().unwrap();
    let copy = format!("{}::/data", host.path().display());
    assert_eq!(exits_with(CREATE).run(&["--copy", &copy], &[]).code, Some(0));
    assert_eq!(fs::read_dir(host.path()).unwrap().count(), 0);
    assert_eq!(exits_with(CREATE).run(&["--copy", &format!("{copy}::ro")], &[]).code, Some(69), "EROFS");
}

#[test]
fn owners_and_modes_count_for_other_users() {
    let host = tempfile::tempdir().unwrap();
    fs::create_dir(host.path().join("f")).unwrap();
    fs::write(host.path().join("f/abs"), "secret").unwrap();
    fs::set_permissions(host.path().join("f/abs"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(host.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let module = Module::new(PRINT_FILE);
    let copy = format!("type=copy,src={},dst=/data,uid=7,gid=7", host.path().display());
    assert_eq!(module.run(&["--mount", &copy, "--user", "8"], &[]).code, Some(2), "EACCES");
    module.run(&["--mount", &copy, "--user", "7"], &[]).prints("secret");
    module.run(&["--mount", &copy], &[]).prints("secret");
}

#[test]
fn an_archive_is_a_tree() {
    let host = tempfile::tempdir().unwrap();
    let path = host.path().join("image.tar");
    let mut builder = tar::Builder::new(fs::File::create(&path).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(7);
    builder.append_data(&mut header, "f/abs", &b"content"[..]).unwrap();
    builder.into_inner().unwrap();
    Module::new(PRINT_FILE).run(&["--copy", &format!("{}::/", path.display())], &[]).prints("content");
    // The directory has no member of its own, and is there all the same.
    assert_eq!(
        exits_with(CREATE).run(&["--copy", &format!("{}::/", path.display())], &[]).code,
        Some(20),
        "EEXIST"
    );
}

#[test]
fn an_archive_that_leads_out_is_refused_whole() {
    let host = tempfile::tempdir().unwrap();
    let path = host.path().join("evil.tar");
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..9].copy_from_slice(b"../escape");
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header.set_cksum();
    let mut builder = tar::Builder::new(fs::File::create(&path).unwrap());
    builder.append(&header, &b""[..]).unwrap();
    builder.into_inner().unwrap();
    let ran = Module::new(PRINT_FILE).run(&["--copy", &format!("{}::/", path.display())], &[]);
    ran.fails(125, "../escape: the path has a `..`");
}
