//! What a loss of power leaves: what was synced is there, what wasn't isn't or is old, nothing is half.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "helpers of tests")]

use std::collections::HashSet;
use std::sync::Arc;

use vnode_adapt::{Crash, Keep, Op, OpSet};
use vnode_conformance::adapted::{self, Books, Layer};
use vnode_conformance::call::{self, Env, run_text};
use vnode_conformance::differ::generate::Generator;
use vnode_conformance::differ::known::{Known, Theme};
use vnode_conformance::random::Random;
use vnode_conformance::subject::Subject;
use vnode_conformance::tree::{Times, Tree};
use vnode_conformance::value::describe;
use vnode_conformance::vnode::{Layout, Vnode};
use vnode_core::FilesystemRef;

/// Symbolic links in hidden files, over a medium that has none.
const LINKS: &[Layer] = &[Layer::Linkless, Layer::Links(Keep::HiddenFiles)];

/// A process on a medium, under further layers.
struct Fixture {
    subject: Vnode,
    books: Books,
    env: Env,
    over: &'static [Layer],
}

impl Fixture {
    fn new() -> Self {
        Self::under(&[])
    }

    fn under(over: &'static [Layer]) -> Self {
        let layers = [&[Layer::Crash], over].concat();
        let (subject, books) = adapted::subject(Layout::Root, &layers).expect("a subject");
        Fixture { subject, books, env: Env::default(), over }
    }

    fn crash(&self) -> Arc<Crash<FilesystemRef>> {
        self.books.crash().expect("a medium")
    }

    /// Runs lines; `sync PATH` opens what is there and syncs it.
    fn run(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.strip_prefix("sync ") {
                Some(path) => {
                    assert_eq!(self.does(&format!("open {path} r as sync")), "ok", "{line}");
                    assert_eq!(self.does("fsync %sync"), "ok", "{line}");
                    assert_eq!(self.does("close %sync"), "ok", "{line}");
                }
                None => {
                    let outcome = run_text(&mut self.subject, &mut self.env, line).expect("a line");
                    assert!(outcome.is_ok(), "{line}: {}", describe(&outcome));
                }
            }
        }
    }

    fn does(&mut self, line: &str) -> String {
        describe(&run_text(&mut self.subject, &mut self.env, line).expect("a line"))
    }

    fn tree(&mut self) -> Tree {
        Tree::of(&mut self.subject, &self.env, Times::Left).expect("a tree")
    }

    /// What a crash leaves now.
    fn left(&self) -> Vnode {
        adapted::survivor(&self.crash(), self.over).expect("what survived")
    }
}

/// What lines answer after a crash.
fn left_by(lines: &str, looks: &[&str]) -> Vec<String> {
    let mut fixture = Fixture::new();
    fixture.run(lines);
    let mut left = fixture.left();
    looks
        .iter()
        .map(|line| describe(&run_text(&mut left, &mut Env::default(), line).expect("a line")))
        .collect()
}

#[test]
fn a_name_needs_its_directory_synced_and_content_its_file() {
    let made = "file f text\nfile g text\n";
    assert_eq!(left_by(&format!("{made} sync f"), &["ls /"]), ["[]"]);
    let looks = ["ls /", "cat f", "cat g"];
    assert_eq!(left_by(&format!("{made} sync f\n sync /"), &looks), ["[f g]", "\"text\"", "\"\""]);
    assert_eq!(left_by("mkdir d\n file d/f x\n sync d/f\n sync d", &["ls /"]), ["[]"]);
    assert_eq!(left_by("mkdir d\n file d/f x\n sync d/f\n sync /", &["ls d"]), ["[]"]);
    assert_eq!(left_by("mkdir d\n file d/f x\n sync d/f\n sync d\n sync /", &["cat d/f"]), ["\"x\""]);
}

#[test]
fn what_is_not_synced_again_is_old() {
    let old = "file f old\n chmod f 600\n setxattr f user.a old\n sync f\n sync /\n";
    let changed = "file f newer\n chmod f 644\n setxattr f user.a new\n setxattr f user.b new\n link f g\n";
    let looks = ["cat f", "stat f", "getxattr f user.a", "getxattr f user.b", "stat g"];
    let before = "{type=file mode=600 nlink=1 uid=0 gid=0 size=3}";
    let got = left_by(&format!("{old}{changed}"), &looks);
    assert_eq!(got, ["\"old\"", before, "\"old\"", "ENODATA", "ENOENT"]);
    let got = left_by(&format!("{old}{changed} sync f"), &looks);
    let after = "{type=file mode=644 nlink=1 uid=0 gid=0 size=5}";
    assert_eq!(got, ["\"newer\"", after, "\"new\"", "\"new\"", "ENOENT"]);
    assert_eq!(left_by(&format!("{old} unlink f"), &["cat f"]), ["\"old\""]);
    assert_eq!(left_by(&format!("{old} unlink f\n sync /"), &["cat f"]), ["ENOENT"]);
    assert_eq!(left_by(&format!("{old} truncate f 1"), &["cat f"]), ["\"old\""]);
}

