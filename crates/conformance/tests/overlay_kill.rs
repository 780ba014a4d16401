//! The process that serves an overlay is killed at any moment: the lower is as it was, and the upper shows all that was
//! done before, and of what was under way all or nothing.
//!
//! The process is this test once more ([`the_one_that_is_killed`]). What it does is told by a seed; how much of it is
//! done it writes to a file. What that must come to is tried on an overlay of memory.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use vnode_conformance::call::{self, Env};
use vnode_conformance::kernel::overlayfs::Mounts;
use vnode_conformance::layers::{self, Layers};
use vnode_conformance::overlay;
use vnode_conformance::random::Random;
use vnode_conformance::tree::Tree;
use vnode_conformance::vnode::Vnode;
use vnode_core::{FileType, FilesystemRef};
use vnode_overlay::Marks;

/// How often it is killed; in the environment another number.
const KILLS: u64 = 200;
const KILLS_NAME: &str = "VNODE_OVERLAY_KILLS";
/// The latest moment.
const LONGEST: Duration = Duration::from_millis(12);
/// What the process does at most.
const STEPS: usize = 4000;

/// In the environment of the process: the directory with the layers, and the seed.
const DIRECTORY: &str = "VNODE_KILLED_DIRECTORY";
const LOWER: &str = "VNODE_KILLED_LOWER";
const SEED: &str = "VNODE_KILLED_SEED";

/// What every lower has.
const LOWER_TREE: &str = "
mkdir d 750
mkdir d/sub
mkdir d/sub/below
mkdir d/empty
file d/f <one*40>
file d/g <two*1000>
setxattr d/g user.tag value
file d/sub/deep <deep*3000>
file big <0123456789abcdef*7000>
chmod big 600
file e <e*5000>
symlink d/f l
mkdir m
mkdir m/n
file m/n/o <o*4096>
mknod p fifo
utimens d/f 1000000001 1000000002
utimens big 1000000003 1000000004
chown d/g 7 8
";

/// What one of them has besides.
const LINKS: &str = "
link e d/hard
link e m/harder
";

const PATHS: [&str; 24] = [
    "d",
    "d/f",
    "d/g",
    "d/sub",
    "d/sub/deep",
    "d/sub/below",
    "d/empty",
    "big",
    "e",
    "l",
    "m",
    "m/n",
    "m/n/o",
    "p",
    "d/hard",
    "m/harder",
    "new",
    "new/x",
    "d/new",
    "m/n/new",
    "d/sub/below/x",
    "d/empty/x",
    "other",
    "m/p",
];

type Line = Vec<Vec<u8>>;

fn line(text: &str) -> Line {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

/// What the process does: each is all or nothing. Some can't be done.
fn steps(seed: u64) -> impl Iterator<Item = Line> {
    let mut random = Random::new(seed);
    (0..STEPS).map(move |step| {
        let (one, two) = (random.of(PATHS), random.of(PATHS));
        match random.below(20) {
            0 | 1 => line(&format!("chmod {one} {:o}", 0o700 + random.below(0o100))),
            2 => line(&format!("chown {one} {} -", random.below(10))),
            3 => line(&format!("setxattr {one} user.step {step}")),
            4 => line(&format!("truncate {one} {}", random.of([0, 5, 4096, 50_000]))),
            5 => line(&format!("mkdir {one}")),
            6 => line(&format!("mknod {one} file")),
            7 => line(&format!("symlink {two} {one}")),
            8 | 9 => line(&format!("link {one} {two}")),
            10 | 11 => line(&format!("unlink {one}")),
            12 => line(&format!("rmdir {one}")),
            13 | 14 => line(&format!("rename {one} {two}")),
            15 => line(&format!("rename {one} {two} exchange")),
            16 | 17 => line(&format!("open {one} rw as h")),
            // A page is written at once.
            _ => {
                let page = format!("{step:015}\n").repeat(256);
                let mut line = line(&format!("pwrite %h {}", 4096 * random.below(26)));
                line.push(page.into_bytes());
                line
            }
        }
    })
}

struct Doing {
    fs: FilesystemRef,
    process: Vnode,
    env: Env,
}

impl Doing {
    fn on(fs: FilesystemRef) -> Self {
        let process = layers::process(fs.clone()).expect("a process");
        Doing { fs, process, env: Env::default() }
    }

    fn does(&mut self, line: &[Vec<u8>]) -> bool {
        call::run(&mut self.process, &mut self.env, line).expect("a line").is_ok()
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|of| of.uid() == 0)
}

#[test]
fn the_one_that_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let (lower, seed) = (std::env::var_os(LOWER).expect("a lower"), std::env::var(SEED).expect("a seed"));
    let directory = PathBuf::from(directory);
    let count = File::create(directory.join("count")).expect("a file");
    println!("ready");
    let fs =
        layers::over(&[PathBuf::from(lower)], &directory.join("top"), Marks::Trusted).expect("an overlay");
    let mut doing = Doing::on(fs);
    for (step, line) in (1u64..).zip(steps(seed.parse().expect("a number"))) {
        doing.does(&line);
        count.write_all_at(&step.to_le_bytes(), 0).expect("room");
    }
}

