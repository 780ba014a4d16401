//! Extended attributes that tell what an inode is to the overlay, as Linux's overlayfs has them.

use std::collections::VecDeque;
use std::sync::Arc;

use vnode_core::fs::{Filesystem, SetXattr};
use vnode_core::{Attr, Cx, Errno, FileType, FilesystemRef, Name, Result, Timespec};

use crate::layers::{LayerNumber, Real, at};
use crate::leave::with_leave;
use crate::work::names_in;

/// The namespace of the overlay's extended attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// `trusted.overlay.*`, which on Linux only root can set.
    Trusted,
    /// `user.overlay.*`, as with Linux's mount option `userxattr`. Symbolic links and special files can't carry them.
    User,
}

/// Of which kind the layer is that has a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Upper,
    /// An upper of before.
    Frozen,
    Lower,
}

/// How many names of an upper are looked at for marks.
const LOOKS: usize = 4096;

/// The namespaces' names, either of which is hidden whichever is used.
const PREFIXES: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// Whether an extended attribute is an overlay's own, which nobody but an overlay reads or writes.
pub(crate) fn is_private(name: &[u8]) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix) || name == &prefix[..prefix.len() - 1])
}

/// The origin's mark as Linux lays a file handle out (`struct ovl_fh`): version, magic, length, flags, type, uuid, and
/// what the type says: here the layer, the device and the number of the inode, and when it was made.
const ORIGIN_HEAD: usize = 21;
const ORIGIN_ID: usize = ORIGIN_HEAD + 17;
const ORIGIN_LEN: usize = ORIGIN_ID + 12;
const ORIGIN_VERSION: u8 = 0;
const ORIGIN_MAGIC: u8 = 0xfb;
/// `OVL_FH_FLAG_ANY_ENDIAN`.
const ORIGIN_FLAGS: u8 = 1 << 1;
/// A type of file handles that no filesystem of Linux has.
const ORIGIN_TYPE: u8 = 0xfe;
/// Told apart from Linux's own by this "uuid of the filesystem", which is none's: Linux then knows of no origin.
const ORIGIN_UUID: [u8; 16] = *b"vnode overlay id";
/// The nanoseconds of no time.
const NO_TIME: u32 = u32::MAX;

/// Where an inode of the upper was copied from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) layer: LayerNumber,
    /// 0: the one that the layer's root is on.
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    /// When it was made, where that is known.
    pub(crate) btime: Option<Timespec>,
}

impl Origin {
    /// An inode of a lower.
    pub(crate) fn of(layer: LayerNumber, attr: &Attr) -> Self {
        Origin { layer, dev: attr.dev, ino: attr.ino, btime: attr.btime }
    }

    fn encode(self) -> Vec<u8> {
        let head = [ORIGIN_VERSION, ORIGIN_MAGIC, ORIGIN_LEN as u8, ORIGIN_FLAGS, ORIGIN_TYPE];
        let btime = self.btime.unwrap_or(Timespec { sec: 0, nsec: NO_TIME });
        [
            &head[..],
            &ORIGIN_UUID,
            &[self.layer],
            &self.dev.to_be_bytes(),
            &self.ino.to_be_bytes(),
            &btime.sec.to_be_bytes(),
            &btime.nsec.to_be_bytes(),
        ]
        .concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (layer, rest) = bytes.get(ORIGIN_HEAD..)?.split_first()?;
        let (dev, rest) = rest.split_first_chunk()?;
        let (ino, rest) = rest.split_first_chunk()?;
        let (sec, nsec) = rest.split_first_chunk()?;
        let nsec = u32::from_be_bytes(nsec.try_into().ok()?);
        let btime = Timespec { sec: i64::from_be_bytes(*sec), nsec };
        let btime = (nsec < 1_000_000_000).then_some(btime);
        let origin =
            Origin { layer: *layer, dev: u64::from_be_bytes(*dev), ino: u64::from_be_bytes(*ino), btime };
        (origin.encode() == bytes && origin.layer > 0).then_some(origin)
    }

    /// The name that its copy has in the index: the mark's bytes up to the number in hexadecimal, as Linux names them.
    pub(crate) fn index_name(self) -> Vec<u8> {
        let bytes = self.encode();
        bytes.iter().take(ORIGIN_ID).flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
    }
}

/// The mark of the origin besides one in Linux's way.
const OURS: &str = "vnode";

