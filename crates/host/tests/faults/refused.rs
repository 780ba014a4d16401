//! Names that the kernel doesn't find several at once: one by one, everything is as ever.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use crate::operations::{Came, OPERATIONS, Operation, Process, Shape, build};
use crate::scene::Scene;
use crate::supervised::supervised;

/// The error of every `openat2`, if one is.
static ANSWER: AtomicI32 = AtomicI32::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);

fn answer(number: libc::c_long) -> Option<i32> {
    let errno = ANSWER.load(Ordering::Relaxed);
    let refused = number == libc::SYS_openat2 && errno != 0;
    REFUSED.fetch_add(refused.into(), Ordering::Relaxed);
    refused.then_some(errno)
}

/// What an operation comes to if `openat2` is refused from the start, or once the directory is served.
fn come_to(operation: Operation, from_the_start: i32, then: i32) -> (Came, Shape) {
    let scene = Scene::new();
    build(&scene);
    ANSWER.store(from_the_start, Ordering::Relaxed);
    let mut process = Process::new(&scene, false);
    ANSWER.store(then, Ordering::Relaxed);
    let came = operation.1(&mut process);
    ANSWER.store(0, Ordering::Relaxed);
    (came, Shape::of(&scene.served))
}

#[test]
fn everything_is_as_ever_where_openat2_is_refused() {
    // There is none; a filter of system calls, as containers have, doesn't know it. A directory is moved all the time; what
    // was on this mount is on another; a name was exchanged for a link.
    let [missing, moving] =
        [[libc::ENOSYS, libc::EPERM].as_slice(), &[libc::EAGAIN, libc::EXDEV, libc::ELOOP]];
    let went = supervised(answer, || {
        for &operation in OPERATIONS {
            let (as_ever, tree) = come_to(operation, 0, 0);
            let starts = missing.iter().map(|&errno| (errno, errno));
            for (start, then) in starts.chain(moving.iter().map(|&errno| (0, errno))) {
                let (came, shape) = come_to(operation, start, then);
                assert_eq!(came, as_ever, "{}: {start}, {then}", operation.0);
                assert_eq!(shape.differences(&tree), [""; 0], "{}: {start}, {then}", operation.0);
            }
        }
    });
    if went.is_some() {
        let refused = REFUSED.load(Ordering::Relaxed);
        println!("refused {refused} times");
        assert!(refused >= 100, "too few calls were refused: {refused}");
    }
}
