//! What git and patch(1) make of a patch: the same tree as the view shows. They may be missing where this is tried.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::guest::{Guest, changed, told, told_as};
use super::{DiffOptions, Form, LETTERS, MountChanges};

fn git(at: &Path) -> Command {
    let mut git = Command::new("git");
    // No repository above, and no configuration of whoever runs the tests.
    git.current_dir(at).env("GIT_CEILING_DIRECTORIES", at.parent().unwrap());
    git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", at);
    git
}

fn has_git() -> bool {
    let found = Command::new("git").arg("--version").stdout(Stdio::null()).status();
    if found.is_err() {
        println!("skipped: there is no git");
    }
    found.is_ok()
}

fn by_git(at: &Path, patch: &Path) -> Command {
    let mut command = git(at);
    command.args(["apply", "--whitespace=nowarn"]).arg(patch);
    command
}

fn by_patch(at: &Path, patch: &Path) -> Command {
    let mut command = Command::new("patch");
    command.current_dir(at).args(["-p1", "-s", "-f", "-i"]).arg(patch);
    command
}

/// Files and links: whether they may be executed, content, target.
fn tree(at: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![at.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                left.push(path);
                continue;
            }
            let content = if meta.is_symlink() {
                format!("-> {:?}", std::fs::read_link(&path).unwrap())
            } else {
                format!("{:o} {:?}", meta.permissions().mode() & 0o100, std::fs::read(&path).unwrap())
            };
            found.insert(path.strip_prefix(at).unwrap().as_os_str().as_bytes().to_vec(), content);
        }
    }
    found
}

/// Has git apply what is told of the changes to the tree as it was.
fn assert_applied(fill: impl Fn(&Guest), change: impl FnOnce(&Guest)) {
    assert_applied_by(by_git, fill, change);
}

fn assert_applied_by(
    apply: impl Fn(&Path, &Path) -> Command,
    fill: impl Fn(&Guest),
    change: impl FnOnce(&Guest),
) {
    let base = Guest::in_memory(&fill);
    let (was, is) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Guest(base.clone()).put(b"", was.path());
    let (view, changes) = changed(base, change);
    Guest(view.filesystem).put(b"", is.path());
    let patch = told(&changes, Form::Patch);
    if patch.lines().all(|line| line.starts_with('#')) {
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &patch).unwrap();
    let applied = apply(was.path(), file.path()).output().unwrap();
    assert!(applied.status.success(), "{applied:?}\n{patch}");
    assert_eq!(tree(was.path()), tree(is.path()), "\n{patch}");
}

fn fill(guest: &Guest) {
    for dir in ["d", "d/sub", "e", "e/sub"] {
        guest.dir(dir);
    }
    for (number, file) in
        ["a", "b", "d/f", "d/sub/deep", "e/f", "e/sub/deep", "sp ace", "q\"uo\n"].iter().enumerate()
    {
        guest.write(file, format!("{number}\n{LETTERS}{number}"));
    }
    guest.write("nothing", "");
    guest.symlink("l", "a");
    guest.symlink("d/l", "/etc/passwd");
}

#[test]
fn git_applies_a_patch_of_everything_that_it_keeps() {
    if !has_git() {
        return;
    }
    assert_applied(fill, |guest| {
        guest.write("a", LETTERS.replace("c\n", "C\n").replace("k\n", ""));
        guest.write("b", "");
        guest.chmod("b", 0o755);
        guest.write("void", "");
        guest.write("-n", "no newline");
        guest.write("new\nline", "x\n");
        guest.remove("nothing");
        guest.rename("sp ace", "sp ice");
        guest.rename("q\"uo\n", "q'uo\t");
        guest.rename("d", "moved");
        guest.write("moved/f", LETTERS);
        guest.remove("e");
        guest.write("e", "a file\n");
        guest.remove("l");
        guest.symlink("l", "else where");
        guest.remove("moved/l");
        guest.dir("moved/l");
        guest.write("moved/l/in", "\r\n-- \n+++ x\n");
        guest.symlink("new", "\\ No newline at end of file");
    });
}

#[test]
fn patch_applies_text_and_modes() {
    // Others than GNU's know no modes.
    let told = Command::new("patch").arg("--version").output();
    if !told.is_ok_and(|told| told.stdout.starts_with(b"GNU patch")) {
        println!("skipped: there is no GNU patch");
        return;
    }
    assert_applied_by(by_patch, fill, |guest| {
        guest.write("a", LETTERS.replace("c\n", "C\n").replace("k\n", ""));
        guest.write("b", "no newline");
        guest.chmod("b", 0o755);
        guest.write("void", "");
        guest.remove("nothing");
        guest.remove("e");
        guest.write("-n", "x\n");
        guest.dir("new");
        guest.write("new/sp ace", "x\n");
        guest.rename("d/f", "d/g");
        guest.rename("d/sub/deep", "d/deep");
        guest.write("d/deep", LETTERS.replace("d\n", ""));
        guest.symlink("new/link", "target");
        guest.remove("l");
    });
}

#[test]
fn git_applies_directories_that_were_swapped() {
    if !has_git() {
        return;
    }
    assert_applied(fill, |guest| {
        guest.rename("d", "x");
        guest.rename("e", "d");
        guest.rename("x", "e");
        guest.write("e/f", LETTERS);
    });
}