/// What is said of where an inode was copied from.
pub(crate) struct OriginMark {
    /// By an overlay of vnode's.
    pub(crate) origin: Option<Origin>,
    /// In Linux's way.
    pub(crate) linux: Option<Arc<[u8]>>,
}

/// The mark of files without content.
const METACOPY: &str = "metacopy";

/// What the mark of opaque directories says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Opaque {
    /// What is below shows through.
    #[default]
    No,
    /// Nothing below shows through.
    Yes,
    /// What is below shows through, and regular files here may be whiteouts.
    XattrWhiteouts,
}

impl Opaque {
    fn of(value: Option<&[u8]>) -> Self {
        match value {
            Some(b"y") => Opaque::Yes,
            Some(b"x") => Opaque::XattrWhiteouts,
            _ => Opaque::No,
        }
    }
}

impl Marks {
    /// In the order in which they are tried.
    pub(crate) const ALL: [Marks; 2] = [Marks::Trusted, Marks::User];

    /// The marks of an upper: those that are told or that it has already, else the first that it can carry.
    ///
    /// # Errors
    /// `EPERM`: it has `trusted.*`, which this process can neither set nor see: what they tell would be lost.
    /// `EOPNOTSUPP`: it can't carry them, or none. Others of the upper.
    pub(crate) fn choose(
        cx: &Cx<'_>,
        fs: &FilesystemRef,
        root: &Real,
        work: &Real,
        told: Option<Marks>,
    ) -> Result<Self> {
        let known = match told {
            Some(marks) => Some(marks),
            // One that Linux's overlayfs made tells by what is in it.
            None => Marks::seen(cx, Whose::Upper, fs, root)?,
        };
        for marks in Marks::ALL.into_iter().filter(|marks| known.is_none_or(|known| known == *marks)) {
            if marks.can_be_carried(cx, fs, work)? {
                return Ok(marks);
            }
        }
        Err(if known == Some(Marks::Trusted) { Errno::PERM } else { Errno::OPNOTSUPP })
    }

    /// The marks that something has of what is in an upper, as far as it is looked through.
    pub(crate) fn seen(cx: &Cx<'_>, whose: Whose, fs: &FilesystemRef, root: &Real) -> Result<Option<Self>> {
        let mut left = VecDeque::from([Arc::clone(root)]);
        let mut looks = LOOKS;
        while let Some(inode) = left.pop_front() {
            let mut found = None;
            let lifted = [&inode];
            let lifted = if whose == Whose::Upper { &lifted[..] } else { &[] };
            let listed = with_leave(cx, fs, lifted, || {
                let mut names = Vec::new();
                fs.list_xattr(cx, &inode, &mut |name| names.push(Box::<[u8]>::from(name))).map(|()| names)
            });
            for name in listed.unwrap_or_default() {
                found = found.or(Marks::ALL.into_iter().find(|marks| name.starts_with(marks.prefix())));
            }
            if found.is_some() {
                return Ok(found);
            }
            if !inode.kind().is_dir() {
                continue;
            }
            for name in with_leave(cx, fs, lifted, || names_in(cx, fs, &inode))? {
                looks -= 1;
                if looks == 0 {
                    return Ok(None);
                }
                left.push_back(fs.lookup(cx, at(&inode, Name::new(&name)?))?);
            }
        }
        Ok(None)
    }

    /// Whether the upper can carry them, and they are seen.
    fn can_be_carried(self, cx: &Cx<'_>, fs: &FilesystemRef, dir: &Real) -> Result<bool> {
        match self.write(cx, fs, dir, "probe", b"y") {
            Ok(()) => {
                let seen = self.try_read(cx, fs, dir, "probe")?.is_some();
                fs.remove_xattr(cx, dir, &self.name("probe")).map(|()| seen)
            }
            Err(Errno::OPNOTSUPP | Errno::PERM) => Ok(false),
            // It would be, if there were room.
            Err(Errno::NOSPC | Errno::DQUOT) => Ok(true),
            Err(errno) => Err(errno),
        }
    }

