//! What is in a file, as far as it is to be shown.

use vnode_core::io::Sink;
use vnode_core::{Cx, Errno, FileType, Result};
use vnode_sandbox::Found;

/// The most of a file that is compared line by line.
pub(super) const MOST: u64 = 64 << 20;
/// A file with a NUL in its first bytes is binary, as git says.
const FIRST: usize = 8000;
/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// A file's content, or where a link leads.
#[derive(Debug)]
pub(super) enum Content {
    Text(Vec<u8>),
    /// No text, of so many bytes.
    Binary(u64),
    /// Of so many bytes, more than [`MOST`].
    TooLarge(u64),
}

impl Content {
    /// Reads a regular file or a link, the beginning of it if that is enough.
    ///
    /// # Errors
    /// Those of reading it; `EINTR`: canceled. `EINVAL`: it is something else.
    pub(super) fn of(cx: &Cx<'_>, found: &Found) -> Result<Content> {
        match found.kind() {
            FileType::Symlink => Ok(Content::Text(found.target(cx)?.to_vec())),
            FileType::Regular => of_file(cx, found),
            _ => Err(Errno::INVAL),
        }
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> u64 {
        match self {
            Content::Text(text) => text.len() as u64,
            Content::Binary(len) | Content::TooLarge(len) => *len,
        }
    }
}

fn of_file(cx: &Cx<'_>, found: &Found) -> Result<Content> {
    let file = found.open(cx)?;
    let mut text = vec![0; FIRST];
    let mut read = file.read_at(cx, 0, &mut Sink::from_slice(&mut text))?;
    text.truncate(read);
    let size = found.attr.size.max(read as u64);
    if text.contains(&0) {
        return Ok(Content::Binary(size));
    }
    if size > MOST {
        return Ok(Content::TooLarge(size));
    }
    let mut piece = vec![0; PIECE];
    while read > 0 && (text.len() as u64) <= MOST {
        cx.check_canceled()?;
        read = file.read_at(cx, text.len() as u64, &mut Sink::from_slice(&mut piece))?;
        text.extend_from_slice(piece.get(..read).unwrap_or_default());
    }
    Ok(if text.len() as u64 > MOST {
        Content::TooLarge(size.max(text.len() as u64))
    } else {
        Content::Text(text)
    })
}
