//! Waiting.

use smallvec::SmallVec;
use vnode_core::{Errno, Result};
use vnode_kernel::stream::Interest;
use vnode_kernel::{Poll, Process};

use crate::decode;
use crate::errno::to_wasi;
use crate::layout;
use crate::memory::GuestMemory;
use crate::outcome::Outcome;
use crate::serve::{Gave, observed};

/// The most subscriptions of one call.
const SUBSCRIPTIONS_MAX: u32 = 65_536;
/// The size of an `event`.
const EVENT: u32 = 32;

/// Where the fields of a `subscription` of `N` bytes are; both modules start it with `userdata` and the type at 8.
pub(crate) struct Layout<const N: usize> {
    clock: usize,
    timeout: usize,
    flags: usize,
}

impl Layout<48> {
    pub(crate) const PREVIEW1: Self = Layout { clock: 16, timeout: 24, flags: 40 };
}

impl Layout<56> {
    /// A clock's part begins with an `identifier` that means nothing.
    pub(crate) const UNSTABLE: Self = Layout { clock: 24, timeout: 32, flags: 48 };
}

/// Where a descriptor is, in either layout.
const FD: usize = 16;

/// A subscription as it came.
struct Subscription {
    userdata: u64,
    kind: u8,
    /// What to wait for, or what is wrong with this one.
    poll: Result<Poll>,
}

fn field<const M: usize>(bytes: &[u8], at: usize) -> [u8; M] {
    let mut field = [0; M];
    field.copy_from_slice(&bytes[at..at + M]);
    field
}

impl<const N: usize> Layout<N> {
    /// # Errors
    /// `EINVAL`: a type or a flag without meaning. A clock without meaning is that subscription's own error.
    fn decode(&self, bytes: &[u8; N]) -> Result<Subscription> {
        let userdata = u64::from_le_bytes(field(bytes, 0));
        let kind = bytes[8];
        let fd = u32::from_le_bytes(field(bytes, FD));
        let poll = match kind {
            0 => {
                let timeout = u64::from_le_bytes(field(bytes, self.timeout));
                let absolute = match u16::from_le_bytes(field(bytes, self.flags)) {
                    0 => false,
                    1 => true,
                    _ => return Err(Errno::INVAL),
                };
                let clock = decode::clock(u32::from_le_bytes(field(bytes, self.clock)));
                clock.map(|clock| Poll::Clock { clock, timeout, absolute })
            }
            1 => Ok(Poll::Fd { fd, interest: Interest::Read }),
            2 => Ok(Poll::Fd { fd, interest: Interest::Write }),
            _ => return Err(Errno::INVAL),
        };
        Ok(Subscription { userdata, kind, poll })
    }
}

/// Waits until at least one of the subscriptions has come, and tells all that have (`poll(2)`).
///
/// # Errors
/// `EINVAL`: no subscription, or more than 65536. What is wrong with one subscription is told in its event.
pub fn poll_oneoff(
    process: &Process,
    memory: &GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    nevents: u32,
) -> Outcome {
    poll_oneoff_as(process, memory, subscriptions, events, count, nevents, &Layout::PREVIEW1)
}

/// [`poll_oneoff`] with whichever layout of the subscriptions.
pub(crate) fn poll_oneoff_as<const N: usize>(
    process: &Process,
    memory: &GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    nevents: u32,
    layout: &Layout<N>,
) -> Outcome {
    let run = || {
        if count == 0 || count > SUBSCRIPTIONS_MAX {
            return Err(Errno::INVAL);
        }
        // The bound keeps both products far below 2^32.
        memory.area(subscriptions, count * N as u32)?;
        let (out, slot) = (memory.area(events, count * EVENT)?, memory.slot(nevents)?);
        let list = (0..count)
            .map(|index| layout.decode(&memory.read(subscriptions + index * N as u32)?))
            .collect::<Result<SmallVec<[Subscription; 4]>>>()?;
        let told = wait(process, &list)?;
        for (index, event) in told.iter().enumerate() {
            out.put(index * EVENT as usize, event);
        }
        slot.put((told.len() as u32).to_le_bytes());
        Ok(Gave::Number(told.len() as u64))
    };
    observed(process, memory, "poll_oneoff", run, |show| {
        show.any(count);
    })
}

/// The events in the order of the subscriptions. If some are wrong, only what has come by now is waited for.
fn wait(process: &Process, list: &[Subscription]) -> Result<SmallVec<[[u8; 32]; 4]>> {
    let mut polls: SmallVec<[Poll; 4]> = list.iter().filter_map(|one| one.poll.ok()).collect();
    if polls.len() < list.len() {
        // One that comes at once.
        polls.push(Poll::Clock { clock: vnode_kernel::ClockId::Monotonic, timeout: 0, absolute: false });
    }
    let came = process.poll(&polls)?;
    let mut came = came.iter().peekable();
    let mut index = 0;
    let mut told = SmallVec::new();
    for one in list {
        let ready = match one.poll {
            Err(errno) => Err(errno),
            Ok(_) => {
                let here = came.next_if(|event| event.index == index);
                index += 1;
                match here {
                    Some(event) => event.ready,
                    None => continue,
                }
            }
        };
        let errno = ready.err().map_or(0, to_wasi);
        told.push(layout::event(one.userdata, errno, one.kind, ready.unwrap_or_default()));
    }
    Ok(told)
}
