//! A tree to start with, and random things that a guest does in it.

#![allow(dead_code, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;
use tempfile::TempDir;
use vnode_core::fs::{NewKind, Remove, Rename};

use super::guest::Guest;

pub(crate) const DIRS: [&str; 5] = ["d", "d/sub", "d/sub/deep", "e", "empty"];
pub(crate) const FILES: [&str; 7] = ["a", "b", "d/f", "d/g", "d/sub/h", "d/sub/deep/i", "e/j"];

/// A directory of the host with a little of everything.
pub(crate) fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    for dir in DIRS {
        fs::create_dir(at(dir)).unwrap();
        fs::set_permissions(at(dir), PermissionsExt::from_mode(0o755)).unwrap();
    }
    for file in FILES {
        fs::write(at(file), file).unwrap();
        fs::set_permissions(at(file), PermissionsExt::from_mode(0o644)).unwrap();
    }
    symlink("a", at("l")).unwrap();
    place
}

/// A step of a random history.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Write(usize, u8),
    Mkdir(usize),
    Symlink(usize),
    Remove(usize),
    Link(usize, usize),
    Rename(usize, usize, bool),
    Chmod(usize, u32),
}

pub(crate) const PATHS: [&str; 14] =
    ["a", "b", "d", "e", "d/f", "d/g", "d/sub", "d/sub/h", "d/sub/deep", "e/j", "e/sub", "x", "x/f", "l"];

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let path = 0..PATHS.len();
    prop_oneof![
        3 => (path.clone(), 0u8..4).prop_map(|(path, byte)| Step::Write(path, byte)),
        1 => path.clone().prop_map(Step::Mkdir),
        1 => path.clone().prop_map(Step::Symlink),
        2 => path.clone().prop_map(Step::Remove),
        1 => (path.clone(), path.clone()).prop_map(|(from, to)| Step::Link(from, to)),
        4 => (path.clone(), path.clone(), any::<bool>()).prop_map(|(from, to, how)| Step::Rename(from, to, how)),
        1 => (path, 0u32..0o1000).prop_map(|(path, mode)| Step::Chmod(path, mode)),
    ]
}

pub(crate) fn carry_out(guest: &Guest<'_>, step: &Step) {
    let path = |index: &usize| PATHS[*index];
    // Some can't be done.
    let _ = match step {
        Step::Write(at, byte) => guest.write(path(at), format!("{byte}")),
        Step::Mkdir(at) => guest.make(path(at), NewKind::Directory),
        Step::Symlink(at) => guest.make(path(at), NewKind::Symlink(b"target")),
        Step::Remove(at) => {
            guest.remove(path(at), Remove::File).or_else(|_| guest.remove(path(at), Remove::Directory))
        }
        Step::Link(from, to) => guest.link(path(from), path(to)),
        Step::Rename(from, to, true) => guest.rename(path(from), path(to), Rename::Exchange),
        Step::Rename(from, to, false) => guest.rename(path(from), path(to), Rename::Replace),
        Step::Chmod(at, mode) => guest.chmod(path(at), *mode),
    };
}
