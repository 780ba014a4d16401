//! Counters that nobody waits for.

use rustix::event::{EventfdFlags, eventfd};
use vnode_core::io::Source;
use vnode_core::{Errno, FileType};
use vnode_kernel::stream::{Counting, EventCounter, Interest, Stream};

use crate::twin::{Twin, at_once, for_each_seed};

const MAX: u64 = u64::MAX;

fn twin(initial: u32, counting: Counting) -> Twin<EventCounter> {
    let flags = match counting {
        Counting::Whole => EventfdFlags::empty(),
        Counting::Semaphore => EventfdFlags::SEMAPHORE,
    };
    Twin::new(eventfd(initial, flags).unwrap(), EventCounter::new(initial.into(), counting))
}

fn compare_readiness(twin: &Twin<EventCounter>) {
    for interest in [Interest::Read, Interest::Write] {
        let polled = match interest {
            Interest::Read => rustix::event::PollFlags::IN,
            Interest::Write => rustix::event::PollFlags::OUT,
        };
        let ours = twin.ours.readiness(interest);
        assert_eq!(ours.is_some(), twin.polled(polled).intersects(polled), "{interest:?}");
        assert!(ours.is_none_or(|ready| ready.bytes == 8 && !ready.hangup));
    }
}

const BOTH: [Counting; 2] = [Counting::Whole, Counting::Semaphore];

#[test]
fn a_counter_has_no_type() {
    // WASI's number for a FIFO, of which it knows nothing, is that of an unknown type.
    assert_eq!(twin(0, Counting::Whole).kinds(), (FileType::Fifo, 0o600));
}

#[test]
fn reads_take_the_count_or_one() {
    for counting in BOTH {
        let twin = twin(3, counting);
        compare_readiness(&twin);
        for len in [0, 7, 8, 20, 8, 8, 8, 0, 7] {
            let _ = twin.read(len);
            compare_readiness(&twin);
        }
    }
}

#[test]
fn writes_add_and_are_eight_bytes() {
    for counting in BOTH {
        let twin = twin(0, counting);
        for len in [0, 1, 7, 9, 16] {
            assert_eq!(twin.write(&vec![1; len]), Err(Errno::INVAL));
        }
        for number in [MAX, 0, 1, MAX - 2, 1, 0, MAX, 1, MAX - 1] {
            let _ = twin.write(&number.to_ne_bytes());
            compare_readiness(&twin);
        }
        let _ = twin.read(8);
        compare_readiness(&twin);
        assert_eq!(twin.write(&1u64.to_ne_bytes()), Ok(8));
    }
}

#[test]
fn buffers_are_written_one_by_one() {
    let five = 5u64.to_ne_bytes();
    let most = (MAX - 1).to_ne_bytes();
    for counting in BOTH {
        let twin = twin(0, counting);
        let lists: [&[&[u8]]; 8] = [
            &[&five[..4], &five[4..]],
            &[&five, &five],
            &[&five, &five[..4]],
            &[&five, &[0xff; 8]],
            &[&five, &[1; 16]],
            &[&[0xff; 8], &five],
            &[&most, &five],
            &[&five, &most],
        ];
        for list in lists {
            let _ = twin.write_many(list);
            compare_readiness(&twin);
            let _ = twin.read(8);
        }
    }
}

#[test]
fn random_calls_are_answered_as_by_the_kernel() {
    let numbers = [0, 1, 2, 1000, 1 << 63, MAX - 2, MAX - 1, MAX];
    let (mut full, mut empty) = (0, 0);
    for_each_seed(100, |random| {
        let twin = twin(random.below(3) as u32, BOTH[random.below(2)]);
        for _ in 0..100 {
            match random.below(3) {
                0 => empty += usize::from(twin.read(7 + random.below(4)) == Err(Errno::AGAIN)),
                _ => {
                    let mut bytes = numbers[random.below(numbers.len())].to_ne_bytes().to_vec();
                    bytes.truncate(7 + random.below(9));
                    full += usize::from(twin.write(&bytes) == Err(Errno::AGAIN));
                }
            }
            compare_readiness(&twin);
        }
    });
    assert!(full > 100 && empty > 100, "{full} full, {empty} empty");
}

#[test]
fn a_counter_starts_within_what_it_counts() {
    let counter = EventCounter::new(MAX, Counting::Whole);
    assert_eq!(counter.readiness(Interest::Write), None);
    let one = 1u64.to_le_bytes();
    assert_eq!(at_once(|wait| counter.write(wait, &mut Source::from_slice(&one))), Err(Errno::AGAIN));
}
