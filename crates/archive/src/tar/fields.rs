//! The numbers of a header. A field that is empty, which is one of NULs or of blanks, is 0: so GNU tar writes what it
//! has no number for (`from_header` in its `list.c` reads NULs so, and Python's `tarfile` blanks too).

use std::io;

use tar::Header;

pub(super) fn mode(header: &Header) -> io::Result<u32> {
    or_zero(&header.as_old().mode, || header.mode())
}

pub(super) fn uid(header: &Header) -> io::Result<u64> {
    or_zero(&header.as_old().uid, || header.uid())
}

pub(super) fn gid(header: &Header) -> io::Result<u64> {
    or_zero(&header.as_old().gid, || header.gid())
}

pub(super) fn mtime(header: &Header) -> io::Result<u64> {
    or_zero(&header.as_old().mtime, || header.mtime())
}

/// Bytes that stand behind the header.
pub(super) fn size(header: &Header) -> io::Result<u64> {
    or_zero(&header.as_old().size, || header.entry_size())
}

/// Major and minor of a device; 0 where the format has none.
pub(super) fn device(header: &Header) -> io::Result<(u32, u32)> {
    let (major, minor) = match (header.as_ustar(), header.as_gnu()) {
        (Some(header), _) => (&header.dev_major, &header.dev_minor),
        (_, Some(header)) => (&header.dev_major, &header.dev_minor),
        _ => return Ok((0, 0)),
    };
    let major = or_zero(major, || Ok(header.device_major()?.unwrap_or_default()))?;
    let minor = or_zero(minor, || Ok(header.device_minor()?.unwrap_or_default()))?;
    Ok((major, minor))
}

/// What `read` makes of a field, unless that is empty.
fn or_zero<T: Default>(field: &[u8], read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let mut text = field.iter().take_while(|&&byte| byte != 0);
    if text.all(u8::is_ascii_whitespace) { Ok(T::default()) } else { read() }
}
