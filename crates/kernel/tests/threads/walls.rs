//! A strict preopen's walls hold while another thread moves directories through them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vnode_core::fs::Rename;
use vnode_core::{Credentials, Errno, Follow, Mode, Policy, VPath};
use vnode_kernel::Process;

use crate::world::World;

#[test]
fn a_directory_moved_out_while_it_is_walked_leads_nowhere() {
    let world = World::new();
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
    let mut moves = 0;
    std::thread::scope(|scope| {
        let mover = scope.spawn(|| {
            let mut moves = 0;
            world.as_user(&root, Policy::Posix, |caller| {
                while !over.load(Ordering::Relaxed) {
                    for (from, to) in [("/box/a/b", "/b"), ("/b", "/box/a/b")] {
                        caller
                            .rename(caller.root, path(from), caller.root, path(to), Rename::Replace)
                            .unwrap();
                        moves += 1;
                    }
                }
            });
            moves
        });
        let end = Instant::now() + Duration::from_millis(500);
        while Instant::now() < end {
            for way in ["a/b/../../secret", "a/b/../secret", "a/b/../../box", "a/b/../../../secret"] {
                let found = process.stat_at(3, way.as_bytes(), Follow::Yes);
                assert!(matches!(found, Err(Errno::NOENT | Errno::PERM)), "{way}: {found:?}");
                walks += 1;
            }
        }
        over.store(true, Ordering::Relaxed);
        moves = mover.join().unwrap();
    });
    println!("{walks} walks, {moves} moves");
    assert!(walks > 100 && moves > 100);
}