#[test]
fn all_kinds_of_files_survive_as_they_are() {
    let lines = "symlink target l\n mknod p fifo\n mknod c chr:5:6\n file f x\n truncate f 1m\n link f g\n \
                 open f w as h\n pwrite %h 500k middle\n chown l 3 4 nofollow\n sync f\n sync /";
    let looks = ["readlink l", "stat p", "stat c", "stat f", "same f g"];
    let got = left_by(&lines.replace("\n ", "\n"), &looks);
    assert_eq!(got[0], "\"target\"");
    assert!(got[1].starts_with("{type=fifo") && got[2].starts_with("{type=chr"), "{got:?}");
    assert_eq!(
        (got[3].as_str(), got[4].as_str()),
        ("{type=file mode=644 nlink=2 uid=0 gid=0 size=1048576}", "1")
    );
}

#[test]
fn a_file_replaced_by_a_rename_is_the_old_or_the_new_one() {
    let replaced = "file f old\n sync f\n sync /\n file t new\n sync t\n rename t f\n";
    assert_eq!(left_by(replaced, &["ls /", "cat f"]), ["[f]", "\"old\""]);
    assert_eq!(left_by(&format!("{replaced} sync /"), &["ls /", "cat f"]), ["[f]", "\"new\""]);
    // Without the sync of the new file before, its name comes and its content doesn't: the mistake that this finds.
    let careless = "file f old\n sync f\n sync /\n file t new\n rename t f\n sync /";
    assert_eq!(left_by(careless, &["cat f"]), ["\"\""]);
}

#[test]
fn what_has_a_name_all_the_time_keeps_one() {
    let dirs = "mkdir d\n mkdir e\n file d/f x\n sync d/f\n sync d\n sync e\n sync /\n";
    let looks = ["ls d", "ls e"];
    // The removal comes with the link before it.
    let linked = format!("{dirs} link d/f e/g\n unlink d/f\n sync d");
    assert_eq!(left_by(&linked, &looks), ["[]", "[g]"]);
    // The rename is in both directories, whichever is synced.
    for synced in ["d", "e"] {
        assert_eq!(left_by(&format!("{dirs} rename d/f e/f\n sync {synced}"), &looks), ["[]", "[f]"]);
    }
    // The removed directory's names count.
    let emptied = format!("{dirs} rename d/f e/f\n rmdir d\n sync /");
    assert_eq!(left_by(&emptied, &["ls /", "ls e"]), ["[e]", "[f]"]);
    // What came later, and wasn't asked for, doesn't come.
    let later = format!("{dirs} rename d/f e/f\n file d/new y\n file e/new y\n sync d");
    assert_eq!(left_by(&later, &looks), ["[new]", "[f]"]);
}

#[test]
fn directories_stay_a_tree() {
    // z comes out from below x, then x goes below what is in z: neither move touches a directory of the other.
    let lines = "mkdir p\n mkdir p/x\n mkdir p/x/w\n mkdir p/x/w/z\n mkdir p/x/w/z/y\n mkdir q\n \
                 sync p/x/w/z\n sync p/x/w\n sync p/x\n sync p\n sync q\n sync /\n \
                 rename p/x/w/z q/z\n rename p/x q/z/y/x\n sync q/z/y";
    assert_eq!(left_by(lines, &["ls p", "ls q", "ls q/z/y", "ls q/z/y/x/w"]), ["[]", "[z]", "[x]", "[]"]);
}

#[test]
fn the_power_goes_at_a_chosen_call() {
    let mut fixture = Fixture::new();
    fixture.run("file f old\n sync f\n sync /\n open f rw as h\n open / r,dir as d");
    fixture.crash().control().crash_at(Op::Rename, 2);
    fixture.run("rename f g\n write %h new\n fsync %d");
    assert_eq!(fixture.does("rename g h"), "EIO");
    for line in
        ["fsync %h", "fsync %d", "pread %h 0 9", "write %h x", "stat g", "ls /", "mkdir x", "statfs /"]
    {
        assert_eq!(fixture.does(line), "EIO", "{line}");
    }
    assert!(fixture.crash().control().crashed());
    let mut left = fixture.left();
    let look = describe(&run_text(&mut left, &mut Env::default(), "cat g").expect("a line"));
    assert_eq!(look, "\"old\"");
}

