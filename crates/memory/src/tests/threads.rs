//! Many threads at once. Each test runs for a fraction of a second.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use vnode_core::fs::{Access, Allocate, Filesystem, NewInode, NewKind, Remove, Rename};
use vnode_core::io::{Sink, Source};
use vnode_core::{Caller, Credentials, Cx, Errno, FilesystemRef, Follow, Mode, Namespace, Policy, VPath};

use super::{Fixture, Manual, at};
use crate::{Memory, Node};

/// A user of a filesystem in a thread of its own.
struct User<'a> {
    memory: &'a Memory,
    clock: &'a Manual,
    who: Credentials,
    state: u64,
}

impl User<'_> {
    fn cx(&self) -> Cx<'_> {
        Cx::new(&self.who, self.clock)
    }

    /// A random number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % end
    }

    fn make(&self, dir: &Arc<Node>, name: &str, kind: NewKind<'_>) -> vnode_core::Result<Arc<Node>> {
        let new = NewInode { kind, mode: Mode::from_raw(0o755), uid: 0, gid: 0 };
        self.memory.create(&self.cx(), at(dir, name), new)
    }
}

/// Runs `work` in four threads until the time is over.
fn hammer(fx: &Fixture, work: impl Fn(&mut User<'_>) + Sync) {
    let end = Instant::now() + Duration::from_millis(300);
    thread::scope(|scope| {
        for number in 1..=4u64 {
            let work = &work;
            scope.spawn(move || {
                let who = Credentials::root();
                let state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let mut user = User { memory: &fx.memory, clock: &fx.clock, who, state };
                while Instant::now() < end {
                    for _ in 0..20 {
                        work(&mut user);
                    }
                }
            });
        }
    });
}

#[test]
fn every_append_is_whole() {
    let fx = Fixture::default();
    let root = fx.root();
    let file = fx.file(&root, "log");
    let appended = AtomicU64::new(0);
    hammer(&fx, |user| {
        let open = user.memory.open(&user.cx(), &file, Access::WRITE).unwrap();
        let len = 1 + user.below(900) as usize;
        let record = [&(len as u32).to_le_bytes()[..], &vec![len as u8; len]].concat();
        let (done, end) = open.append(&user.cx(), &mut Source::from_slice(&record)).unwrap();
        assert_eq!(done, record.len());
        let mut back = vec![0; done];
        open.read_at(&user.cx(), end - done as u64, &mut Sink::from_slice(&mut back)).unwrap();
        assert_eq!(back, record);
        appended.fetch_add(1, Ordering::Relaxed);
    });
    let bytes = fx.read(&file, 0, fx.attr(&file).size as usize);
    let (mut rest, mut count) = (&bytes[..], 0);
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        assert!(rest[4..4 + len].iter().all(|&byte| byte == len as u8));
        rest = &rest[4 + len..];
        count += 1;
    }
    assert_eq!(count, appended.load(Ordering::Relaxed));
    fx.check(&[]);
}

#[test]
fn writers_truncators_and_readers_keep_the_account() {
    let fx = Fixture::new(Memory::builder().max_bytes(100 * 4096));
    let root = fx.root();
    let files: Vec<_> = (0..3).map(|number| fx.file(&root, &number.to_string())).collect();
    hammer(&fx, |user| {
        let file = &files[user.below(3) as usize];
        let open = user.memory.open(&user.cx(), file, Access::READ | Access::WRITE).unwrap();
        let (offset, len) = (user.below(400_000), 1 + user.below(50_000));
        let result = match user.below(8) {
            0 => open.set_len(&user.cx(), offset),
            1 => open.allocate(&user.cx(), Allocate::PunchHole, offset, len),
            2 => open.allocate(&user.cx(), Allocate::Extend, offset, len),
            3 | 4 => {
                let mut buffer = vec![0xee; len as usize];
                let done = open.read_at(&user.cx(), offset, &mut Sink::from_slice(&mut buffer)).unwrap();
                assert!(buffer[..done].iter().all(|&byte| byte == 0 || byte == 7));
                Ok(())
            }
            _ => open.write_at(&user.cx(), offset, &mut Source::from_slice(&vec![7; len as usize])).map(drop),
        };
        assert!(matches!(result, Ok(()) | Err(Errno::NOSPC)), "{result:?}");
    });
    fx.check(&[]);
    for name in ["0", "1", "2"] {
        fx.unlink(&root, name).unwrap();
    }
    drop(files);
    assert_eq!(fx.memory.usage().bytes, 0);
}

