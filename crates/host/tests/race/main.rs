//! Names that change meaning while guests walk them: the host exchanges a directory and a link that leads out, and
//! moves directories out of the root and back, as fast as it can; eight guests walk, look, list, make and remove
//! there, by runs and one by one, with privileges and without, with many descriptors and with few. Outside, everything
//! is watched, and nothing may happen.
//!
//! `VNODE_RACE_SECONDS` says how long; see `cargo xtask race`.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests"
)]

mod canaries;
#[allow(dead_code, reason = "the other tests' too")]
#[path = "../attacks/guest.rs"]
mod guest;
#[allow(dead_code, reason = "the other tests' too")]
#[path = "../attacks/scene.rs"]
mod scene;
mod walker;

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use vnode_host::Host;

use canaries::Canaries;
use guest::Guest;
use scene::Scene;
use walker::{INSIDE, Outcomes, THROUGH_LINK, Walker};

const SECONDS: u64 = 60;
/// Each outcome was seen as often, or the swap didn't hit.
const ENOUGH: u64 = 100;

/// The tree: a directory and a link to be exchanged, what the link leads to in the guest's own tree, and directories
/// that move.
fn build(scene: &Scene, link: &str) {
    for dir in ["swap/dir/sub", "moving/a/b/c", "moving/x"] {
        scene.mkdir(dir);
    }
    let absolute = scene.outside.strip_prefix("/").unwrap().to_str().unwrap();
    for (dir, content) in [("swap/dir", INSIDE), ("outside", THROUGH_LINK), (absolute, THROUGH_LINK)] {
        scene.mkdir(&format!("{dir}/sub"));
        scene.write(&format!("{dir}/secret"), content);
        scene.write(&format!("{dir}/sub/secret"), content);
        scene.write(&format!("{dir}/spare"), content);
        symlink("../", scene.at(dir).join("sub/up")).unwrap();
    }
    symlink(link, scene.at("swap/link")).unwrap();
    symlink("dir/", scene.at("swap/to")).unwrap();
    for number in 0..8 {
        symlink(format!("dir/new-{number}"), scene.at(&format!("swap/through-{number}"))).unwrap();
    }
}

/// Swaps until told to end; answers how often.
fn exchange(scene: &Scene, ends: &AtomicBool) -> u64 {
    let (dir, link) = (scene.at("swap/dir"), scene.at("swap/link"));
    let mut count = 0;
    while !ends.load(Ordering::Relaxed) {
        renameat_with(CWD, &dir, CWD, &link, RenameFlags::EXCHANGE).unwrap();
        count += 1;
        // So that either is there for a while, sometimes.
        if count % 64 < 8 {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    count
}

/// Moves directories out of the root and back, and within it; the guests move some, too.
fn move_out(scene: &Scene, ends: &AtomicBool) -> u64 {
    let elsewhere = scene.outside.with_file_name("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let (a, b) = (scene.at("moving/a"), scene.at("moving/a/b"));
    let mut count = 0;
    let mut moved = |from: &std::path::Path, to: &std::path::Path| {
        let moved = renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).is_ok();
        count += u64::from(moved);
        std::thread::sleep(Duration::from_micros(20));
        moved
    };
    while !ends.load(Ordering::Relaxed) {
        if moved(&b, &elsewhere.join("b")) {
            assert!(moved(&elsewhere.join("b"), &scene.at("moving/x/b")) || moved(&elsewhere.join("b"), &b));
        }
        moved(&scene.at("moving/x/b"), &b);
        assert!(moved(&a, &elsewhere.join("a")));
        assert!(moved(&elsewhere.join("a"), &a));
    }
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    count
}

/// How a guest's names are found.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// By a call of the host for each name.
    stepwise: bool,
    /// Without asking each directory whether it may be searched, which takes a step of the walker for each name.
    privileged: bool,
    /// With so few descriptors that what is held is found again.
    few: bool,
}

/// Each way, for a guest of its own.
const WAYS: [Way; 8] = {
    let mut ways = [Way { stepwise: false, privileged: false, few: false }; 8];
    let mut number = 0;
    while number < ways.len() {
        ways[number] = Way { stepwise: number & 1 != 0, privileged: number & 2 == 0, few: number & 4 != 0 };
        number += 1;
    }
    ways
};

/// Has eight guests walk while the host swaps, with that text in the link.
fn race(link: impl FnOnce(&Scene) -> String, time: Duration) {
    let scene = Scene::new();
    build(&scene, &link(&scene));
    let canaries = Canaries::new(&scene);
    let guests = WAYS.map(|way| {
        let builder = Host::builder().stepwise(way.stepwise);
        let builder = if way.few { builder.max_descriptors(4) } else { builder };
        if way.privileged {
            Guest::new(builder, &scene.served)
        } else {
            Guest::unprivileged(builder, &scene.served)
        }
    });
    let outcomes: [Outcomes; WAYS.len()] = Default::default();
    let ends = AtomicBool::new(false);
    // On a machine that is busy elsewhere it takes longer until each was seen often enough.
    let until = Instant::now() + time;
    let at_the_latest = until + Duration::from_secs(60);
    let goes_on = || {
        let now = Instant::now();
        now < until || (now < at_the_latest && outcomes.iter().any(|outcomes| outcomes.least() < ENOUGH))
    };
    let (exchanged, moved) = std::thread::scope(|scope| {
        let host = (scope.spawn(|| exchange(&scene, &ends)), scope.spawn(|| move_out(&scene, &ends)));
        let walkers: Vec<_> = (0..WAYS.len())
            .map(|number| {
                let mut walker = Walker {
                    guest: &guests[number],
                    number,
                    few: WAYS[number].few,
                    outcomes: &outcomes[number],
                    canaries: &canaries,
                    seed: 0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1) << 17,
                };
                scope.spawn(move || {
                    while goes_on() {
                        walker.step();
                    }
                })
            })
            .collect();
        let came: Vec<_> = walkers.into_iter().map(|walker| walker.join()).collect();
        ends.store(true, Ordering::Relaxed);
        let swaps = (host.0.join().unwrap(), host.1.join().unwrap());
        for walker in came {
            walker.unwrap();
        }
        swaps
    });
    println!("{}: exchanged {exchanged} times, moved {moved} times", canaries.dir().display());
    for (outcomes, way) in outcomes.iter().zip(WAYS) {
        println!("{way:?}: {outcomes:?}");
        assert!(outcomes.least() >= ENOUGH, "the swap hit too rarely: {way:?}, {outcomes:?}");
    }
    canaries.check();
    // Those with many have theirs together.
    let open = guests.each_ref().map(|guest| guest.host.descriptors());
    assert_eq!(open, WAYS.map(|way| if way.few { 1 } else { WAYS.len() / 2 }), "descriptors were lost");
}

#[test]
fn nothing_outside_is_reached_whatever_is_swapped() {
    let seconds = std::env::var("VNODE_RACE_SECONDS").ok().and_then(|text| text.parse().ok());
    let each = Duration::from_secs(seconds.unwrap_or(SECONDS)) / 3;
    race(|scene| scene.outside.to_str().unwrap().to_owned(), each);
    race(|_| "../../outside/".to_owned(), each);
    race(|scene| format!("../../../../../../..{}/.", scene.outside.display()), each);
}
