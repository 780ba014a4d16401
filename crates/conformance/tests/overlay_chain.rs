//! Uppers that became lowers: the kernel's overlayfs shows what vnode has of them, and vnode what the kernel has.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout, reason = "helpers of tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use vnode_conformance::kernel::overlayfs::Mounts;
use vnode_conformance::layers::{self, Layers, Process};
use vnode_conformance::random::Random;
use vnode_conformance::tree::Tree;
use vnode_core::{FileType, FilesystemRef};
use vnode_overlay::Marks;

/// How long random calls are tried, each way; seconds in the environment.
const SECONDS: &str = "VNODE_OVERLAY_SECONDS";

/// What has no redirections is mounted with less.
const OPTIONS: &str = "redirect_dir=on";

fn within() -> &'static Path {
    Path::new("/dev/shm")
}

/// Who changes what the layers show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Vnode,
    Kernel,
}

impl Writer {
    /// Does something with what layers show, by one of the two.
    fn on<T>(self, mounts: &Mounts, layers: &Layers, act: impl FnOnce(&FilesystemRef) -> T) -> T {
        if self == Writer::Vnode {
            return act(&layers.overlay(Marks::Trusted).expect("an overlay"));
        }
        let point = layers.point();
        mounts.overlay(&point, &layers.options(OPTIONS)).expect("an overlay of the kernel's");
        let fs = layers::host(&point).expect("a directory of the host");
        let done = act(&fs);
        drop(fs);
        mounts.unmount(&point).expect("it is mounted");
        done
    }

    fn tree(self, mounts: &Mounts, layers: &Layers) -> Tree {
        // In the kernel's overlays a directory has one link.
        let tree = self.on(mounts, layers, |fs| layers::tree(fs).expect("a tree"));
        tree.without_links(FileType::is_dir)
    }
}

/// Some scripts, each of them over what those before it left, and by one of the two or by turns.
fn check(mounts: &Mounts, random: &mut Random, writers: &[Writer]) {
    let mut layers = vec![Layers::new(within()).expect("directories")];
    let base = layers::host(layers[0].lower()).expect("a directory of the host");
    layers::carry_out(&base, layers::LOWER).expect("a lower");
    let before = layers::tree(&base).expect("a tree");
    let mut scripts = String::new();
    for round in 0..1 + random.below(4) {
        let top = layers.last().expect("the first");
        let (writer, script) = (writers[random.below(writers.len())], layers::random_script(random));
        scripts.push_str(&format!("# {round} {writer:?}\n{script}"));
        writer.on(mounts, top, |fs| {
            let mut process = Process::on(fs);
            script.lines().for_each(|line| drop(process.does(line)));
        });
        let next = top.above(within()).expect("directories");
        let [vnode, kernel] = [Writer::Vnode, Writer::Kernel].map(|by| by.tree(mounts, &next));
        let lines = vnode.differences(&kernel);
        assert!(lines.is_empty(), "vnode <> the kernel:\n{}\nafter\n{scripts}", lines.join("\n"));
        layers.push(next);
    }
    assert!(before.differences(&layers::tree(&base).expect("a tree")).is_empty(), "the lower was changed");
}

fn for_some_time(writers: &[Writer]) {
    let seconds = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let start = Instant::now();
    let tried = Mounts::on_thread(|mounts| {
        let mut tried = 0u64;
        while start.elapsed() < Duration::from_secs(seconds) {
            check(mounts, &mut Random::new(tried), writers);
            tried += 1;
        }
        tried
    });
    match tried {
        Some(tried) => println!("{tried} chains"),
        None => println!("skipped: nothing can be mounted here"),
    }
}

#[test]
fn the_kernel_shows_chains_that_vnode_wrote() {
    for_some_time(&[Writer::Vnode]);
}

#[test]
fn vnode_shows_chains_that_the_kernel_wrote() {
    for_some_time(&[Writer::Kernel]);
}

#[test]
fn both_show_chains_that_they_wrote_by_turns() {
    for_some_time(&[Writer::Vnode, Writer::Kernel]);
}
