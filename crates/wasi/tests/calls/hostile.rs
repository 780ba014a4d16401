//! Every call with numbers that no honest guest passes: no panic, no byte touched outside the memory, and no
//! address that is wrong has an effect.

use std::sync::Arc;
use std::time::Duration;

use vnode_kernel::stream::Bytes;
use vnode_kernel::{Limits, Process};
use vnode_wasi::{GuestMemory, Outcome, for_each_preview1, for_each_unstable};

use crate::guest::*;

/// A small generator (xorshift), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[(self.next() % list.len() as u64) as usize]
    }
}

/// An argument of a type, likely to be at an edge.
trait Argument {
    fn choose(random: &mut Random) -> Self;
}

impl Argument for u32 {
    fn choose(random: &mut Random) -> u32 {
        const EDGES: &[u32] = &[
            0,
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            8,
            16,
            24,
            RESULT,
            VECTORS,
            PATH,
            OTHER_PATH,
            BUFFER,
            MEMORY - 64,
            MEMORY - 8,
            MEMORY - 4,
            MEMORY - 3,
            MEMORY - 1,
            MEMORY,
            MEMORY + 1,
            255,
            256,
            1024,
            1025,
            4095,
            4096,
            65_535,
            65_536,
            65_537,
            1 << 20,
            1 << 29,
            1 << 30,
            i32::MAX as u32,
            1 << 31,
            u32::MAX - 8,
            u32::MAX - 1,
            u32::MAX,
        ];
        match random.next() % 4 {
            0 => random.next() as u32,
            // Small numbers: descriptors, lengths, flags.
            1 => (random.next() % 12) as u32,
            _ => random.pick(EDGES),
        }
    }
}

impl Argument for u64 {
    fn choose(random: &mut Random) -> u64 {
        const EDGES: &[u64] = &[
            0,
            1,
            2,
            64,
            READ,
            WRITE,
            READ | WRITE,
            1 << 31,
            1 << 32,
            1 << 62,
            i64::MAX as u64 - 1,
            i64::MAX as u64,
            1 << 63,
            u64::MAX - 1,
            u64::MAX,
        ];
        if random.next().is_multiple_of(3) { random.next() } else { random.pick(EDGES) }
    }
}

impl Argument for i64 {
    fn choose(random: &mut Random) -> i64 {
        u64::choose(random) as i64
    }
}

type Call = (&'static str, fn(&Process, &GuestMemory<'_>, &mut Random) -> Outcome);

macro_rules! calls {
    ([] $(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty = $path:path;)*) => {
        vec![$((stringify!($name), |process, memory, random| {
            $(let $arg = <$type>::choose(random);)*
            let _ = &random;
            $path(process, memory, $($arg),*)
        })),*]
    };
}

fn run(calls: &[Call], seed: u64, count: usize) -> usize {
    let mut random = Random(seed);
    let mut guest = Guest::with(|builder| {
        builder.limits(Limits { open_files: 40 }).stdin(Arc::new(Bytes::new(vec![7; 1000])))
    });
    let mut succeeded = 0;
    for round in 0..count {
        if round % 200 == 0 || guest.process.exit().is_some() {
            // Something to work with: names, files, vectors, a preopen that may have been closed or moved.
            guest = Guest::with(|builder| {
                builder.limits(Limits { open_files: 40 }).stdin(Arc::new(Bytes::new(vec![7; 1000])))
            });
            guest.file("a", b"content");
            guest.mkdir("d").unwrap();
            guest.symlink("a", "l").unwrap();
            guest.open("a", 0, READ | WRITE).unwrap();
            guest.open("d", DIRECTORY, READ).unwrap();
        }
        let path = random.pick(&["a", "d", "l", "d/x", ".", "..", "/", "a/", "l/", "d/../a"]);
        guest.path(path);
        guest.other_path(random.pick(&["b", "a", "d/y", "l", "."]));
        let vectors: Vec<(u32, u32)> =
            (0..4).map(|_| (u32::choose(&mut random), u32::choose(&mut random))).collect();
        guest.vectors(&vectors);
        let (name, call) = random.pick(calls);
        match guest.outcome(|process, memory| call(process, memory, &mut random)) {
            Ok(0) => succeeded += 1,
            Ok(number) => assert!(number <= 76, "{name}: {number}"),
            Err(_) => assert!(name.starts_with("proc_"), "{name} ended the guest"),
        }
        assert!(guest.process.fds().len() <= 40);
    }
    succeeded
}

#[test]
fn no_numbers_do_any_harm() {
    let mut preview1: Vec<Call> = for_each_preview1!(calls);
    let mut unstable: Vec<Call> = for_each_unstable!(calls);
    // Would wait for an hour that never ends; its own test has the edges.
    preview1.retain(|call| call.0 != "poll_oneoff");
    unstable.retain(|call| call.0 != "poll_oneoff");
    for (calls, seed) in [(preview1, 0x9e37_79b9_7f4a_7c15), (unstable, 0xd1b5_4a32_d192_ed03)] {
        let succeeded = run(&calls, seed, 30_000);
        assert!(succeeded > 2000, "only {succeeded} calls got anywhere");
    }
}

#[test]
fn polling_with_any_numbers_ends_when_the_guest_is_killed() {
    let mut polls: Vec<Call> = for_each_preview1!(calls);
    polls.retain(|call| call.0 == "poll_oneoff");
    let mut random = Random(7);
    let mut guest = Guest::new();
    let stop = Arc::clone(guest.process.interruption());
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        stop.kill();
    });
    loop {
        for at in (0..256).step_by(4) {
            let value = random.next() as u32 % 4;
            guest.put(BUFFER + at, &value.to_le_bytes());
        }
        if guest.outcome(|process, memory| polls[0].1(process, memory, &mut random)).is_err() {
            break;
        }
    }
    killer.join().unwrap();
}
