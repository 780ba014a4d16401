//! Families of processes whose programs are functions of the test: who is whose parent, what becomes of whom, and that a
//! spawn or an execution that fails changes nothing.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may fail")]

mod deeds;
mod family;

use std::time::Duration;

use family::{Family, Script};
use vnode_core::Errno;
use vnode_kernel::{Children, Exit, Signal, Target};

const TERM: u32 = 15;

#[test]
fn a_child_is_waited_for_once() {
    let family = Family::new(8);
    let first = family.first();
    let child = family.spawn(first, Script::Exit(7)).unwrap();
    assert_eq!(first.parent_of(child), Ok(first.pid()));
    assert_eq!(first.wait_child(Children::One(child), true), Ok(Some((child, Exit::Status(7)))));
    assert_eq!(first.wait_child(Children::One(child), true), Err(Errno::CHILD));
    assert_eq!(first.wait_child(Children::Any, false), Err(Errno::CHILD));
    assert_eq!(first.parent_of(child), Err(Errno::SRCH));
}

#[test]
fn nobody_waits_for_another_s_child_or_for_itself() {
    let family = Family::new(8);
    let first = family.first();
    let child = family.spawn(first, Script::Wait).unwrap();
    let process = family.process(child);
    let grandchild = family.spawn(&process, Script::Wait).unwrap();
    assert_eq!(first.wait_child(Children::One(grandchild), false), Err(Errno::CHILD));
    assert_eq!(first.wait_child(Children::One(first.pid()), false), Err(Errno::CHILD));
    assert_eq!(first.wait_child(Children::Any, false), Ok(None));
    assert_eq!(process.wait_child(Children::One(grandchild), false), Ok(None));
}

#[test]
fn orphans_are_the_first_one_s() {
    let family = Family::new(8);
    let first = family.first();
    let child = family.spawn(first, Script::Wait).unwrap();
    let process = family.process(child);
    let living = family.spawn(&process, Script::Wait).unwrap();
    let dead = family.spawn(&process, Script::Exit(3)).unwrap();
    family.is_zombie(dead);
    drop(process);
    first.kill(Target::One(child), Signal::from_linux(TERM)).unwrap();
    assert_eq!(first.wait_child(Children::One(child), true), Ok(Some((child, Exit::Signal(15)))));
    assert_eq!(first.parent_of(living), Ok(first.pid()));
    assert_eq!(first.wait_child(Children::One(dead), true), Ok(Some((dead, Exit::Status(3)))));
    first.kill(Target::Others, Some(Signal::KILL)).unwrap();
    assert_eq!(first.wait_child(Children::Any, true), Ok(Some((living, Exit::Signal(9)))));
}

#[test]
fn with_the_first_one_all_end() {
    let family = Family::new(8);
    let child = family.spawn(family.first(), Script::Wait).unwrap();
    let process = family.process(child);
    let grandchild = family.spawn(&process, Script::Wait).unwrap();
    let grandchild = family.process(grandchild);
    family.first().end(Exit::Status(0));
    assert!(family.table().wait_for_all(family.first().pid(), Duration::from_secs(10)));
    assert_eq!(process.exit(), Some(Exit::Signal(9)));
    assert_eq!(grandchild.exit(), Some(Exit::Signal(9)));
    assert_eq!(family.spawn(family.first(), Script::Exit(0)), Err(Errno::AGAIN), "it has ended");
    assert!(family.table().pids().is_empty());
}

#[test]
fn there_are_no_more_processes_than_there_may_be() {
    let family = Family::new(4);
    let first = family.first();
    let children: Vec<u32> = (0..3).map(|_| family.spawn(first, Script::Wait).unwrap()).collect();
    assert_eq!(family.spawn(first, Script::Wait), Err(Errno::AGAIN));
    first.kill(Target::One(children[0]), Some(Signal::KILL)).unwrap();
    family.is_zombie(children[0]);
    assert_eq!(family.spawn(first, Script::Wait), Err(Errno::AGAIN), "a zombie counts");
    first.wait_child(Children::One(children[0]), true).unwrap();
    let next = family.spawn(first, Script::Wait).unwrap();
    assert!(!children.contains(&next), "numbers are used again as late as can be");
}

#[test]
fn signals_find_whom_they_are_for() {
    let family = Family::new(8);
    let first = family.first();
    let (one, other) =
        (family.spawn(first, Script::Wait).unwrap(), family.spawn(first, Script::Wait).unwrap());
    assert_eq!(first.kill(Target::One(one), None), Ok(()));
    assert_eq!(first.kill(Target::One(99), None), Err(Errno::SRCH));
    first.kill(Target::One(one), Signal::from_linux(TERM)).unwrap();
    family.is_zombie(one);
    assert_eq!(first.kill(Target::One(one), Signal::from_linux(TERM)), Ok(()), "a zombie is there");
    assert_eq!(first.wait_child(Children::Any, true), Ok(Some((one, Exit::Signal(15)))));
    assert_eq!(first.kill(Target::One(one), None), Err(Errno::SRCH));
    let child = family.process(other);
    child.kill(Target::Group, Signal::from_linux(TERM)).unwrap();
    assert_eq!((first.exit(), child.exit()), (Some(Exit::Signal(15)), Some(Exit::Signal(15))));
}

#[test]
fn a_wait_ends_with_the_process() {
    let family = Family::new(8);
    let first = family.first();
    family.spawn(first, Script::Wait).unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| first.wait_child(Children::Any, true));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waits.is_finished());
        first.signals().send(Signal::KILL);
        assert_eq!(waits.join().unwrap(), Err(Errno::INTR));
    });
}

#[test]
fn a_child_that_has_no_thread_never_was() {
    let family = Family::new(8);
    let first = family.first();
    assert_eq!(family.spawn(first, Script::NoThread), Err(Errno::AGAIN));
    assert_eq!(first.wait_child(Children::Any, false), Err(Errno::CHILD));
    assert_eq!(family.table().pids(), [first.pid()]);
}

#[test]
fn a_process_that_is_dropped_without_having_run_is_gone() {
    let family = Family::new(8);
    let table = std::sync::Arc::clone(family.table());
    drop(family);
    assert!(table.pids().is_empty());
    assert!(table.wait_for_all(1, Duration::ZERO));
}