/// Starts the process, and kills it so long after it is ready.
fn kill_after(time: Duration, layers: &Layers, seed: u64) {
    let mut process = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "the_one_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, layers.path(""))
        .env(LOWER, layers.lower())
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut said = Vec::new();
    let output = process.stdout.as_mut().expect("its output");
    while !said.ends_with(b"ready\n") {
        let mut byte = [0];
        assert_eq!(output.read(&mut byte).expect("its output"), 1, "{}", String::from_utf8_lossy(&said));
        said.extend(byte);
    }
    std::thread::sleep(time);
    process.kill().expect("it is there");
    process.wait().expect("it is there");
}

/// How many steps were done, and maybe one more.
fn done(layers: &Layers) -> usize {
    let mut count = [0; 8];
    let read = File::open(layers.path("count")).and_then(|file| file.read_exact_at(&mut count, 0));
    read.map_or(0, |()| u64::from_le_bytes(count)) as usize
}

/// Everything of a directory of the host, but when files were looked at.
fn picture(dir: &Path, out: &mut Vec<String>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry")).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, of) = (entry.path(), entry.metadata().expect("its attributes"));
        let content = match of.file_type() {
            kind if kind.is_file() => std::fs::read(&path).expect("its content"),
            kind if kind.is_symlink() => {
                std::fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes()
            }
            _ => Vec::new(),
        };
        let times = [of.atime(), of.atime_nsec(), of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()];
        let owner = (of.uid(), of.gid(), of.mode(), of.nlink());
        out.push(format!("{} {} {owner:?} {times:?} {} {content:x?}", path.display(), of.ino(), of.blocks()));
        if of.is_dir() {
            picture(&path, out);
        }
    }
}

/// A lower for all, and how it must stay.
struct Lower {
    layers: Layers,
    script: String,
    before: Vec<String>,
}

impl Lower {
    fn new(script: String) -> Self {
        let layers = Layers::new(Path::new("/dev/shm")).expect("directories");
        let fs = layers::host(layers.lower()).expect("a directory");
        layers::carry_out(&fs, &script).expect("a lower");
        // The first look moves access times, later ones don't.
        picture(layers.lower(), &mut Vec::new());
        let mut before = Vec::new();
        picture(layers.lower(), &mut before);
        Lower { layers, script, before }
    }

    fn check(&self) {
        let mut now = Vec::new();
        picture(self.layers.lower(), &mut now);
        assert_eq!(now, self.before, "the lower was changed");
    }

    /// The same in memory, under an empty upper.
    fn model(&self) -> Doing {
        let memory = overlay::memory(0, 0);
        layers::carry_out(&memory, &self.script).expect("a lower");
        Doing::on(overlay::over(vec![memory], overlay::memory(0, 0)).expect("an overlay"))
    }
}

fn any(_: FileType) -> bool {
    true
}

/// What may be seen after so many steps.
struct Expected<'a> {
    lower: &'a Lower,
    steps: Vec<Line>,
}

impl Expected<'_> {
    fn after(&self, more: &[Line]) -> Tree {
        let mut model = self.lower.model();
        for line in self.steps.iter().chain(more) {
            model.does(line);
        }
        layers::tree(&model.fs).expect("a tree").without_links(any)
    }

    /// Every tree that may be there, `next` being under way.
    fn all(&self, next: &Line) -> Vec<Tree> {
        let mut trees = vec![self.after(&[]), self.after(std::slice::from_ref(next))];
        let words: Vec<_> = next.iter().map(|word| String::from_utf8_lossy(word)).collect();
        if let [verb, from, to] = words.as_slice()
            && verb == "rename"
        {
            // What leaves a whiteout where it was has both names for a moment.
            trees.push(self.after(&[line(&format!("unlink {to}")), line(&format!("link {from} {to}"))]));
            trees.push(self.after(&[line(&format!("rename {from} {to} exchange"))]));
        }
        trees
    }
}

