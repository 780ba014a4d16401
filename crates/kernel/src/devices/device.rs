//! What an open device does: `drivers/char/{mem,random}.c` and `drivers/tty` in Linux.

use std::sync::Arc;

use vnode_core::fs::Access;
use vnode_core::io::{Sink, Source};
use vnode_core::{Cx, Errno, Result};

use super::Kind;
use crate::random::{self, Random};
use crate::stream::Stream;

/// Bytes given or taken between two looks whether the process is to end.
const PIECE: usize = 64 * 1024;

/// An open device.
pub(crate) enum Device {
    Null,
    Zero,
    Full,
    /// `random` and `urandom`: the process's random bytes.
    Random(Arc<dyn Random>),
    /// The process's terminal.
    Terminal(Arc<dyn Stream>),
}

impl Device {
    /// Opens a device for a process with these random bytes and this terminal.
    ///
    /// # Errors
    /// `ENXIO`: the process has no terminal. `EACCES`: the terminal is not to be used so.
    pub(crate) fn open(
        kind: Kind,
        access: Access,
        random: &Arc<dyn Random>,
        terminal: Option<&Arc<dyn Stream>>,
    ) -> Result<Self> {
        Ok(match kind {
            Kind::Null => Device::Null,
            Kind::Zero => Device::Zero,
            Kind::Full => Device::Full,
            Kind::Random | Kind::Urandom => Device::Random(Arc::clone(random)),
            Kind::Tty => {
                let terminal = terminal.ok_or(Errno::NXIO)?;
                if !terminal.access().contains(access) {
                    return Err(Errno::ACCES);
                }
                Device::Terminal(Arc::clone(terminal))
            }
        })
    }

    /// Its stream, if it is a terminal.
    pub(crate) fn stream(&self) -> Option<&Arc<dyn Stream>> {
        match self {
            Device::Terminal(stream) => Some(stream),
            _ => None,
        }
    }

    /// Fills `into`, or reads nothing (`null`). What was read when the process is to end, counts.
    ///
    /// # Errors
    /// `EINTR`: the process is to end. `EIO`: no random bytes are to be had.
    pub(crate) fn read(&self, cx: &Cx<'_>, into: &mut Sink<'_>) -> Result<usize> {
        let mut done = 0;
        while into.remaining() > 0 && !matches!(self, Device::Null) {
            let mut piece = into.first(PIECE);
            let count = piece.remaining();
            let filled = cx.check_canceled().and_then(|()| match self {
                Device::Random(random) => random::fill(cx, &**random, &mut piece),
                _ => {
                    piece.zero(count);
                    Ok(())
                }
            });
            match filled {
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
                Ok(()) => into.advance(count),
            }
            done += count;
        }
        Ok(done)
    }

    /// Takes all; what is written to the random devices makes nothing less random.
    ///
    /// # Errors
    /// `ENOSPC`: `full`.
    pub(crate) fn write(&self, from: &mut Source<'_>) -> Result<usize> {
        let count = from.remaining();
        if count > 0 && matches!(self, Device::Full) {
            return Err(Errno::NOSPC);
        }
        from.advance(count);
        Ok(count)
    }
}
