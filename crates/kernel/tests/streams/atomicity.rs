//! Writes of at most `PIPE_BUF` bytes are never torn, whoever makes them.

use std::sync::Arc;

use vnode_core::Errno;
use vnode_core::io::{Sink, Source};
use vnode_kernel::stream::{PIPE_BUF, PipeReader, PipeWriter, Stream, pipe};
use vnode_kernel::{Interruption, Wait};

use crate::executor::Caller;
use crate::twin::Random;

const WRITERS: u8 = 8;
const WRITES: u32 = 400;

/// A record: who wrote it, its length, its number, and then who again.
fn record(writer: u8, number: u32, random: &mut Random) -> Vec<u8> {
    let len = 7 + random.length(&[0, 1, 100, 2041, PIPE_BUF - 8, PIPE_BUF - 7]).min(PIPE_BUF - 7);
    let mut bytes = vec![writer; len];
    bytes[1..3].copy_from_slice(&(len as u16).to_le_bytes());
    bytes[3..7].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn write_records(writer: u8, stream: &PipeWriter) {
    let interruption = Interruption::new();
    let mut random = Random(u64::from(writer));
    for number in 0..WRITES {
        let bytes = record(writer, number, &mut random);
        let written = match writer % 3 {
            0 => Caller::Thread.call(|| blocking(stream, &interruption, &bytes)),
            1 => Caller::Task.call(|| blocking(stream, &interruption, &bytes)),
            _ => loop {
                match stream.write(Wait::nonblocking(&interruption), &mut Source::from_slice(&bytes)) {
                    Err(Errno::AGAIN) => std::thread::yield_now(),
                    written => break written,
                }
            },
        };
        assert_eq!(written, Ok(bytes.len()));
    }
}

fn blocking(stream: &PipeWriter, interruption: &Interruption, bytes: &[u8]) -> vnode_core::Result<usize> {
    stream.write(Wait::blocking(interruption), &mut Source::from_slice(bytes))
}

/// Reads to the end in pieces of many sizes.
fn read_all(reader: &PipeReader) -> Vec<u8> {
    let interruption = Interruption::new();
    let mut random = Random(99);
    let (mut all, mut piece) = (Vec::new(), vec![0; 70_000]);
    loop {
        let len = 1 + random.length(&[1, 100, PIPE_BUF, 10_000, 69_999]);
        let into = &mut piece[..len];
        let count = reader.read(Wait::blocking(&interruption), &mut Sink::from_slice(into)).unwrap();
        if count == 0 {
            return all;
        }
        all.extend_from_slice(&into[..count]);
    }
}

#[test]
fn records_of_eight_writers_arrive_whole_and_in_order() {
    let (reader, writer) = pipe();
    let writer = Arc::new(writer);
    let threads: Vec<_> = (0..WRITERS)
        .map(|number| {
            let writer = Arc::clone(&writer);
            std::thread::spawn(move || write_records(number, &writer))
        })
        .collect();
    drop(writer);
    let all = read_all(&reader);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut next = [0; WRITERS as usize];
    let mut rest = &all[..];
    while let [writer, low, high, ..] = *rest {
        let (record, after) = rest.split_at(usize::from(u16::from_le_bytes([low, high])));
        assert_eq!(record[3..7], u32::to_le_bytes(next[usize::from(writer)]));
        assert!(record[7..].iter().all(|&byte| byte == writer), "torn");
        next[usize::from(writer)] += 1;
        rest = after;
    }
    assert_eq!((rest.len(), next), (0, [WRITES; WRITERS as usize]));
}
