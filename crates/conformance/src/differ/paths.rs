//! Path resolution alone: random trees of directories, files and links, and many lookups in each, on vnode and
//! on the kernel: `openat2` with `RESOLVE_IN_ROOT` and `RESOLVE_BENEATH`, and a process's own lookups.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use vnode_core::{Attr, Errno, Result};

use super::path_text;
use crate::call::{self, Env};
use crate::random::Random;
use crate::subject::{At, Follow, Handle, OpenFlags, Subject};
use crate::text;

/// How far a lookup may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The directory that it starts from is the root (`RESOLVE_IN_ROOT`, `chroot`).
    InRoot,
    /// Nothing may lead out of the directory that it starts from; what would is `EXDEV` (`RESOLVE_BENEATH`).
    Beneath,
    /// A process's own: the tests' root is the root, whatever directory it starts from.
    Process,
}

/// A subject that can look a path up by scope.
pub trait Resolver: Subject {
    /// The attributes of what a path from `dir` leads to.
    ///
    /// # Errors
    /// Those of `openat2(2)`.
    fn look_up(&mut self, dir: Handle, path: &[u8], scope: Scope, follow: Follow) -> Result<Attr>;
}

/// How a run went.
#[derive(Clone, Debug, Default)]
pub struct PathReport {
    /// Trees made.
    pub trees: u64,
    /// Lookups compared.
    pub lookups: u64,
    /// Those that found something.
    pub found: u64,
    /// The others, by error.
    pub errors: HashMap<Errno, u64>,
    /// The first difference: the tree's script and the lookup.
    pub difference: Option<String>,
}

impl std::fmt::Display for PathReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} lookups in {} trees, {} found", self.lookups, self.trees, self.found)?;
        let mut errors: Vec<_> = self.errors.iter().collect();
        errors.sort();
        for (errno, count) in errors {
            write!(f, ", {errno:?} {count}")?;
        }
        if let Some(difference) = &self.difference {
            write!(f, "\n{difference}")?;
        }
        Ok(())
    }
}

const NAMES: [&[u8]; 3] = [b"a", b"b", b"c"];
const LOOKUPS_PER_TREE: usize = 1500;

/// Compares lookups for `time`, or until the first difference.
///
/// # Errors
/// The text of what went wrong besides lookups.
pub fn run(
    subject: &mut dyn Resolver,
    kernel: &mut dyn Resolver,
    seed: u64,
    time: Duration,
) -> std::result::Result<PathReport, String> {
    super::check_oracle(kernel)?;
    let mut random = Random::new(seed);
    let mut report = PathReport::default();
    let start = Instant::now();
    while start.elapsed() < time && report.difference.is_none() {
        let script = tree_script(&mut random);
        let here = Known::of(subject, &script)?;
        let there = Known::of(kernel, &script)?;
        if here.dirs.len() != there.dirs.len() {
            return Err(format!("different trees of one script:\n{}", script.join("\n")));
        }
        report.trees += 1;
        for _ in 0..LOOKUPS_PER_TREE {
            let dir = random.below(here.dirs.len());
            let path = path_text(&mut random, &NAMES);
            let scope = random.of([Scope::InRoot, Scope::Beneath, Scope::Process]);
            let follow = if random.percent(30) { Follow::No } else { Follow::Yes };
            let got = here.name(subject.look_up(here.dirs[dir].1, &path, scope, follow));
            let mut right = there.name(kernel.look_up(there.dirs[dir].1, &path, scope, follow));
            for _ in 0..8 {
                if !may_be_counted_twice(&right, &got) {
                    break;
                }
                right = there.name(kernel.look_up(there.dirs[dir].1, &path, scope, follow));
            }
            if scope == Scope::Beneath && may_be_counted_twice(&right, &got) && got == Err(Errno::XDEV) {
                right = got.clone();
            }
            report.lookups += 1;
            match &right {
                Ok(_) => report.found += 1,
                Err(errno) => *report.errors.entry(*errno).or_default() += 1,
            }
            if got != right {
                let base = text::spell(&here.dirs[dir].0);
                let path = text::spell(&path);
                report.difference = Some(format!(
                    "{}\n# {scope:?}, {follow:?}: {path} from {base} is {right:?}, but {got:?} here (seed {seed})",
                    script.join("\n"),
                ));
                break;
            }
        }
    }
    Ok(report)
}

