//! A strict preopen's walls hold while another thread moves directories through them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vnode_core::fs::Rename;
use vnode_core::{Caller, Credentials, Cx, Errno, Follow, Mode, Namespace, Policy, VPath};
use vnode_kernel::Process;

use crate::world::{Fixed, World};

/// Walks out of `/box` by `..` while `mover`, a namespace over the same filesystem, moves what is walked.
fn walk_while_moving(world: &World, mover: &Namespace) {
    let root = Credentials::root();
    let path = |text: &'static str| VPath::new(text.as_bytes()).unwrap();
    let base = world.as_user(&root, Policy::Posix, |caller| {
        for dir in ["/box", "/box/a", "/box/a/b", "/secret"] {
            caller.mkdir(caller.root, path(dir), Mode::from_raw(0o755)).unwrap();
        }
        caller.resolve(caller.root, path("/box"), Follow::Yes).unwrap()
    });
    let process = Process::builder(Arc::clone(&world.namespace))
        .policy(Policy::Strict)
        .preopen("/", base)
        .build()
        .unwrap();
    let over = AtomicBool::new(false);
    let mut walks = 0;
    std::thread::scope(|scope| {
        let moves = scope.spawn(|| {
            let cx = Cx::new(&root, &Fixed);
            let caller = Caller { ns: mover, cx: &cx, root: mover.root(), policy: Policy::Posix };
            let mut moves = 0;
            while !over.load(Ordering::Relaxed) {
                for (from, to) in [("/box/a/b", "/b"), ("/b", "/box/a/b")] {
                    caller.rename(caller.root, path(from), caller.root, path(to), Rename::Replace).unwrap();
                    moves += 1;
                }
            }
            moves
        });
        let end = Instant::now() + Duration::from_millis(1000);
        let mut out = None;
        while Instant::now() < end && out.is_none() {
            for way in ["a/b/../../secret", "a/b/../secret", "a/b/../../box", "a/b/../../../secret"] {
                let found = process.stat_at(3, way.as_bytes(), Follow::Yes);
                if !matches!(found, Err(Errno::NOENT | Errno::PERM)) {
                    out = Some((way, found));
                }
                walks += 1;
            }
        }
        over.store(true, Ordering::Relaxed);
        let moves = moves.join().unwrap();
        println!("{walks} walks, {moves} moves");
        assert!(out.is_none(), "{out:?}");
        assert!(walks > 100 && moves > 100);
    });
}

#[test]
fn a_directory_moved_out_while_it_is_walked_leads_nowhere() {
    let world = World::new();
    walk_while_moving(&world, &world.namespace);
}

#[test]
fn a_directory_moved_out_in_another_namespace_leads_nowhere() {
    let world = World::new();
    let other = Namespace::new(world.namespace.root().mount().filesystem().clone());
    walk_while_moving(&world, &other);
}
