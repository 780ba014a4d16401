//! The same thing twice: the kernel's and ours.
//!
//! `unsafe` is for sources of several buffers, which are a guest's otherwise.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vnode_core::io::{Segment, Sink, Source};
use vnode_core::{Errno, Result};
use vnode_kernel::stream::{Interest, Stream};
use vnode_kernel::{Interruption, Wait};

pub(crate) struct Twin<S: Stream> {
    pub(crate) kernel: OwnedFd,
    pub(crate) ours: Arc<S>,
}

/// The answer of the kernel's own.
pub(crate) fn answer<T>(result: rustix::io::Result<T>) -> Result<T> {
    result.map_err(|errno| Errno::from_host(errno.raw_os_error()))
}

/// Makes a call with a source of several buffers.
pub(crate) fn from_buffers<T>(pieces: &[&[u8]], call: impl FnOnce(&mut Source<'_>) -> T) -> T {
    let segments: Vec<_> =
        pieces.iter().map(|piece| Segment::new(piece.as_ptr().cast_mut(), piece.len())).collect();
    // SAFETY: the pieces outlive the source, which only reads them.
    call(&mut unsafe { Source::new(&segments) })
}

/// A call that may not wait.
pub(crate) fn at_once<T>(call: impl FnOnce(Wait<'_>) -> T) -> T {
    call(Wait::nonblocking(&Interruption::new()))
}

impl<S: Stream> Twin<S> {
    pub(crate) fn new(kernel: OwnedFd, ours: S) -> Self {
        rustix::io::ioctl_fionbio(&kernel, true).unwrap();
        Twin { kernel, ours: Arc::new(ours) }
    }

    pub(crate) fn read(&self, len: usize) -> Result<Vec<u8>> {
        let mut buffer = vec![0; len];
        let theirs =
            answer(rustix::io::read(&self.kernel, &mut buffer[..])).map(|count| buffer[..count].to_vec());
        let mut buffer = vec![0; len];
        let ours = at_once(|wait| self.ours.read(wait, &mut Sink::from_slice(&mut buffer)));
        let ours = ours.map(|count| buffer[..count].to_vec());
        assert!(ours == theirs, "read {len}: {} here, {} there", shown(&ours), shown(&theirs));
        ours
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize> {
        let theirs = answer(rustix::io::write(&self.kernel, bytes));
        let ours = at_once(|wait| self.ours.write(wait, &mut Source::from_slice(bytes)));
        assert_eq!(ours, theirs, "write {}", bytes.len());
        ours
    }

    pub(crate) fn write_many(&self, pieces: &[&[u8]]) -> Result<usize> {
        let slices: Vec<_> = pieces.iter().map(|piece| std::io::IoSlice::new(piece)).collect();
        let theirs = answer(rustix::io::writev(&self.kernel, &slices));
        let ours = from_buffers(pieces, |from| at_once(|wait| self.ours.write(wait, from)));
        assert_eq!(ours, theirs, "writev {:?}", pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>());
        ours
    }

    /// What `poll(2)` says of the kernel's.
    pub(crate) fn polled(&self, flags: PollFlags) -> PollFlags {
        let mut fds = [PollFd::from_borrowed_fd(self.kernel.as_fd(), flags)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
        fds[0].revents()
    }

    /// Whether both are ready, and the bytes that can be read; whether one is told of a hangup by `hangup`.
    pub(crate) fn compare_readiness(&self, interest: Interest, hangup: Option<PollFlags>) {
        let (ready, flags) = match interest {
            Interest::Read => (PollFlags::IN | PollFlags::HUP, PollFlags::IN),
            Interest::Write => (PollFlags::OUT | PollFlags::HUP | PollFlags::ERR, PollFlags::OUT),
        };
        let polled = self.polled(flags | hangup.unwrap_or(PollFlags::empty()));
        let ours = self.ours.readiness(interest);
        assert_eq!(ours.is_some(), polled.intersects(ready), "{interest:?}: {ours:?} here, {polled:?} there");
        let Some(ours) = ours else { return };
        if let Some(hangup) = hangup {
            assert_eq!(
                ours.hangup,
                polled.intersects(hangup),
                "{interest:?}: {ours:?} here, {polled:?} there"
            );
        }
        if interest == Interest::Read {
            assert_eq!(Ok(ours.bytes), rustix::io::ioctl_fionread(&self.kernel), "FIONREAD");
        }
    }

    /// The type as both tell it.
    pub(crate) fn kinds(&self) -> (vnode_core::FileType, u32) {
        (self.ours.kind(), rustix::fs::fstat(&self.kernel).unwrap().st_mode)
    }
}

fn shown(result: &Result<Vec<u8>>) -> String {
    match result {
        Ok(bytes) => format!("{} bytes {:?}", bytes.len(), &bytes[..bytes.len().min(16)]),
        Err(errno) => format!("{errno:?}"),
    }
}

/// SplitMix64, so that every run can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit.max(1) as u64) as usize
    }

    /// A length near where something changes.
    pub(crate) fn length(&mut self, edges: &[usize]) -> usize {
        match self.below(4) {
            0 => self.below(edges[edges.len() - 1]),
            _ => edges[self.below(edges.len())],
        }
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let start = self.bits();
        (0..len as u64).map(|at| (start.wrapping_add(at * 7) >> 3) as u8).collect()
    }
}

/// Runs with seeds until `rounds` have passed, and says which one failed.
pub(crate) fn for_each_seed(rounds: u64, mut run: impl FnMut(&mut Random)) {
    struct Told(u64);
    impl Drop for Told {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("seed {}", self.0);
            }
        }
    }
    for seed in 0..rounds {
        let told = Told(seed);
        run(&mut Random(seed));
        drop(told);
    }
}