/// A file is replaced as it should be, and the power goes at the first call of the filesystem, at the second, and so on:
/// the file is the old or the new one, and never the old one again once the last sync is done.
#[test]
fn a_careful_program_loses_nothing_whenever_the_power_goes() {
    let program = [
        "open t rw,creat as t",
        "write %t newer",
        "fsync %t",
        "close %t",
        "rename t f",
        "open / r,dir as d",
        "fsync %d",
    ];
    let mut seen = Vec::new();
    for nth in 1.. {
        let mut fixture = Fixture::new();
        fixture.run("file f old\n sync f\n sync /");
        fixture.crash().control().crash_at(OpSet::ALL, nth);
        let done = program.iter().all(|line| fixture.does(line) != "EIO");
        let mut left = fixture.left();
        let content = describe(&run_text(&mut left, &mut Env::default(), "cat f").expect("a line"));
        assert!(content == "\"old\"" || content == "\"newer\"", "call {nth}: {content}");
        assert!(!done || content == "\"newer\"", "all was synced");
        seen.push(content);
        if !fixture.crash().control().crashed() {
            break;
        }
    }
    assert!(seen.len() > program.len(), "{seen:?}");
    assert!(seen.is_sorted_by_key(|content| content.contains("newer")), "{seen:?}");
}

/// Syncs a directory or a file at random.
fn sync_something(fixture: &mut Fixture, random: &mut Random) {
    let paths = paths(&mut fixture.subject, &fixture.env);
    if let Some(path) = random.pick(&paths) {
        fixture.run(&format!("sync {path}"));
    }
}

/// The directories and files that there are.
fn paths(subject: &mut dyn Subject, env: &Env) -> Vec<String> {
    let known = Known::of(subject, env).expect("a tree");
    let mut paths: Vec<_> = known.directories().chain(known.regular_files()).collect();
    paths.retain(|path| path.is_ascii());
    paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}

#[test]
fn at_random_everything_is_old_or_new_and_all_of_it_when_all_is_synced() {
    check_at_random(&[], 150);
}

#[test]
fn at_random_links_in_hidden_files_are_there_when_all_is_synced() {
    check_at_random(LINKS, 100);
}

fn check_at_random(over: &'static [Layer], seeds: u64) {
    let (mut sequences, mut partial) = (0, 0);
    for seed in 0..seeds {
        let mut random = Random::new(seed);
        let mut aim = Random::new(seed.wrapping_add(1 << 32));
        let mut fixture = Fixture::under(over);
        Theme::Plain.prelude().iter().for_each(|line| fixture.run(line));
        let mut generator = Generator::new(&mut random, Theme::Plain);
        let mut contents: HashSet<Vec<u8>> = HashSet::from([Vec::new()]);
        for _ in 0..30 {
            let known = Known::of(&mut fixture.subject, &fixture.env).expect("a tree");
            let line = generator.next(&known);
            let outcome = call::run(&mut fixture.subject, &mut fixture.env, &line).expect("a line");
            generator.learn(&line, outcome.is_ok());
            let tree = fixture.tree();
            contents.extend(tree.contents().map(|(_, content)| content.to_vec()));
            if aim.percent(25) {
                sync_something(&mut fixture, &mut aim);
            }
        }
        let live = fixture.tree();
        let mut left = fixture.left();
        let tree = Tree::of(&mut left, &Env::default(), Times::Left).expect("a tree");
        partial += usize::from(!tree.differences(&live).is_empty());
        for (path, content) in tree.contents() {
            assert!(contents.contains(content), "seed {seed}: {} is half", path.escape_ascii());
        }
        // All of it, one by one.
        for path in paths(&mut fixture.subject, &fixture.env) {
            fixture.run(&format!("sync {path}"));
        }
        let mut left = fixture.left();
        let tree = Tree::of(&mut left, &Env::default(), Times::Left).expect("a tree");
        assert_eq!(tree.differences(&live), Vec::<String>::new(), "seed {seed}");
        sequences += 1;
    }
    println!("{sequences} sequences, {partial} of them with something lost before all was synced");
    assert!(partial * 2 > sequences, "only {partial} of {sequences} lost anything");
}

/// What a link leads to, or the error, under each of two names after a loss of power.
fn links_left(fixture: &Fixture, names: [&str; 2]) -> [String; 2] {
    let mut left = fixture.left();
    names.map(|name| {
        describe(&run_text(&mut left, &mut Env::default(), &format!("readlink {name}")).expect("a line"))
    })
}

