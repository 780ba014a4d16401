//! Pipes that nobody waits for.

use rustix::event::PollFlags;
use vnode_core::{Errno, FileType};
use vnode_kernel::stream::{Interest, PIPE_BUF, PIPE_CAPACITY, PipeReader, PipeWriter, pipe};

use crate::twin::{Random, Twin, for_each_seed};

struct Pipe {
    reader: Option<Twin<PipeReader>>,
    writer: Option<Twin<PipeWriter>>,
}

impl Pipe {
    fn new() -> Self {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let (reader, writer) = pipe();
        Pipe { reader: Some(Twin::new(read, reader)), writer: Some(Twin::new(write, writer)) }
    }

    fn reader(&self) -> &Twin<PipeReader> {
        self.reader.as_ref().unwrap()
    }

    fn writer(&self) -> &Twin<PipeWriter> {
        self.writer.as_ref().unwrap()
    }

    fn compare_readiness(&self) {
        if let Some(reader) = &self.reader {
            reader.compare_readiness(Interest::Read, Some(PollFlags::HUP));
        }
        if let Some(writer) = &self.writer {
            writer.compare_readiness(Interest::Write, Some(PollFlags::ERR));
        }
    }
}

#[test]
fn the_kernel_has_the_numbers_that_ours_has() {
    let pipe = Pipe::new();
    assert_eq!(rustix::pipe::fcntl_getpipe_size(&pipe.writer().kernel).unwrap(), PIPE_CAPACITY);
    assert_eq!(rustix::pipe::PIPE_BUF, PIPE_BUF);
    assert_eq!(pipe.reader().kinds(), (FileType::Fifo, FileType::Fifo.mode_bits() | 0o600));
    assert_eq!(pipe.writer().kinds(), (FileType::Fifo, FileType::Fifo.mode_bits() | 0o600));
}

#[test]
fn an_empty_pipe_and_one_without_writer() {
    let mut pipe = Pipe::new();
    pipe.compare_readiness();
    assert_eq!(pipe.reader().read(0), Ok(vec![]));
    assert_eq!(pipe.reader().read(1), Err(Errno::AGAIN));
    assert_eq!(pipe.writer().write(b""), Ok(0));
    assert_eq!(pipe.writer().write(b"abc"), Ok(3));
    pipe.writer = None;
    pipe.compare_readiness();
    assert_eq!(pipe.reader().read(0), Ok(vec![]));
    assert_eq!(pipe.reader().read(2), Ok(b"ab".to_vec()));
    assert_eq!(pipe.reader().read(2), Ok(b"c".to_vec()));
    assert_eq!(pipe.reader().read(2), Ok(vec![]));
    pipe.compare_readiness();
}

#[test]
fn a_pipe_without_reader() {
    for filled in [0, 1, PIPE_CAPACITY] {
        let mut pipe = Pipe::new();
        assert_eq!(pipe.writer().write(&vec![1; filled]), Ok(filled));
        pipe.reader = None;
        pipe.compare_readiness();
        assert_eq!(pipe.writer().write(b""), Ok(0));
        assert_eq!(pipe.writer().write(b"x"), Err(Errno::PIPE));
        assert_eq!(pipe.writer().write(&[0; 2 * PIPE_CAPACITY]), Err(Errno::PIPE));
    }
}

#[test]
fn a_full_pipe_takes_nothing_of_a_small_write_and_what_fits_of_a_large_one() {
    let pipe = Pipe::new();
    assert_eq!(pipe.writer().write(&[1; PIPE_CAPACITY - PIPE_BUF + 1]), Ok(PIPE_CAPACITY - PIPE_BUF + 1));
    pipe.compare_readiness();
    assert_eq!(pipe.writer().write(&[2; PIPE_BUF]), Err(Errno::AGAIN));
    assert_eq!(pipe.writer().write(&[2; PIPE_BUF - 1]), Ok(PIPE_BUF - 1));
    assert_eq!(pipe.writer().write(b""), Ok(0));
    assert_eq!(pipe.reader().read(PIPE_BUF - 1).map(|bytes| bytes.len()), Ok(PIPE_BUF - 1));
    pipe.compare_readiness();
    assert_eq!(pipe.writer().write(&[3; PIPE_BUF]), Err(Errno::AGAIN));
    assert_eq!(pipe.reader().read(1).map(|bytes| bytes.len()), Ok(1));
    pipe.compare_readiness();
    assert_eq!(pipe.writer().write(&[4; 3 * PIPE_BUF]), Ok(PIPE_BUF));
    assert_eq!(pipe.reader().read(2 * PIPE_CAPACITY).map(|bytes| bytes.len()), Ok(PIPE_CAPACITY));
}