    /// The word for it in `meta`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Marks::Trusted => "trusted",
            Marks::User => "user",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Marks::ALL.into_iter().find(|marks| marks.word() == word)
    }

    fn prefix(self) -> &'static [u8] {
        match self {
            Marks::Trusted => PREFIXES[0],
            Marks::User => PREFIXES[1],
        }
    }

    fn name(self, mark: &str) -> Vec<u8> {
        [self.prefix(), mark.as_bytes()].concat()
    }

    fn try_read(
        self,
        cx: &Cx<'_>,
        fs: &FilesystemRef,
        inode: &Real,
        mark: &str,
    ) -> Result<Option<Arc<[u8]>>> {
        match fs.get_xattr(cx, inode, &self.name(mark)) {
            Ok(value) => Ok(Some(value)),
            // What can't have such an attribute has none.
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// A mark. What forbids to look at it has none in a lower. In an upper of before only a directory can't do without:
    /// what is below would be lost.
    fn read(
        self,
        cx: &Cx<'_>,
        whose: Whose,
        fs: &FilesystemRef,
        inode: &Real,
        mark: &str,
    ) -> Result<Option<Arc<[u8]>>> {
        let read = || self.try_read(cx, fs, inode, mark);
        let can_do_without = match whose {
            Whose::Upper => return with_leave(cx, fs, &[inode], read),
            Whose::Frozen => !inode.kind().is_dir(),
            Whose::Lower => true,
        };
        match read() {
            Err(Errno::ACCES) if can_do_without => Ok(None),
            read => read,
        }
    }

    fn write(self, cx: &Cx<'_>, fs: &FilesystemRef, inode: &Real, mark: &str, value: &[u8]) -> Result<()> {
        let name = self.name(mark);
        with_leave(cx, fs, &[inode], || fs.set_xattr(cx, inode, &name, value, SetXattr::Any))
    }

    /// Whether a directory is opaque.
    pub(crate) fn opaque(self, cx: &Cx<'_>, whose: Whose, fs: &FilesystemRef, dir: &Real) -> Result<Opaque> {
        Ok(Opaque::of(self.read(cx, whose, fs, dir, "opaque")?.as_deref()))
    }

    /// Lets what is below show through a directory of the upper again.
    pub(crate) fn clear_opaque(self, cx: &Cx<'_>, fs: &FilesystemRef, dir: &Real) -> Result<()> {
        self.clear(cx, fs, dir, "opaque")
    }

    /// What is below a directory of the upper stands under its name again.
    pub(crate) fn clear_redirect(self, cx: &Cx<'_>, fs: &FilesystemRef, dir: &Real) -> Result<()> {
        self.clear(cx, fs, dir, "redirect")
    }

    fn clear(self, cx: &Cx<'_>, fs: &FilesystemRef, inode: &Real, mark: &str) -> Result<()> {
        let name = self.name(mark);
        match with_leave(cx, fs, &[inode], || fs.remove_xattr(cx, inode, &name)) {
            Err(Errno::NODATA) => Ok(()),
            cleared => cleared,
        }
    }

    /// Makes a directory opaque.
    pub(crate) fn set_opaque(self, cx: &Cx<'_>, fs: &FilesystemRef, dir: &Real) -> Result<()> {
        self.write(cx, fs, dir, "opaque", b"y")
    }

    /// Where what is below a directory stands, if not under its name.
    pub(crate) fn redirect(
        self,
        cx: &Cx<'_>,
        whose: Whose,
        fs: &FilesystemRef,
        dir: &Real,
    ) -> Result<Option<Arc<[u8]>>> {
        Ok(self.read(cx, whose, fs, dir, "redirect")?.filter(|path| !path.is_empty()))
    }

    /// Says where what is below a directory stands: a path from the lowers' roots.
    pub(crate) fn set_redirect(self, cx: &Cx<'_>, fs: &FilesystemRef, dir: &Real, path: &[u8]) -> Result<()> {
        self.write(cx, fs, dir, "redirect", path)
    }

    /// Where an inode was copied from, if an overlay of vnode's did it.
    ///
    /// # Errors
    /// `EIO`: Linux's overlayfs copied a file up without its content (`metacopy=on`), of which only a file handle of the
    /// kernel's tells where it is.
    pub(crate) fn origin(
        self,
        cx: &Cx<'_>,
        whose: Whose,
        fs: &FilesystemRef,
        inode: &Real,
    ) -> Result<OriginMark> {
        let mark = self.read(cx, whose, fs, inode, "origin")?;
        let mut origin = mark.as_deref().and_then(Origin::decode);
        let linux = mark.filter(|_| origin.is_none());
        if linux.is_some() {
            origin = self.read(cx, whose, fs, inode, OURS)?.as_deref().and_then(Origin::decode);
        }
        let whole = origin.is_some() || inode.kind() != FileType::Regular;
        if !whole && self.read(cx, whose, fs, inode, METACOPY)?.is_some() {
            return Err(Errno::IO);
        }
        Ok(OriginMark { origin, linux })
    }

    /// Says the same in Linux's way, and our own besides.
    pub(crate) fn set_origin_for_linux(
        self,
        cx: &Cx<'_>,
        fs: &FilesystemRef,
        inode: &Real,
        origin: Origin,
        linux: &[u8],
    ) -> Result<()> {
        self.write(cx, fs, inode, OURS, &origin.encode())?;
        self.write(cx, fs, inode, "origin", linux)
    }

    /// Checks that a file of a lower has its content. One that Linux's overlayfs made without has nothing but a hole, so
    /// others aren't asked.
    ///
    /// # Errors
    /// `EIO`: as [`Marks::origin`].
    pub(crate) fn check_content(
        self,
        cx: &Cx<'_>,
        fs: &FilesystemRef,
        inode: &Real,
        attr: &Attr,
    ) -> Result<()> {
        let has_holes = attr.kind == FileType::Regular && attr.blocks.saturating_mul(512) < attr.size;
        if has_holes && self.read(cx, Whose::Lower, fs, inode, METACOPY)?.is_some() {
            return Err(Errno::IO);
        }
        Ok(())
    }

    /// Says where an inode was copied from; tells whether it can carry that.
    pub(crate) fn set_origin(
        self,
        cx: &Cx<'_>,
        fs: &FilesystemRef,
        inode: &Real,
        origin: Origin,
    ) -> Result<bool> {
        match self.write(cx, fs, inode, "origin", &origin.encode()) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::PERM) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// How many names an inode has more than the upper counts, that Linux's overlayfs put into its index. What it says
    /// otherwise than by the upper's count is told too high, for which nothing is lost.
    pub(crate) fn more_names_of_linux(
        self,
        cx: &Cx<'_>,
        whose: Whose,
        fs: &FilesystemRef,
        inode: &Real,
    ) -> Result<i64> {
        let said = self.read(cx, whose, fs, inode, "nlink")?;
        // That in the index is no name of it.
        Ok(if said.is_some() { self.more_names(cx, whose, fs, inode)?.unwrap_or(0) } else { -1 })
    }

    /// How many names an inode has more than the upper counts.
    pub(crate) fn more_names(
        self,
        cx: &Cx<'_>,
        whose: Whose,
        fs: &FilesystemRef,
        inode: &Real,
    ) -> Result<Option<i64>> {
        let value = self.read(cx, whose, fs, inode, "nlink")?;
        let text = value.as_deref().and_then(|value| value.strip_prefix(b"U"));
        Ok(text.and_then(|text| core::str::from_utf8(text).ok()?.parse().ok()))
    }

    /// Says how many names an inode has more than the upper counts.
    pub(crate) fn set_more_names(
        self,
        cx: &Cx<'_>,
        fs: &FilesystemRef,
        inode: &Real,
        more: i64,
    ) -> Result<()> {
        match self.write(cx, fs, inode, "nlink", format!("U{more:+}").as_bytes()) {
            // It is not kept over runs then.
            Err(Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
            written => written,
        }
    }

    /// Whether a regular file of a lower's directory that has such is a whiteout.
    pub(crate) fn is_whiteout(self, cx: &Cx<'_>, fs: &FilesystemRef, inode: &Real) -> Result<bool> {
        Ok(self.read(cx, Whose::Lower, fs, inode, "whiteout")?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_as_it_was_written() {
        let btime = Some(Timespec { sec: -3, nsec: 999_999_999 });
        for btime in [None, btime] {
            let origin = Origin { layer: 2, dev: 1 << 63 | 5, ino: 0x1234_5678_9abc, btime };
            assert_eq!(Origin::decode(&origin.encode()), Some(origin));
            assert_eq!(origin.index_name().len(), 2 * ORIGIN_ID);
            for len in 0..ORIGIN_LEN {
                assert_eq!(Origin::decode(&origin.encode()[..len]), None);
            }
            let mut of_linux = origin.encode();
            of_linux[4] = 1;
            assert_eq!(Origin::decode(&of_linux), None);
        }
    }

    #[test]
    fn either_prefix_is_private() {
        for name in ["trusted.overlay.opaque", "user.overlay.x", "user.overlay."] {
            assert!(is_private(name.as_bytes()), "{name}");
        }
        for name in ["user.overlays", "user.x", "trusted.overlai.x"] {
            assert!(!is_private(name.as_bytes()), "{name}");
        }
    }
}