#[test]
fn git_leaves_out_binary_files_if_told_to() {
    if !has_git() {
        return;
    }
    let base = Guest::in_memory(|guest| {
        guest.write("binary", b"\0");
        guest.write("mode", b"\0");
        guest.write("text", LETTERS);
    });
    let was = tempfile::tempdir().unwrap();
    Guest(base.clone()).put(b"", was.path());
    let (_view, changes) = changed(base, |guest| {
        guest.write("binary", b"\0\0");
        guest.write("mode", b"\0\0");
        guest.chmod("mode", 0o755);
        guest.write("new", b"\0");
        guest.write("text", "other\n");
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), told(&changes, Form::Patch)).unwrap();
    let refused = by_git(was.path(), file.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot apply binary patch to 'binary'"));
    let mut apply = by_git(was.path(), file.path());
    let applied = apply.args(["--exclude=binary", "--exclude=mode", "--exclude=new"]).output().unwrap();
    assert!(applied.status.success(), "{applied:?}");
    assert_eq!(std::fs::read_to_string(was.path().join("text")).unwrap(), "other\n");
}

#[test]
fn lines_are_counted_and_drawn_as_git_does() {
    if !has_git() {
        return;
    }
    let text = |number: usize| LETTERS.repeat(number);
    let long = format!("{}/{}", "n".repeat(60), "m".repeat(60));
    for (scale, long) in [(1, "n/m"), (1, &long), (40, "n/m"), (40, &long)] {
        let base = Guest::in_memory(|guest| {
            guest.dir(long.split('/').next().unwrap());
            for (number, name) in ["a", "bb", "c", "d", long].iter().enumerate() {
                guest.write(name, text(number * scale + 1));
            }
            guest.write("binary", b"\0");
        });
        let at = tempfile::tempdir().unwrap();
        let put = |guest: &Guest| {
            let _ = std::fs::remove_dir_all(at.path().join("top"));
            std::fs::create_dir(at.path().join("top")).unwrap();
            guest.put(b"", &at.path().join("top"));
            assert!(git(at.path()).args(["add", "-A"]).status().unwrap().success());
        };
        assert!(git(at.path()).args(["init", "-q"]).status().unwrap().success());
        put(&Guest(base.clone()));
        let tree = git(at.path()).args(["write-tree"]).output().unwrap().stdout;
        let (view, changes) = changed(base, |guest| {
            guest.write("a", text(30 * scale));
            guest.write("bb", text(2 * scale).replace("e\n", "E\n"));
            guest.remove("c");
            guest.write("d", LETTERS.replace("b\n", ""));
            guest.write(long, "other\n");
            guest.write("binary", b"\0\0\0");
            guest.write("new", text(1));
        });
        put(&Guest(view.filesystem));
        let tree = String::from_utf8(tree).unwrap();
        let stat = ["diff", "--cached", "--stat=80", "--no-renames", "--diff-algorithm=myers", tree.trim()];
        let stat = git(at.path()).args(stat).output().unwrap();
        let options = DiffOptions { form: Form::Stat, ..DiffOptions::default() };
        let ours = told_as(&[MountChanges { mount: b"top", changes: &changes }], &options, false);
        assert_eq!(String::from_utf8(ours).unwrap(), String::from_utf8(stat.stdout).unwrap());
    }
}

/// Numbers that are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

#[test]
fn git_applies_random_changes() {
    const PATHS: [&str; 12] =
        ["a", "b", "d", "d/f", "d/sub", "d/sub/deep", "e", "e/f", "e/sub", "l", "d/l", "e/sub/deep"];
    if !has_git() {
        return;
    }
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        assert_applied(fill, |guest| {
            for step in 0..12 {
                let path = PATHS[numbers.below(PATHS.len())];
                let other = PATHS[numbers.below(PATHS.len())];
                let kind = |path: &str| guest.node(path.as_bytes()).map(|node| node.kind());
                let above = |path: &str| path.rsplit_once('/').map_or("", |(dir, _)| dir).to_owned();
                let has_dir = |path: &str| kind(&above(path)).is_ok_and(|kind| kind.is_dir());
                match (numbers.below(6), kind(path)) {
                    (0 | 1, Ok(found)) if !found.is_dir() && !found.is_symlink() => {
                        guest.write(path, LETTERS.replacen("e\n", &format!("{step}\n"), 1));
                    }
                    (2, Ok(_)) => guest.remove(path),
                    (3, Ok(found)) if !found.is_dir() && !found.is_symlink() => guest.chmod(path, 0o755),
                    (0..=1, Err(_)) if has_dir(path) => guest.write(path, format!("{step}\n")),
                    (2, Err(_)) if has_dir(path) => guest.dir(path),
                    (3, Err(_)) if has_dir(path) => guest.symlink(path, format!("to {step}")),
                    (_, Ok(found))
                        if has_dir(other) && !format!("{other}/").starts_with(&format!("{path}/")) =>
                    {
                        let fits = kind(other).is_err()
                            || (!found.is_dir() && kind(other).is_ok_and(|kind| !kind.is_dir()));
                        if fits {
                            guest.rename(path, other);
                        }
                    }
                    _ => {}
                }
            }
        });
    }
}