/// What the kernel shows of the upper. A rename may have left a whiteout where nothing is to be hidden: it is taken away.
fn shown_by_kernel(mounts: &Mounts, layers: &Layers, next: &[Vec<u8>]) -> Tree {
    let point = layers.point();
    let mount = || mounts.overlay(&point, &layers.options("redirect_dir=on,index=on")).expect("an overlay");
    mount();
    let mut phantoms = Vec::new();
    listed_only(&point, &mut phantoms);
    for phantom in phantoms {
        let path = phantom.strip_prefix(&point).expect("a path in it");
        let renames = next.first().is_some_and(|verb| verb == b"rename");
        let meant = next.iter().skip(1).any(|word| means(&point, word, &phantom));
        assert!(renames && meant, "{}, then {}", path.display(), shown(next));
        mounts.unmount(&point).expect("it is mounted");
        std::fs::remove_file(layers.path("top/upper").join(path)).expect("a whiteout");
        mount();
    }
    let shown = layers::tree(&layers::host(&point).expect("it")).expect("a tree");
    mounts.unmount(&point).expect("it is mounted");
    shown
}

/// Whether a word is a path to a name, or to the directory that it is in: one that took the place of another with
/// whiteouts in it. Links may lead there.
fn means(root: &Path, word: &[u8], name: &Path) -> bool {
    let path = root.join(OsStr::from_bytes(word));
    let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
    let spelled = parent.zip(path.file_name()).map(|(parent, last)| parent.join(last));
    spelled.as_deref().is_some_and(|spelled| spelled == name || name.parent() == Some(spelled))
}

/// The beginning of a line.
fn shown(line: &[Vec<u8>]) -> String {
    let text = line.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" ");
    format!("{text:.100}")
}

/// What is listed, but isn't there.
fn listed_only(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        match std::fs::symlink_metadata(&path) {
            Ok(of) if of.is_dir() => listed_only(&path, out),
            Ok(_) => {}
            Err(_) => out.push(path),
        }
    }
}

/// Kills once; answers how many steps were done.
fn round(lower: &Lower, seed: u64, mounts: Option<&Mounts>) -> usize {
    let lowers = vec![lower.layers.lower().to_owned()];
    let layers = Layers::over(Path::new("/dev/shm"), lowers).expect("directories");
    let micros = Random::new(!seed).below(LONGEST.as_micros() as usize);
    kill_after(Duration::from_micros(micros as u64), &layers, seed);
    let count = done(&layers);
    let mut all = steps(seed);
    let expected = Expected { lower, steps: all.by_ref().take(count).collect() };
    let next = all.next().unwrap_or_else(|| line("getcwd"));
    let fs = layers.overlay(Marks::Trusted).expect("it opens again");
    let left = std::fs::read_dir(layers.path("top/work")).expect("it");
    let left: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(left.iter().all(|name| name == "index"), "seed {seed}: {left:?}");
    let seen = layers::tree(&fs).expect("all of it can be looked at");
    assert_eq!(seen.undercounted(), Vec::<String>::new(), "seed {seed}");
    let here = seen.clone().without_links(any);
    let may_be = expected.all(&next);
    if !may_be.contains(&here) {
        let how = may_be.iter().map(|tree| here.differences(tree).join("\n")).collect::<Vec<_>>();
        panic!("seed {seed}, {count} steps, then {}:\n{}", shown(&next), how.join("\nor\n"));
    }
    drop(fs);
    if let Some(mounts) = mounts {
        let theirs = shown_by_kernel(mounts, &layers, &next);
        let differences = here.differences(&theirs.without_links(any));
        assert!(differences.is_empty(), "seed {seed}, vnode <> the kernel: {}", differences.join("\n"));
    }
    count
}

/// Kills as often as is asked.
fn rounds(lower: &Lower, mounts: Option<&Mounts>, first: u64) {
    let kills = std::env::var(KILLS_NAME).ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS) / 2;
    let counts: Vec<_> = (first..first + kills).map(|seed| round(lower, seed, mounts)).collect();
    lower.check();
    let (least, most) = (counts.iter().min(), counts.iter().max());
    let all: usize = counts.iter().sum();
    println!("{kills} kills, after {least:?} to {most:?} steps, {all} in all");
    assert!(
        counts.iter().filter(|count| **count > 20).count() > counts.len() / 4,
        "too little was done: {counts:?}"
    );
}

fn check(script: String, first: u64) {
    if !is_root() {
        println!("skipped: nobody but root keeps owners");
        return;
    }
    let lower = Lower::new(script);
    if Mounts::on_thread(|mounts| rounds(&lower, Some(mounts), first)).is_none() {
        println!("skipped in part: nothing can be mounted here");
        rounds(&lower, None, first);
    }
}

#[test]
fn what_is_left_is_whole_and_the_kernel_shows_it() {
    check(LOWER_TREE.to_owned(), 0);
}

#[test]
fn hard_links_of_a_lower_are_whole() {
    check(format!("{LOWER_TREE}{LINKS}"), 1 << 32);
}