#[test]
fn a_link_in_a_hidden_file_is_there_once_its_directory_is_synced() {
    let mut fixture = Fixture::under(LINKS);
    fixture.run("mkdir d\n sync /\n symlink one d/l");
    assert_eq!(links_left(&fixture, ["d/l", "d/l"])[0], "ENOENT");
    fixture.run("sync d");
    assert_eq!(links_left(&fixture, ["d/l", "d/l"])[0], "\"one\"");
    fixture.run("chown d/l 3 4 nofollow\n sync d\n symlink two d/m\n unlink d/l");
    assert_eq!(links_left(&fixture, ["d/l", "d/m"]), ["\"one\"", "ENOENT"]);
    fixture.run("sync d");
    assert_eq!(links_left(&fixture, ["d/l", "d/m"]), ["ENOENT", "\"two\""]);
    fixture.run("unlink d/m\n sync d\n rmdir d\n sync /");
    let mut left = fixture.left();
    let look = describe(&run_text(&mut left, &mut Env::default(), "ls /").expect("a line"));
    assert_eq!(look, "[]");
}

/// A further name that a link has in `e` while it is exchanged with one of another directory.
const SPARE: &str = "e/.vnode-exchanged-*";

/// A link, by what it leads to, and the names under one of which it must be.
type Whereabouts = (&'static str, &'static [&'static str]);

/// Changes of links, in the middle of each of which the power goes at every call; and the names under one of which each of
/// the links must be found then, by what it leads to.
const MOVES: &[(&str, &[Whereabouts])] = &[
    ("rename d/one d/new", &[("one", &["d/one", "d/new"])]),
    ("rename d/one e/new\n sync d", &[("one", &["d/one", "e/new"])]),
    ("rename d/one e/new\n sync e", &[("one", &["d/one", "e/new"])]),
    ("rename d/one none/new\n sync d", &[("one", &["d/one", "none/new"])]),
    ("rename e/only none/new\n sync e", &[("only", &["e/only", "none/new"])]),
    ("rename d/one e/f\n sync e", &[("one", &["d/one", "e/f"])]),
    ("rename d/one d/f\n sync d", &[("one", &["d/one", "d/f"])]),
    ("rename e/only none/f\n sync e", &[("only", &["e/only", "none/f"])]),
    ("rename d/one d/f exchange\n sync d", &[("one", &["d/one", "d/f"])]),
    ("rename e/only none/f exchange\n sync e", &[("only", &["e/only", "none/f"])]),
    ("rename d/one d/two exchange\n sync d", &[("one", &["d/one", "d/two"]), ("two", &["d/one", "d/two"])]),
    (
        "rename d/one e/only exchange\n sync d\n sync e",
        &[("one", &["d/one", "e/only"]), ("only", &["d/one", "e/only", SPARE])],
    ),
    (
        "rename d/one e/only exchange\n sync e\n sync d",
        &[("one", &["d/one", "e/only"]), ("only", &["d/one", "e/only", SPARE])],
    ),
    (
        "rename d/one e/x\n rename e/only d/y\n sync d\n sync e",
        &[("one", &["d/one", "e/x"]), ("only", &["e/only", "d/y"])],
    ),
    (
        "rename d/one e/x\n rename e/x none/z\n sync d\n sync e\n sync none",
        &[("one", &["d/one", "e/x", "none/z"])],
    ),
];

#[test]
fn a_link_that_is_moved_is_never_lost_whenever_the_power_goes() {
    for (lines, links) in MOVES {
        for nth in 1.. {
            let mut fixture = Fixture::under(LINKS);
            fixture.run(
                "mkdir d\n mkdir e\n mkdir none\n symlink one d/one\n symlink two d/two\n symlink only e/only\n \
                 file d/f x\n file e/f x\n file none/f x\n sync d\n sync e\n sync none\n sync /",
            );
            fixture.crash().control().crash_at(OpSet::ALL, nth);
            for line in lines.lines().map(str::trim) {
                match line.strip_prefix("sync ") {
                    Some(path) => {
                        fixture.does(&format!("open {path} r as s"));
                        fixture.does("fsync %s");
                    }
                    None => drop(fixture.does(line)),
                }
            }
            let mut left = fixture.left();
            let mut does =
                |line: &str| describe(&run_text(&mut left, &mut Env::default(), line).expect("a line"));
            let listed = does("ls e");
            let spare = listed.trim_matches(['[', ']']).split(' ').find(|name| name.starts_with(".vnode-"));
            let mut reads = |name: &str| match name {
                SPARE => does(&format!("readlink e/{}", spare.unwrap_or("none"))),
                _ => does(&format!("readlink {name}")),
            };
            for (target, names) in *links {
                let found: Vec<_> = names.iter().map(|name| reads(name)).collect();
                let is_there = found.contains(&format!("\"{target}\""));
                assert!(
                    is_there,
                    "{lines}: the power goes at call {nth}, and {target} is nowhere: {found:?}"
                );
            }
            if !fixture.crash().control().crashed() {
                assert!(nth > 5, "{lines}: {nth} calls");
                break;
            }
        }
    }
}
