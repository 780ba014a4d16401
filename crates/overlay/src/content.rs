//! Copying a file's content, holes left as holes.

use core::ops::Range;

use vnode_core::fs::{File, SeekFor};
use vnode_core::io::{Sink, Source};
use vnode_core::{Cx, Errno, Result};

/// Bytes that are copied at once.
const PIECE: usize = 1 << 18;

/// Copies the first `size` bytes of a file's content to an empty file: has the layers share them, or copy them among
/// themselves, as far as they can.
///
/// # Errors
/// Those of the files; `EINTR`: canceled.
pub(crate) fn copy(cx: &Cx<'_>, own: &Cx<'_>, from: &dyn File, to: &dyn File, size: u64) -> Result<()> {
    let done = share(cx, own, from, to, size)?;
    if done < size {
        copy_bytes(cx, own, from, to, done..size)?;
        to.set_len(own, size)?;
    }
    Ok(())
}

/// Has the layers do it; answers how far they came.
fn share(cx: &Cx<'_>, own: &Cx<'_>, from: &dyn File, to: &dyn File, size: u64) -> Result<u64> {
    let mut done = 0;
    while done < size {
        cx.check_canceled()?;
        match from.lend(own, &mut |from| to.copy_range(own, done, from, done, size - done)) {
            Ok(0) | Err(Errno::OPNOTSUPP) => break,
            taken => done += taken?.min(size - done),
        }
    }
    Ok(done)
}

/// Copies data of a range; what follows in the copy is a hole.
fn copy_bytes(cx: &Cx<'_>, own: &Cx<'_>, from: &dyn File, to: &dyn File, range: Range<u64>) -> Result<()> {
    let size = range.end;
    let mut buffer = vec![0; usize::try_from(size - range.start).map_or(PIECE, |len| PIECE.min(len))];
    let mut done = range.start;
    while done < size {
        let start = seek(own, from, SeekFor::Data, done, size)?.max(done);
        if start >= size {
            break;
        }
        // Whatever the filesystem says, the next look is further on.
        let end = seek(own, from, SeekFor::Hole, start, size)?.clamp(start + 1, size);
        done = start;
        while done < end {
            cx.check_canceled()?;
            let len = usize::try_from(end - done).map_or(buffer.len(), |left| left.min(buffer.len()));
            let Some(piece) = buffer.get_mut(..len) else { return Err(Errno::IO) };
            let read = from.read_at(own, done, &mut Sink::from_slice(piece))?;
            if read == 0 {
                // Somebody made it shorter, who mustn't.
                done = end;
                break;
            }
            write(own, to, done, piece.get(..read).unwrap_or_default())?;
            done += read as u64;
        }
    }
    Ok(())
}

/// Where the next data or hole is; a file that can't tell is all data.
fn seek(own: &Cx<'_>, from: &dyn File, what: SeekFor, at: u64, size: u64) -> Result<u64> {
    match from.seek_data_or_hole(own, what, at) {
        Err(Errno::NXIO) => Ok(size),
        Err(Errno::OPNOTSUPP | Errno::INVAL) => Ok(if what == SeekFor::Data { at } else { size }),
        sought => sought,
    }
}

fn write(own: &Cx<'_>, to: &dyn File, at: u64, bytes: &[u8]) -> Result<()> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match to.write_at(own, at + done as u64, &mut Source::from_slice(rest))? {
            0 => return Err(Errno::IO),
            more => done += more,
        }
    }
    Ok(())
}
