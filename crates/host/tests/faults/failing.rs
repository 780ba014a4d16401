//! Calls of the host that fail, one after the other: an operation that fails says why, changes nothing, and can be tried
//! again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use vnode_core::Errno;

use crate::operations::{Came, OPERATIONS, Operation, Process, Shape, build};
use crate::scene::Scene;
use crate::supervised::{name_of, supervised};

/// Calls by which something is made or written, which may find no room.
const TAKING: &[&str] = &[
    "openat",
    "mkdirat",
    "mknodat",
    "symlinkat",
    "linkat",
    "renameat2",
    "pwrite64",
    "pwritev2",
    "fallocate",
    "ftruncate",
    "truncate",
    "fsync",
    "fdatasync",
    "setxattr",
    "unlinkat",
];

/// What no kernel fails, and why: an operation and a call.
const NEVER: &[(&str, &str)] = &[
    // To ask where a descriptor stands touches nothing but the descriptor (`lseek`, `SEEK_CUR`).
    ("append", "lseek"),
];

/// What fails next.
#[derive(Default)]
struct Plan {
    /// So many calls are let through before; none fails where there is none.
    after: Option<u64>,
    errno: i32,
    only: Option<&'static [&'static str]>,
    failed: Option<&'static str>,
}

impl Plan {
    fn answer(&mut self, number: libc::c_long) -> Option<i32> {
        let name = name_of(number);
        if self.only.is_some_and(|only| !only.contains(&name)) {
            return None;
        }
        match self.after? {
            0 => {
                self.after = None;
                self.failed = Some(name);
                Some(self.errno)
            }
            left => {
                self.after = Some(left - 1);
                None
            }
        }
    }
}

struct Failing<'a> {
    plan: &'a Mutex<Plan>,
    stepwise: bool,
    errno: Errno,
    only: Option<&'static [&'static str]>,
    /// Of each call, how often it failed and how often that failed the operation.
    failed: BTreeMap<&'static str, (u32, u32)>,
    findings: BTreeSet<String>,
}

impl Failing<'_> {
    /// What the operation comes to if all goes well.
    fn as_ever(&self, operation: Operation) -> (Came, Shape) {
        let scene = Scene::new();
        build(&scene);
        let came = operation.1(&mut Process::new(&scene, self.stepwise));
        (came, Shape::of(&scene.served))
    }

    /// Has the call fail after so many others; whether there was one.
    fn try_one(&mut self, operation: Operation, after: u64, as_ever: &(Came, Shape)) -> bool {
        let scene = Scene::new();
        build(&scene);
        let mut process = Process::new(&scene, self.stepwise);
        let before = Shape::of(&scene.served);
        let errno = i32::from(self.errno.raw());
        *self.plan.lock().unwrap() = Plan { after: Some(after), errno, only: self.only, failed: None };
        let came = operation.1(&mut process);
        let failed = std::mem::take(&mut *self.plan.lock().unwrap()).failed;
        let then = Shape::of(&scene.served);
        let Some(call) = failed else {
            assert_eq!(came, as_ever.0, "{} with no fault", operation.0);
            return false;
        };
        if NEVER.contains(&(operation.0, call)) {
            return true;
        }
        let count = self.failed.entry(call).or_default();
        count.0 += 1;
        let mut finds = |what: String| {
            self.findings.insert(format!("{}: {call} fails: {what}", operation.0));
        };
        match came {
            Ok(_) => {
                // There was another way.
                if came != as_ever.0 {
                    finds(format!("{came:?}"));
                }
                let differ = then.differences(&as_ever.1);
                if !differ.is_empty() {
                    finds(format!("it is said to be done, but isn't: {differ:?}"));
                }
            }
            Err(error) => {
                count.1 += 1;
                if error != self.errno {
                    finds(format!("{error:?} is answered"));
                }
                let differ = before.differences(&then);
                if !differ.is_empty() {
                    finds(format!("it fails, and changes: {differ:?}"));
                } else {
                    let again = operation.1(&mut process);
                    if again != as_ever.0 {
                        finds(format!("tried again: {again:?}"));
                    }
                }
            }
        }
        true
    }

    fn try_all(&mut self) {
        const MANY: u64 = 100;
        for &operation in OPERATIONS {
            let as_ever = self.as_ever(operation);
            let ends = (0..MANY).any(|after| !self.try_one(operation, after, &as_ever));
            assert!(ends, "{} makes more than {MANY} calls", operation.0);
        }
    }
}

/// Has every call fail with an error, or those only; what was found, and which failed.
fn check(errno: Errno, only: Option<&'static [&'static str]>) {
    let plan = Mutex::new(Plan::default());
    let answer = |number| plan.lock().unwrap().answer(number);
    let went = supervised(answer, || {
        let mut all = (BTreeMap::new(), BTreeSet::new());
        for stepwise in [false, true] {
            let (failed, findings) = Default::default();
            let mut failing = Failing { plan: &plan, stepwise, errno, only, failed, findings };
            failing.try_all();
            all.0.extend(failing.failed);
            all.1.extend(failing.findings);
        }
        all
    });
    let Some(((failed, findings), _)) = went else { return };
    println!("{errno:?}: calls that failed, and failed their operation: {failed:?}");
    let findings = Vec::from_iter(findings);
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn every_call_may_fail() {
    check(Errno::IO, None);
}

#[test]
fn every_call_that_takes_room_may_find_none() {
    check(Errno::NOSPC, Some(TAKING));
    check(Errno::DQUOT, Some(TAKING));
}
