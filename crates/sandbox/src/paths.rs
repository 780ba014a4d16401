//! Paths from a view's root: they start with `/`, that of the root is empty, and no name in them is `.` or `..`.

/// Whether a path is a directory's or below it.
pub(crate) fn is_in(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The directory that a path is in, and the name there; nothing of the root.
pub(crate) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = path.iter().rposition(|&byte| byte == b'/')?;
    Some((path.get(..slash)?, path.get(slash + 1..)?))
}

/// The directory that a path is in; that of the root is the root.
pub(crate) fn above(path: &[u8]) -> &[u8] {
    split(path).map_or(b"", |(dir, _)| dir)
}

/// The directories that a path is in, the nearest first and the root last.
pub(crate) fn all_above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::successors(split(path).map(|(dir, _)| dir), |dir| split(dir).map(|(above, _)| above))
}

/// The names of a path.
pub(crate) fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !name.is_empty())
}

/// A path in a message.
pub(crate) fn shown(path: &[u8]) -> String {
    if path.is_empty() {
        return "/".to_owned();
    }
    let text = String::from_utf8_lossy(path);
    text.chars()
        .map(|char| if char.is_control() { char.escape_debug().to_string() } else { char.into() })
        .collect()
}

/// The order of paths in which a directory comes before what is in it, and that before what comes after the directory.
pub(crate) fn by_names(one: &[u8], other: &[u8]) -> core::cmp::Ordering {
    names(one).cmp(names(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        assert_eq!(split(b"/a/b"), Some((&b"/a"[..], &b"b"[..])));
        assert_eq!(split(b"/a"), Some((&b""[..], &b"a"[..])));
        assert_eq!((split(b""), above(b"")), (None, &b""[..]));
        let all: Vec<_> = all_above(b"/a/b/c").collect();
        assert_eq!(all, [&b"/a/b"[..], b"/a", b""]);
        assert_eq!(all_above(b"").count(), 0);
        assert!(is_in(b"/a/b", b"/a") && is_in(b"/a", b"/a") && is_in(b"/a", b"") && !is_in(b"/ab", b"/a"));
        let mut paths = [&b"/a-/x"[..], b"/a/x", b"/a", b"/a-"];
        paths.sort_by(|one, other| by_names(one, other));
        assert_eq!(paths, [&b"/a"[..], b"/a/x", b"/a-", b"/a-/x"]);
    }
}
