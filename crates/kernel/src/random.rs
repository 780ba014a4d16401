//! Random bytes.

use vnode_core::io::Sink;
use vnode_core::{Cx, Errno, Result};

/// Where a process's random bytes come from. An embedder that wants reproducible runs gives its own.
pub trait Random: Send + Sync {
    /// Fills `bytes`, which are 4096 at most.
    ///
    /// # Errors
    /// `EIO`: there are none to be had.
    fn fill(&self, bytes: &mut [u8]) -> Result<()>;
}

/// The host's random bytes (`getrandom(2)`, or what the system has instead).
#[derive(Clone, Copy, Debug, Default)]
pub struct HostRandom;

impl Random for HostRandom {
    #[cfg(target_os = "linux")]
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        use rustix::rand::{GetRandomFlags, getrandom};
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match getrandom(rest, GetRandomFlags::empty()) {
                Ok(count) => done += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Err(Errno::IO),
            }
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        getrandom::fill(bytes).map_err(|_| Errno::IO)
    }
}

/// Fills `into` piece by piece, so that whoever asks for gigabytes can still be ended.
pub(crate) fn fill(cx: &Cx<'_>, random: &dyn Random, into: &mut Sink<'_>) -> Result<()> {
    let mut piece = [0; 4096];
    while into.remaining() > 0 {
        cx.check_canceled()?;
        let len = into.remaining().min(piece.len());
        random.fill(&mut piece[..len])?;
        into.put(&piece[..len]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{CallClock, HostClocks};
    use vnode_core::{Cancel, Credentials};

    struct Canceled;
    impl Cancel for Canceled {
        fn is_canceled(&self) -> bool {
            true
        }
    }

    #[test]
    fn every_byte_is_filled() {
        let (clocks, root) = (HostClocks::new(), Credentials::root());
        let clock = CallClock(&clocks);
        let cx = Cx::new(&root, &clock);
        let mut bytes = vec![0; 10_000];
        fill(&cx, &HostRandom, &mut Sink::from_slice(&mut bytes)).unwrap();
        assert!(bytes.chunks(16).all(|chunk| chunk.iter().any(|&byte| byte != 0)));
        assert_eq!(
            fill(&cx.with_cancel(&Canceled), &HostRandom, &mut Sink::from_slice(&mut bytes)),
            Err(Errno::INTR)
        );
    }
}
