//! Waiting for a word of memory to change (`futex(2)`).

use core::time::Duration;

use vnode_core::{Errno, Result};
use vnode_kernel::Process;

use crate::memory::GuestMemory;
use crate::outcome::Outcome;
use crate::serve::plain;

/// `option_timestamp`: a time in nanoseconds, or none.
fn timeout(memory: &GuestMemory<'_>, at: u32) -> Result<Option<Duration>> {
    let bytes = memory.read::<16>(at)?;
    let (tag, time) = bytes.split_at(8);
    let time = time.try_into().map_or(0, u64::from_le_bytes);
    match tag.first() {
        Some(0) => Ok(None),
        Some(1) => Ok(Some(Duration::from_nanos(time))),
        _ => Err(Errno::INVAL),
    }
}

/// Waits while a word has the value that is expected, until it is woken (`FUTEX_WAIT`). The result tells whether it was
/// woken, or had changed already; without, the time is over.
pub fn futex_wait(
    process: &Process,
    memory: &GuestMemory<'_>,
    word: u32,
    expected: u32,
    time: u32,
    woken: u32,
) -> Outcome {
    plain(process, || {
        let (time, slot) = (timeout(memory, time)?, memory.slot(woken)?);
        memory.read::<4>(word)?;
        let unchanged = || Ok(u32::from_le_bytes(memory.read(word)?) == expected);
        let changed = match process.futex_wait(word, time, unchanged) {
            Ok(()) | Err(Errno::AGAIN) => true,
            Err(Errno::TIMEDOUT) => false,
            Err(errno) => return Err(errno),
        };
        slot.put([u8::from(changed)]);
        Ok(())
    })
}

fn wake(process: &Process, memory: &GuestMemory<'_>, word: u32, count: usize, woken: u32) -> Outcome {
    plain(process, || {
        let slot = memory.slot(woken)?;
        memory.read::<4>(word)?;
        slot.put([u8::from(process.futex_wake(word, count) > 0)]);
        Ok(())
    })
}

/// Wakes the one who waits for a word longest (`FUTEX_WAKE`). The result tells whether there was one.
pub fn futex_wake(process: &Process, memory: &GuestMemory<'_>, word: u32, woken: u32) -> Outcome {
    wake(process, memory, word, 1, woken)
}

/// Wakes all who wait for a word. The result tells whether there were any.
pub fn futex_wake_all(process: &Process, memory: &GuestMemory<'_>, word: u32, woken: u32) -> Outcome {
    wake(process, memory, word, usize::MAX, woken)
}
