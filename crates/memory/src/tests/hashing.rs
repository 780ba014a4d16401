//! Names that collide by intent: each directory hashes with keys of its own that no guest knows.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Instant;

use super::Fixture;

/// The bits of a hash by which a table of some thousand names finds its place.
const LOW: u32 = 0xfff;

/// A filesystem whose root has names enough for an index.
fn indexed() -> Fixture {
    let fx = Fixture::default();
    let root = fx.root();
    (0..20).for_each(|number| drop(fx.file(&root, &format!("first{number}"))));
    fx
}

fn hash(fx: &Fixture, name: &[u8]) -> u32 {
    fx.root().directory().unwrap().entries.read().hash_of(name).unwrap()
}

fn low(fx: &Fixture, name: &str) -> u32 {
    hash(fx, name.as_bytes()) & LOW
}

#[test]
fn names_that_collide_in_one_filesystem_do_not_in_another() {
    let (one, two) = (indexed(), indexed());
    let colliding = (0u32..).map(|number| format!("name{number}")).filter(|name| low(&one, name) == 0);
    let names: Vec<String> = colliding.take(1000).collect();
    // Of 1000 places chosen at random among 4096, 887 are different.
    let places: BTreeSet<u32> = names.iter().map(|name| low(&two, name)).collect();
    assert!(places.len() > 750, "{}", places.len());
    for fx in [&one, &two] {
        let root = fx.root();
        let start = Instant::now();
        names.iter().for_each(|name| drop(fx.file(&root, name)));
        names.iter().for_each(|name| drop(fx.lookup(&root, name).unwrap()));
        println!("{:?}", start.elapsed());
    }
}

/// A flood that was found by trying in one process is none in the next.
#[test]
fn another_process_hashes_otherwise() {
    const ASKED: &str = "VNODE_TEST_HASHES";
    let fx = indexed();
    let own: Vec<u32> = (0..8).map(|number| hash(&fx, &[number; 20])).collect();
    if std::env::var_os(ASKED).is_some() {
        println!("hashes {own:?}");
        return;
    }
    let name = "tests::hashing::another_process_hashes_otherwise";
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args([name, "--exact", "--nocapture"]).env(ASKED, "1").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("hashes ["), "{text}");
    assert!(!text.contains(&format!("hashes {own:?}")), "{text}");
}