#[test]
fn only_one_makes_a_name() {
    let fx = Fixture::default();
    let root = fx.root();
    let (made, removed) = (AtomicU64::new(0), AtomicU64::new(0));
    hammer(&fx, |user| {
        let name = user.below(4).to_string();
        if user.below(2) == 0 {
            made.fetch_add(user.make(&root, &name, NewKind::Regular).is_ok().into(), Ordering::Relaxed);
        } else {
            let result = user.memory.remove(&user.cx(), at(&root, &name), Remove::File);
            removed.fetch_add(result.is_ok().into(), Ordering::Relaxed);
        }
    });
    let left = fx.names(&root).len() as u64;
    assert_eq!(made.load(Ordering::Relaxed), removed.load(Ordering::Relaxed) + left);
    fx.check(&[]);
}

/// Directories that move into each other never make a cycle, and none is lost.
#[test]
fn directories_move_between_each_other() {
    let fx = Fixture::default();
    let root = fx.root();
    let dirs: Vec<_> = (0..6).map(|number| fx.dir(&root, &format!("d{number}"))).collect();
    let file = fx.file(&dirs[0], "f0");
    hammer(&fx, |user| {
        let pick = |user: &mut User<'_>| match user.below(7) {
            6 => root.clone(),
            number => dirs[number as usize].clone(),
        };
        let (from, to) = (pick(user), pick(user));
        let letter = if user.below(4) == 0 { 'f' } else { 'd' };
        let (old, new) = (format!("{letter}{}", user.below(6)), format!("{letter}{}", user.below(6)));
        let how = [Rename::Exchange, Rename::NoReplace][user.below(2) as usize];
        let result = user.memory.rename(&user.cx(), at(&from, &old), at(&to, &new), how);
        let expected = [Errno::NOENT, Errno::EXIST, Errno::INVAL, Errno::NOTEMPTY];
        assert!(result.is_ok() || expected.contains(&result.unwrap_err()));
        // From anywhere the way up ends at the root.
        let mut up = pick(user);
        for _ in 0..100 {
            up = user.memory.parent(&user.cx(), &up).unwrap();
        }
        assert_eq!(up.ino(), 1);
    });
    fx.check(&[]);
    let mut seen = BTreeSet::new();
    let mut pending = vec![root];
    while let Some(dir) = pending.pop() {
        for name in fx.names(&dir) {
            let node = fx.lookup(&dir, &name).unwrap();
            assert!(seen.insert(node.ino()));
            if node.directory().is_ok() {
                pending.push(node);
            }
        }
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.contains(&file.ino()));
}

/// Where two threads wait for each other, awake, to go on at the same moment.
#[derive(Default)]
struct Meeting(AtomicU64);

impl Meeting {
    fn wait(&self) {
        let all = (self.0.fetch_add(1, Ordering::SeqCst) + 1).next_multiple_of(2);
        for turn in 1u32.. {
            if self.0.load(Ordering::SeqCst) >= all {
                return;
            }
            if turn.is_multiple_of(1000) {
                thread::yield_now();
            }
            std::hint::spin_loop();
        }
    }
}

/// Of two directories that move into each other at the same moment, one does.
#[test]
fn no_two_directories_hold_each_other() {
    let fx = Fixture::default();
    let root = fx.root();
    let dirs = [fx.dir(&root, "d0"), fx.dir(&root, "d1")];
    let end = Instant::now() + Duration::from_millis(300);
    let meeting = Meeting::default();
    // Both threads look at the clock at different times, so one decides.
    let over = AtomicBool::new(false);
    let moved = AtomicU64::new(0);
    let mover = |number: usize| {
        let who = Credentials::root();
        let cx = Cx::new(&who, &fx.clock);
        let (mine, other) = (format!("d{number}"), &dirs[1 - number]);
        let mut wins = 0;
        for round in 1.. {
            meeting.wait();
            let result = fx.memory.rename(&cx, at(&root, &mine), at(other, "in"), Rename::Replace);
            moved.fetch_add(result.is_ok().into(), Ordering::SeqCst);
            over.fetch_or(number == 0 && Instant::now() > end, Ordering::SeqCst);
            meeting.wait();
            assert_eq!(moved.load(Ordering::SeqCst), round);
            match result {
                Ok(()) => {
                    wins += 1;
                    fx.memory.rename(&cx, at(other, "in"), at(&root, &mine), Rename::Replace).unwrap();
                }
                Err(errno) => assert_eq!(errno, Errno::INVAL),
            }
            if over.load(Ordering::SeqCst) {
                return wins;
            }
        }
        wins
    };
    let wins = thread::scope(|scope| {
        let other = scope.spawn(|| mover(1));
        [mover(0), other.join().unwrap()]
    });
    assert_eq!(wins[0] + wins[1], moved.into_inner());
    fx.check(&[]);
}

