//! Arguments, environment, clocks, random bytes.

use vnode_core::{Errno, Result};
use vnode_kernel::{Process, Strings};

use crate::decode;
use crate::memory::GuestMemory;
use crate::outcome::Outcome;
use crate::serve::plain;

/// Puts each string's address at `pointers` and all strings at `buf`.
fn put_strings(memory: &GuestMemory<'_>, strings: &Strings, pointers: u32, buf: u32) -> Result<()> {
    let count = u32::try_from(strings.len()).map_err(|_| Errno::TOOBIG)?;
    let len = u32::try_from(strings.bytes().len()).map_err(|_| Errno::TOOBIG)?;
    let table = memory.area(pointers, count.checked_mul(4).ok_or(Errno::TOOBIG)?)?;
    let area = memory.area(buf, len)?;
    area.put(0, strings.bytes());
    for (index, start) in strings.starts().iter().enumerate() {
        table.put(index * 4, &buf.wrapping_add(*start).to_le_bytes());
    }
    Ok(())
}

/// Puts the number of strings at `count` and their bytes, NULs included, at `size`.
fn put_sizes(memory: &GuestMemory<'_>, strings: &Strings, count: u32, size: u32) -> Result<()> {
    let (count, size) = (memory.slot(count)?, memory.slot(size)?);
    count.put((strings.len() as u32).to_le_bytes());
    size.put((strings.bytes().len() as u32).to_le_bytes());
    Ok(())
}

/// The arguments.
pub fn args_get(process: &Process, memory: &GuestMemory<'_>, argv: u32, argv_buf: u32) -> Outcome {
    plain(process, || put_strings(memory, &process.args(), argv, argv_buf))
}

/// How many arguments there are, and their bytes.
pub fn args_sizes_get(process: &Process, memory: &GuestMemory<'_>, argc: u32, argv_buf_size: u32) -> Outcome {
    plain(process, || put_sizes(memory, &process.args(), argc, argv_buf_size))
}

/// The environment.
pub fn environ_get(process: &Process, memory: &GuestMemory<'_>, environ: u32, environ_buf: u32) -> Outcome {
    plain(process, || put_strings(memory, &process.env(), environ, environ_buf))
}

/// How many environment variables there are, and their bytes.
pub fn environ_sizes_get(process: &Process, memory: &GuestMemory<'_>, count: u32, buf_size: u32) -> Outcome {
    plain(process, || put_sizes(memory, &process.env(), count, buf_size))
}

/// The resolution of a clock (`clock_getres(2)`).
pub fn clock_res_get(process: &Process, memory: &GuestMemory<'_>, clock: u32, resolution: u32) -> Outcome {
    plain(process, || {
        let clock = decode::clock(clock)?;
        let slot = memory.slot(resolution)?;
        slot.put(process.resolution(clock)?.to_le_bytes());
        Ok(())
    })
}

/// The time of a clock (`clock_gettime(2)`); always as precise as can be.
pub fn clock_time_get(
    process: &Process,
    memory: &GuestMemory<'_>,
    clock: u32,
    _precision: u64,
    time: u32,
) -> Outcome {
    plain(process, || {
        let clock = decode::clock(clock)?;
        let slot = memory.slot(time)?;
        slot.put(process.time(clock)?.to_le_bytes());
        Ok(())
    })
}

/// Random bytes (`getrandom(2)`).
pub fn random_get(process: &Process, memory: &GuestMemory<'_>, buf: u32, buf_len: u32) -> Outcome {
    plain(process, || process.random(&mut memory.buffer(buf, buf_len)?.sink()))
}
