//! Every seed, and every input that once found something, through its target.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};

fn inputs(of: &str, target: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(of).join(target);
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn replay(name: &str) {
    let (_, target) = vnode_fuzz::TARGETS.iter().find(|target| target.0 == name).unwrap();
    let seeds = inputs("seeds", name);
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let regressions = inputs("regressions", name);
    println!("{name}: {} seeds, {} regressions", seeds.len(), regressions.len());
    for path in seeds.into_iter().chain(regressions) {
        println!("{}", path.display());
        target(&fs::read(path).unwrap());
    }
}

#[test]
fn paths() {
    replay("paths");
}

#[test]
fn preview1() {
    replay("preview1");
}

#[test]
fn sequences() {
    replay("sequences");
}

#[test]
fn tar() {
    replay("tar");
}

#[test]
fn zip() {
    replay("zip");
}

#[test]
fn every_target_is_replayed_and_has_a_fuzzer() {
    let fuzzers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    let mut names: Vec<String> = fs::read_dir(fuzzers)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert!(names.iter().eq(vnode_fuzz::TARGETS.iter().map(|target| target.0)), "{names:?}");
}