/// Whoever makes something in a directory while others remove it has made it in one that is there.
#[test]
fn nothing_is_made_in_a_removed_directory() {
    let fx = Fixture::default();
    let root = fx.root();
    hammer(&fx, |user| {
        let _ = user.make(&root, "d", NewKind::Directory);
        if let Ok(dir) = user.memory.lookup(&user.cx(), at(&root, "d")) {
            if user.make(&dir, "f", NewKind::Regular).is_ok() {
                assert!(user.memory.remove(&user.cx(), at(&dir, "f"), Remove::File).is_ok());
            }
            let empty = user.make(&root, "e", NewKind::Directory);
            let _ = user.memory.rename(&user.cx(), at(&root, "e"), at(&root, "d"), Rename::Replace);
            drop(empty);
        }
        let _ = user.memory.remove(&user.cx(), at(&root, "d"), Remove::Directory);
    });
    fx.check(&[]);
}

/// A listing shows each name that stays exactly once, whatever comes and goes meanwhile.
#[test]
fn listings_are_stable() {
    let fx = Fixture::default();
    let root = fx.root();
    let stay: BTreeSet<String> = (0..300).map(|number| format!("stay{number}")).collect();
    for name in &stay {
        fx.file(&root, name);
        fx.file(&root, &format!("go{name}"));
    }
    let listed = AtomicBool::new(false);
    hammer(&fx, |user| {
        if user.below(10) > 0 {
            let name = format!("gostay{}", user.below(300));
            if user.make(&root, &name, NewKind::Regular).is_err() {
                let _ = user.memory.remove(&user.cx(), at(&root, &name), Remove::File);
            }
            return;
        }
        let mut seen = Vec::new();
        let mut stream = user.memory.open_dir(&user.cx(), &root).unwrap();
        stream
            .list(&user.cx(), 0, &mut |entry| {
                let name = String::from_utf8(entry.name.to_vec()).unwrap();
                if name.starts_with("stay") {
                    seen.push(name);
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(seen.len(), stay.len());
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), stay);
        listed.store(true, Ordering::Relaxed);
    });
    assert!(listed.into_inner());
    fx.check(&[]);
}

/// Walks hold directories locked on their way down, moves lock two anywhere: neither waits for the other for ever.
#[test]
fn walks_and_moves_do_not_wait_for_each_other() {
    let fx = Fixture::default();
    let memory = Arc::new(Memory::new());
    let ns = Namespace::new(FilesystemRef::new::<Memory>(memory.clone()));
    let root = memory.root();
    let maker = User { memory: &memory, clock: &fx.clock, who: Credentials::root(), state: 1 };
    let dirs: Vec<_> =
        (0..5).map(|number| maker.make(&root, &format!("d{number}"), NewKind::Directory).unwrap()).collect();
    for dir in &dirs {
        maker.make(dir, "f", NewKind::Regular).unwrap();
    }
    let (found, moved) = (AtomicU64::new(0), AtomicU64::new(0));
    hammer(&fx, |user| {
        let (one, two, three) = (user.below(5), user.below(5), user.below(5));
        if user.below(3) > 0 {
            let path = match user.below(3) {
                0 => format!("d{one}/f"),
                1 => format!("d{one}/d{two}/f"),
                _ => format!("d{one}/d{two}/d{three}/f"),
            };
            // Of the filesystem that the hammer brings only the clock is used.
            let cx = user.cx();
            let caller = Caller { ns: &ns, cx: &cx, root: ns.root(), policy: Policy::Posix };
            match caller.stat(ns.root(), VPath::new(path.as_bytes()).unwrap(), Follow::Yes) {
                Ok(attr) => {
                    assert_eq!(attr.nlink, 1);
                    found.fetch_add(1, Ordering::Relaxed);
                }
                Err(errno) => assert_eq!(errno, Errno::NOENT),
            }
            return;
        }
        let from = if user.below(2) == 0 { &root } else { &dirs[three as usize] };
        let to = if user.below(2) == 0 { &root } else { &dirs[two as usize] };
        let name = format!("d{one}");
        let how = [Rename::NoReplace, Rename::Exchange][user.below(2) as usize];
        let result = memory.rename(&user.cx(), at(from, &name), at(to, &format!("d{one}")), how);
        moved.fetch_add(result.is_ok().into(), Ordering::Relaxed);
    });
    assert!(found.into_inner() > 0 && moved.into_inner() > 0);
}
