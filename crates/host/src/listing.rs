//! Listings of directories, by the host's own cookies.

use core::mem::MaybeUninit;
use core::ops::ControlFlow;
use std::os::fd::AsFd;

use vnode_core::fs::{DirEntry, DirStream, FIRST_COOKIE, LAST_COOKIE};
use vnode_core::{Cx, Result};

use crate::pool::Descriptor;
use crate::sys::{self, Piece};

/// A directory of the host, opened for listing. Nothing is kept between calls but where it stands, so what is listed
/// is what is there.
pub(crate) struct HostListing {
    descriptor: Descriptor,
    /// The cookie of the descriptor's own position, if that is known.
    stands_at: Option<u64>,
    buffer: Vec<MaybeUninit<u8>>,
}

/// What most callers take at once; more is read for those who take more.
const FIRST_PIECE: usize = 4096;
const LARGEST_PIECE: usize = 32_768;

impl HostListing {
    pub(crate) fn new(descriptor: Descriptor) -> Self {
        HostListing { descriptor, stands_at: None, buffer: Vec::new() }
    }
}

/// The host's cookies begin at 0. A position at the very end of what there can be is as good as the end.
fn to_cookie(position: u64) -> u64 {
    position.saturating_add(FIRST_COOKIE).min(LAST_COOKIE)
}

fn to_position(cookie: u64) -> u64 {
    if cookie >= LAST_COOKIE { LAST_COOKIE } else { cookie.saturating_sub(FIRST_COOKIE) }
}

impl DirStream for HostListing {
    fn list(
        &mut self,
        cx: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let dir = self.descriptor.as_fd();
        if self.stands_at.take() != Some(cookie) || cookie < FIRST_COOKIE {
            sys::seek(dir, to_position(cookie))?;
        }
        let mut size = FIRST_PIECE;
        let mut last = cookie;
        loop {
            if self.buffer.len() < size {
                self.buffer.resize(size, MaybeUninit::uninit());
            }
            let Some(buffer) = self.buffer.get_mut(..size) else { return Ok(()) };
            let piece = sys::list(dir, buffer, &mut |entry| {
                last = to_cookie(entry.next);
                emit(DirEntry { name: entry.name, ino: entry.ino, kind: entry.kind, next: last })
            })?;
            match piece {
                Piece::Enough => return Ok(()),
                Piece::End => {
                    self.stands_at = Some(last);
                    return Ok(());
                }
                Piece::More => cx.check_canceled()?,
            }
            size = (size * 2).min(LARGEST_PIECE);
        }
    }
}
