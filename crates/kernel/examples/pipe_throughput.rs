//! How fast a pipe is between two threads, and how long a byte takes there and back: ours, and the kernel's in the same
//! run.
//!
//! ```console
//! $ cargo run --release --package vnode-kernel --example pipe_throughput
//! ```
#![allow(missing_docs, reason = "an example")]

use std::error::Error;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use vnode_kernel::stream::{PipeReader, PipeWriter, Stream, pair, pipe};
use vnode_kernel::{Interruption, Wait};

use vnode_core::Errno;
use vnode_core::io::{Sink, Source};

/// Bytes moved in one measurement.
const MOVED: usize = 1 << 30;
/// Times there and back.
const TURNS: u32 = 20_000;
/// Of which the best counts, for others use the machine, too.
const RUNS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    for size in [64 * 1024, 4096, 512] {
        let moved = MOVED / (65_536 / size).min(16);
        let kernel = best(|| Ok(rate(kernel_pipe()?, size, moved)))?;
        let ours = best(|| Ok(rate(our_pipe(), size, moved)))?;
        let sockets = best(|| Ok(rate(our_sockets(), size, moved)))?;
        writeln!(
            out,
            "writes of {size:>5} bytes: {ours:6.2} GiB/s, {:.2} of the kernel's {kernel:.2}; a pair of sockets {sockets:.2}",
            ours / kernel
        )?;
    }
    let kernel = -best(|| Ok(-turn(kernel_pipe()?, kernel_pipe()?).as_secs_f64()))?;
    let ours = -best(|| Ok(-turn(our_pipe(), our_pipe()).as_secs_f64()))?;
    writeln!(
        out,
        "a byte there and back: {:.1} us, {:.2} of the kernel's {:.1} us",
        ours * 1e6,
        ours / kernel,
        kernel * 1e6
    )?;
    Ok(())
}

/// The highest of some runs.
fn best(mut run: impl FnMut() -> std::io::Result<f64>) -> std::io::Result<f64> {
    let mut best = f64::MIN;
    for _ in 0..RUNS {
        best = best.max(run()?);
    }
    Ok(best)
}

type Ends = (Box<dyn Read + Send>, Box<dyn Write + Send>);

fn kernel_pipe() -> std::io::Result<Ends> {
    let (read, write) = rustix::pipe::pipe()?;
    Ok((Box::new(KernelEnd(read)), Box::new(KernelEnd(write))))
}

struct KernelEnd(rustix::fd::OwnedFd);

impl Read for KernelEnd {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        Ok(rustix::io::read(&self.0, into)?)
    }
}

impl Write for KernelEnd {
    fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
        Ok(rustix::io::write(&self.0, from)?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn our_pipe() -> Ends {
    let (reader, writer): (PipeReader, PipeWriter) = pipe();
    (Box::new(End::new(reader)), Box::new(End::new(writer)))
}

fn our_sockets() -> Ends {
    let (one, other) = pair();
    (Box::new(End::new(one)), Box::new(End::new(other)))
}

/// A stream as the standard library has them.
struct End<S> {
    stream: S,
    stop: Interruption,
}

impl<S> End<S> {
    fn new(stream: S) -> Self {
        End { stream, stop: Interruption::new() }
    }
}

fn error(errno: Errno) -> std::io::Error {
    std::io::Error::from_raw_os_error(errno.raw().into())
}

impl<S: Stream> Read for End<S> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(Wait::blocking(&self.stop), &mut Sink::from_slice(into)).map_err(error)
    }
}

impl<S: Stream> Write for End<S> {
    fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
        self.stream.write(Wait::blocking(&self.stop), &mut Source::from_slice(from)).map_err(error)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// GiB/s of one who writes and one who reads.
fn rate((mut reader, mut writer): Ends, size: usize, moved: usize) -> f64 {
    let start = Instant::now();
    let read = std::thread::scope(|scope| {
        scope.spawn(move || {
            let bytes = vec![1; size];
            for _ in 0..moved / size {
                if writer.write_all(&bytes).is_err() {
                    return;
                }
            }
        });
        let mut buffer = vec![0; 65_536];
        let mut read = 0;
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            read += count;
        }
        read
    });
    read as f64 / (1u64 << 30) as f64 / start.elapsed().as_secs_f64()
}

/// The time of a byte there and back.
fn turn((mut to, mut from_here): Ends, (mut back, mut from_there): Ends) -> Duration {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut byte = [0];
            while to.read(&mut byte).is_ok_and(|count| count == 1) {
                if from_there.write_all(&byte).is_err() {
                    return;
                }
            }
        });
        let mut byte = [7];
        let start = Instant::now();
        for _ in 0..TURNS {
            if from_here.write_all(&byte).is_err() || back.read_exact(&mut byte).is_err() {
                break;
            }
        }
        let turn = start.elapsed() / TURNS;
        drop(from_here);
        turn
    })
}
