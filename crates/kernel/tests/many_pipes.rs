//! What pipes cost that nobody uses. Alone in its process, for it looks at that.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use vnode_core::io::{Sink, Source};
use vnode_kernel::stream::{Stream, pipe};
use vnode_kernel::{Interruption, Wait};

const PIPES: usize = 10_000;

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * rustix::param::page_size()
}

fn count(dir: &str) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[test]
fn ten_thousand_idle_pipes_cost_little_memory_and_no_descriptors_or_threads() {
    let before = (count("/proc/self/fd"), count("/proc/self/task"), resident());
    let pipes: Vec<_> = (0..PIPES).map(|_| pipe()).collect();
    let idle = (count("/proc/self/fd"), count("/proc/self/task"), resident());
    assert_eq!((idle.0, idle.1), (before.0, before.1));
    assert!((idle.2 - before.2) / PIPES < 2048, "{} bytes each", (idle.2 - before.2) / PIPES);

    // Once filled and emptied: two pages each at most.
    let interruption = Interruption::new();
    let wait = Wait::nonblocking(&interruption);
    let mut bytes = vec![1; 65_536];
    for (reader, writer) in &pipes {
        assert_eq!(writer.write(wait, &mut Source::from_slice(&bytes)), Ok(bytes.len()));
        assert_eq!(reader.read(wait, &mut Sink::from_slice(&mut bytes)), Ok(65_536));
    }
    let used = (count("/proc/self/fd"), count("/proc/self/task"), resident());
    assert_eq!((used.0, used.1), (before.0, before.1));
    assert!((used.2 - before.2) / PIPES < 12 * 1024, "{} bytes each", (used.2 - before.2) / PIPES);
}