#[test]
fn sixteen_writes_that_fill_no_page_fill_a_pipe() {
    let pipe = Pipe::new();
    for _ in 0..16 {
        assert_eq!(pipe.writer().write(&[1; PIPE_BUF / 2 + 1]), Ok(PIPE_BUF / 2 + 1));
    }
    pipe.compare_readiness();
    assert_eq!(pipe.writer().write(&[1; PIPE_BUF / 2 + 1]), Err(Errno::AGAIN));
    // It has room in the last page, though poll says that it has none.
    assert_eq!(pipe.writer().write(b"x"), Ok(1));
    pipe.compare_readiness();
}

#[test]
fn buffers_are_one_write() {
    let pipe = Pipe::new();
    assert_eq!(pipe.writer().write_many(&[b"ab", b"", b"cde"]), Ok(5));
    assert_eq!(pipe.writer().write_many(&[b"", b""]), Ok(0));
    assert_eq!(pipe.reader().read(9), Ok(b"abcde".to_vec()));
    assert_eq!(pipe.writer().write(&[0; PIPE_CAPACITY]), Ok(PIPE_CAPACITY));
    assert_eq!(pipe.reader().read(PIPE_BUF).map(|bytes| bytes.len()), Ok(PIPE_BUF));
    assert_eq!(pipe.writer().write_many(&[&[1; 3000], &[2; 3000]]), Ok(PIPE_BUF));
}

#[test]
fn random_calls_are_answered_as_by_the_kernel() {
    if rustix::param::page_size() != PIPE_BUF {
        eprintln!("skipped: pages of {} bytes", rustix::param::page_size());
        return;
    }
    let edges =
        [0, 1, 2, 100, 2048, 4095, 4096, 4097, 5000, 8192, 10_000, 61_440, 65_535, 65_536, 65_537, 100_000];
    let mut seen = std::collections::BTreeMap::new();
    for_each_seed(150, |random| {
        let mut pipe = Pipe::new();
        for _ in 0..150 {
            let answer = step(&mut pipe, random, &edges);
            *seen.entry(answer).or_insert(0) += 1;
            pipe.compare_readiness();
        }
    });
    for answer in ["read", "read EAGAIN", "end", "write", "write in part", "write EAGAIN", "write EPIPE"] {
        assert!(seen.get(answer).is_some_and(|&times| times >= 100), "{answer}: {seen:?}");
    }
}

fn step(pipe: &mut Pipe, random: &mut Random, edges: &[usize]) -> &'static str {
    match (random.below(100), &pipe.reader, &pipe.writer) {
        (0, Some(_), Some(_)) => pipe.reader = None,
        (1, Some(_), Some(_)) => pipe.writer = None,
        (..8, reader, writer) if reader.is_none() || writer.is_none() => *pipe = Pipe::new(),
        (..54, Some(reader), _) => {
            let wanted = random.length(edges);
            return match reader.read(wanted) {
                Ok(bytes) if bytes.is_empty() && wanted > 0 => "end",
                Ok(_) => "read",
                Err(_) => "read EAGAIN",
            };
        }
        (_, _, Some(writer)) => {
            let len = random.length(edges);
            return match writer.write(&random.bytes(len)) {
                Ok(count) if count < len => "write in part",
                Ok(_) => "write",
                Err(Errno::PIPE) => "write EPIPE",
                Err(_) => "write EAGAIN",
            };
        }
        _ => {}
    }
    "closed or made"
}
