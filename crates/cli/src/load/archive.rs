//! An archive as entries to load.

use std::borrow::Cow;
use std::io;

use vnode_archive::{Archive, ArchiveBuilder, ArchiveError, MemberPath};
use vnode_core::FileType;
use vnode_memory::{Data, Entry, EntryKind};

use super::MORE_ROOM;
use super::progress::Progress;

/// Bytes of all holes together. They take no room but are read as zeros, and an archive of few bytes could have
/// vnode read them for years.
const MAX_HOLES: u64 = 64 << 30;
/// What may be holes even where there is little room.
const MIN_HOLES: u64 = 1 << 30;
/// What compressed content may unpack to even where there is little room: it may hold what is replaced later.
const MIN_UNPACKED: u64 = 4 << 30;

/// How an archive is opened for a filesystem that has room for `room` bytes.
pub(crate) fn limited<'a>(room: u64) -> ArchiveBuilder<'a> {
    Archive::builder().max_bytes(room.saturating_mul(2).max(MIN_UNPACKED))
}

/// What is wrong with what should be copied, which may also be a directory.
pub(crate) fn problem(error: ArchiveError) -> String {
    match error {
        ArchiveError::NoArchive => "it is neither a directory nor a tar archive nor a zip archive".to_owned(),
        error => error.to_string(),
    }
}

/// What an archive holds, for a filesystem that has room for `room` bytes.
pub(crate) fn entries<'a>(
    archive: &'a Archive,
    room: u64,
    progress: &'a Progress,
) -> impl Iterator<Item = io::Result<Entry<'a>>> {
    let mut allowed = Allowed { room, holes: holes_for(room) };
    archive.members().map(move |member| {
        progress.entry();
        entry(&member, &mut allowed, progress)
            .map_err(|error| io::Error::other(format!("{}: {error}", member.path.escape_ascii())))
    })
}

/// Bytes of holes that an archive may have for a filesystem of `room` bytes.
fn holes_for(room: u64) -> u64 {
    room.saturating_mul(1024).clamp(MIN_HOLES, MAX_HOLES)
}

/// What the members left may have.
struct Allowed {
    /// The most bytes of a file with no holes.
    room: u64,
    /// Bytes of holes.
    holes: u64,
}

impl Allowed {
    /// Lets a file of `size` bytes be read of which `stored` are in the archive.
    fn file(&mut self, size: u64, stored: u64) -> io::Result<()> {
        if stored > self.room {
            let text = format!("its {stored} bytes are more than the filesystem may hold; {MORE_ROOM}");
            return Err(io::Error::other(text));
        }
        let holes = self.holes.checked_sub(size.saturating_sub(stored));
        self.holes = holes.ok_or_else(|| {
            let most = holes_for(self.room) >> 30;
            io::Error::other(format!("with its holes, the archive's have more than {most} GiB"))
        })?;
        Ok(())
    }
}

fn entry<'a>(
    member: &MemberPath<'a>,
    allowed: &mut Allowed,
    progress: &'a Progress,
) -> io::Result<Entry<'a>> {
    let attr = member.attr();
    let kind = match (&member.first, attr.kind) {
        (Some(first), _) => EntryKind::HardLink(Cow::Owned(first.clone())),
        (None, FileType::Directory) => EntryKind::Directory,
        (None, FileType::Regular) => {
            allowed.file(attr.size, member.stored())?;
            EntryKind::File(Data::Reader(Box::new(progress.count(member.content()))))
        }
        (None, FileType::Symlink) => EntryKind::Symlink(Cow::Borrowed(member.target().unwrap_or_default())),
        (None, FileType::Fifo) => EntryKind::Fifo,
        (None, FileType::Socket) => EntryKind::Socket,
        (None, FileType::CharDevice) => EntryKind::CharDevice(attr.rdev),
        (None, FileType::BlockDevice) => EntryKind::BlockDevice(attr.rdev),
    };
    Ok(Entry {
        path: Cow::Owned(member.path.clone()),
        kind,
        mode: attr.mode,
        uid: attr.uid,
        gid: attr.gid,
        mtime: attr.mtime,
        xattrs: member.xattrs().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
    })
}