/// Linux walks without locks first, and again with them if that fails; the links of both walks are counted
/// together, so that 21 links can be `ELOOP`. Under `RESOLVE_BENEATH` the first walk fails at each `..` that would
/// leave (`follow_dotdot_rcu`); elsewhere it fails now and then, and asking again helps.
fn may_be_counted_twice(right: &Result<String>, got: &Result<String>) -> bool {
    *right == Err(Errno::LOOP) && got != right
}

/// A random tree, as the script that makes it. What fails is part of it and harmless.
fn tree_script(random: &mut Random) -> Vec<String> {
    let mut dirs: Vec<Vec<u8>> = vec![Vec::new()];
    let mut script = Vec::new();
    for _ in 0..4 + random.below(16) {
        let Some(parent) = random.pick(&dirs).cloned() else { continue };
        let name = random.of(NAMES);
        let path = [parent.as_slice(), b"/", name].concat();
        let shown = text::spell(&path);
        match random.below(10) {
            0..4 => {
                script.push(format!("mkdir {shown}"));
                if !dirs.contains(&path) {
                    dirs.push(path);
                }
            }
            4..5 => script.push(format!("file {shown}")),
            _ => script.push(format!("symlink {} {shown}", text::spell(&path_text(random, &NAMES)))),
        }
    }
    script
}

/// A tree as one subject sees it.
struct Known {
    /// The directories that lookups start from, by path.
    dirs: Vec<(Vec<u8>, Handle)>,
    names: HashMap<(u64, u64), Vec<u8>>,
}

impl Known {
    fn of(subject: &mut dyn Subject, script: &[String]) -> std::result::Result<Known, String> {
        let fault = |errno: Errno| format!("making the tree: {errno:?}");
        subject.reset().map_err(fault)?;
        let mut env = Env::default();
        for line in script {
            call::run_text(subject, &mut env, line).map_err(|bad| bad.0)?.ok();
        }
        let top = subject.open_top().map_err(fault)?;
        let mut known = Known { dirs: Vec::new(), names: HashMap::new() };
        let attr = subject.fstat(top).map_err(fault)?;
        known.names.insert((attr.dev, attr.ino), b"/".to_vec());
        known.dirs.push((b"/".to_vec(), top));
        let mut next = 0;
        while let Some((path, dir)) = known.dirs.get(next).cloned() {
            known.enter(subject, &path, dir).map_err(fault)?;
            next += 1;
        }
        Ok(known)
    }

    fn enter(&mut self, subject: &mut dyn Subject, path: &[u8], dir: Handle) -> Result<()> {
        let mut entries = call::list(subject, dir)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            if entry.name == b"." || entry.name == b".." {
                continue;
            }
            let at = At::dir(dir, &entry.name);
            let attr = subject.fstatat(at, Follow::No)?;
            let below = [path.strip_suffix(b"/").unwrap_or(path), b"/", &entry.name].concat();
            self.names.insert((attr.dev, attr.ino), below.clone());
            if attr.kind.is_dir() {
                let handle = subject.openat(at, OpenFlags::READ | OpenFlags::DIRECTORY, 0)?;
                self.dirs.push((below, handle));
            }
        }
        Ok(())
    }

    /// The path of what a lookup found: the same inode has the same on both sides.
    fn name(&self, found: Result<Attr>) -> Result<String> {
        found.map(|attr| match self.names.get(&(attr.dev, attr.ino)) {
            Some(path) => text::spell(path),
            None => "outside of the tree".into(),
        })
    }
}
