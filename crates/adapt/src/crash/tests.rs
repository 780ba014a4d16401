//! The medium at random: a tree at every moment, and nothing lost that has a name all the time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use proptest::prelude::*;
use vnode_core::fs::{At, Filesystem, Inode, InodeId, NewInode, NewKind, Remove, Rename};
use vnode_core::{Clock, Credentials, Cx, Mode, Name, Timespec};
use vnode_memory::{Memory, Node};

use super::Crash;
use super::image::Key;

struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timespec {
        Timespec::EPOCH
    }
}

/// A change of names, or a sync; directories are counted modulo those that there are.
#[derive(Clone, Debug)]
enum Step {
    Make { dir: usize, name: u8, is_dir: bool },
    Link { from: (usize, u8), to: (usize, u8) },
    Remove { dir: usize, name: u8, is_dir: bool },
    Rename { from: (usize, u8), to: (usize, u8), how: u8 },
    Sync { dir: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0u8..3;
    let at = || (0usize..4, 0u8..3);
    prop_oneof![
        3 => (0usize..4, name(), any::<bool>())
            .prop_map(|(dir, name, is_dir)| Step::Make { dir, name, is_dir }),
        1 => (at(), at()).prop_map(|(from, to)| Step::Link { from, to }),
        2 => (0usize..4, name(), any::<bool>())
            .prop_map(|(dir, name, is_dir)| Step::Remove { dir, name, is_dir }),
        4 => (at(), at(), 0u8..3).prop_map(|(from, to, how)| Step::Rename { from, to, how }),
        3 => (0usize..4).prop_map(|dir| Step::Sync { dir }),
    ]
}

const NAMES: [&[u8]; 3] = [b"a", b"b", b"c"];

fn name(number: u8) -> Name<'static> {
    Name::new(NAMES[usize::from(number) % NAMES.len()]).unwrap()
}

type Live = HashMap<InodeId, Arc<Node>>;

/// What names lead to, the directories among it in the order in which they are found.
fn live(cx: &Cx<'_>, fs: &Crash<Memory>) -> (Live, Vec<Arc<Node>>) {
    let mut dirs = vec![fs.root()];
    let mut all = Live::from([(fs.root().id(), fs.root())]);
    let mut at = 0;
    while let Some(dir) = dirs.get(at).cloned() {
        at += 1;
        for name in NAMES {
            let Ok(inode) = fs.lookup(cx, At { dir: &dir, name: Name::new(name).unwrap() }) else { continue };
            if inode.kind().is_dir() {
                dirs.push(inode.clone());
            }
            all.insert(inode.id(), inode);
        }
    }
    (all, dirs)
}

fn take(cx: &Cx<'_>, fs: &Crash<Memory>, dirs: &[Arc<Node>], step: &Step) {
    let dir = |number: usize| &dirs[number % dirs.len()];
    let at = |(number, of): (usize, u8)| At { dir: dir(number), name: name(of) };
    let new = |is_dir: bool| NewInode {
        kind: if is_dir { NewKind::Directory } else { NewKind::Regular },
        mode: Mode::RWXU,
        uid: 0,
        gid: 0,
    };
    // Many fail, and change nothing.
    let _ = match *step {
        Step::Make { dir, name, is_dir } => fs.create(cx, at((dir, name)), new(is_dir)).map(drop),
        Step::Link { from, to } => match fs.lookup(cx, at(from)) {
            Ok(target) if !target.kind().is_dir() => fs.link(cx, at(to), &target),
            _ => Ok(()),
        },
        Step::Remove { dir, name, is_dir } => {
            let what = if is_dir { Remove::Directory } else { Remove::File };
            fs.remove(cx, at((dir, name)), what)
        }
        Step::Rename { from, to, how } => {
            let how = [Rename::Replace, Rename::NoReplace, Rename::Exchange][usize::from(how)];
            fs.rename(cx, at(from), at(to), how)
        }
        Step::Sync { dir: number } => fs.sync(cx, dir(number), false),
    };
}

/// The identities that the medium leads to; every directory by one name only.
fn on_medium(fs: &Crash<Memory>) -> HashSet<InodeId> {
    let journal = fs.hook.journal.read();
    let reached = journal.reached();
    let mut named: HashMap<Key, usize> = HashMap::new();
    for key in &reached {
        for child in journal.record(*key).and_then(|record| record.names()).into_iter().flatten() {
            *named.entry(*child.1).or_default() += 1;
        }
    }
    for (key, names) in &named {
        let is_dir = journal.record(*key).is_some_and(|record| record.names().is_some());
        assert!(!is_dir || *names == 1, "a directory with {names} names");
    }
    reached.iter().filter_map(|key| Some(journal.record(*key)?.inode.as_ref()?.id())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_has_a_name_all_the_time_is_lost(
        start in prop::collection::vec(step(), 0..30),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let who = Credentials::root();
        let cx = Cx::new(&who, &Epoch);
        let fs = Crash::new(&cx, Memory::new()).unwrap();
        for step in &start {
            take(&cx, &fs, &live(&cx, &fs).1, step);
        }
        fs.sync_all(&cx).unwrap();
        let (mut always, _) = live(&cx, &fs);
        prop_assert_eq!(&on_medium(&fs), &always.keys().copied().collect::<HashSet<_>>());
        for step in &steps {
            let (_, dirs) = live(&cx, &fs);
            take(&cx, &fs, &dirs, step);
            let (now, _) = live(&cx, &fs);
            always.retain(|id, _| now.contains_key(id));
            let medium = on_medium(&fs);
            for id in always.keys() {
                prop_assert!(medium.contains(id), "{id:?} is lost");
            }
        }
        fs.sync_all(&cx).unwrap();
        prop_assert_eq!(on_medium(&fs), live(&cx, &fs).0.keys().copied().collect::<HashSet<_>>());
    }
}
