//! Listings of what changes, from any position.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use vnode_core::Listing;

use crate::guest::Guest;
use crate::scene::{Scene, busy};

/// The names from a position on, at most so many, and where the last one is.
fn names(guest: &Guest, listing: &mut Listing, from: u64, most: usize) -> (Vec<String>, u64) {
    let (mut names, mut next) = (Vec::new(), from);
    guest
        .call(|caller| {
            listing.list(caller, from, &mut |entry| {
                names.push(String::from_utf8_lossy(entry.name).into_owned());
                next = entry.next;
                if names.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        })
        .unwrap();
    (names, next)
}

fn open(guest: &Guest, path: &str) -> Listing {
    let place = guest.resolve(path).unwrap();
    guest.call(|caller| caller.list(&place)).unwrap()
}

/// In memory, and on whatever the machine's disk has.
fn each(files: usize, check: impl Fn(&Guest, &Scene)) {
    for within in ["/dev/shm", "/tmp"] {
        let scene = Scene::within(Path::new(within));
        scene.mkdir("dir");
        for number in 0..files {
            scene.write(&format!("dir/{number}"), b"");
        }
        let [guest, _] = Guest::both(&scene.served);
        check(&guest, &scene);
    }
}

#[test]
fn any_number_is_a_position() {
    each(100, |guest, _| {
        let mut listing = open(guest, "dir");
        let all: BTreeSet<String> = names(guest, &mut listing, 0, usize::MAX).0.into_iter().collect();
        assert_eq!(all.len(), 102);
        let mut number = 1_u64;
        let edges = [i64::MAX as u64, u64::MAX, 1 << 63, 1 << 62, u64::MAX >> 1, 1 << 32, (1 << 31) - 1];
        for round in 0..500 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let edge = edges[round % edges.len()];
            for from in [number, number >> 33, edge, edge - 1, edge - 3, edge.wrapping_add(3)] {
                let mut seen = 0;
                let listed = guest.call(|caller| {
                    listing.list(caller, from, &mut |entry| {
                        seen += 1;
                        assert!(all.contains(&String::from_utf8_lossy(entry.name).into_owned()));
                        ControlFlow::Continue(())
                    })
                });
                assert!(seen <= 102, "{from}: {listed:?}");
            }
        }
        assert_eq!(names(guest, &mut listing, 0, usize::MAX).0.len(), 102);
    });
}

#[test]
fn removing_what_is_listed_removes_all() {
    each(3000, |guest, scene| {
        let mut listing = open(guest, "dir");
        let mut from = 0;
        loop {
            let (found, next) = names(guest, &mut listing, from, 7);
            for name in found.iter().filter(|name| !name.starts_with('.')) {
                guest.unlink(format!("dir/{name}")).unwrap();
            }
            if found.is_empty() {
                break;
            }
            from = next;
        }
        assert_eq!(std::fs::read_dir(scene.at("dir")).unwrap().count(), 0);
        guest.rmdir("dir").unwrap();
    });
}

#[test]
fn one_entry_at_a_time_is_every_entry_once() {
    const FILES: usize = 10_000;
    each(FILES, |guest, _| {
        let mut listing = open(guest, "dir");
        let (mut from, mut seen) = (0, BTreeSet::new());
        let began = busy();
        while let (found, next) = names(guest, &mut listing, from, 1)
            && let Some(name) = found.into_iter().next()
        {
            assert!(seen.insert(name));
            from = next;
        }
        assert_eq!(seen.len(), FILES + 2);
        let took = busy() - began;
        assert!(took < Duration::from_secs(20), "{took:?}");
    });
}
