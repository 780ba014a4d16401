//! Whiteouts in the layers of container images, as the OCI's image specification has them ("Layer Filesystem Changeset"):
//! a file `.wh.NAME` hides NAME of the layers below, and `.wh..wh..opq` all of what is below its directory. Here they
//! become what Linux's overlayfs and `vnode-overlay` understand in a lower: a character device 0:0 of that name, and an
//! attribute of the directory.

use crate::error::PathProblem;

/// What every whiteout's name begins with.
pub(crate) const PREFIX: &[u8] = b".wh.";
/// What else AUFS kept beside whiteouts, whose format this was.
const RESERVED: &[u8] = b".wh..wh.";
const OPAQUE_NAME: &[u8] = b".wh..wh..opq";

/// The attributes of a directory through which nothing shows that is below. Which of both is looked at is for whoever
/// mounts the overlay to say.
pub(crate) const OPAQUE: [&[u8]; 2] = [b"trusted.overlay.opaque", b"user.overlay.opaque"];

/// What a whiteout says of the directory that it is in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Whiteout {
    /// Nothing below shows through it.
    Opaque,
    /// Nothing below has this name.
    Name(Box<[u8]>),
}

/// What a member's last name says, if it is a whiteout's.
///
/// # Errors
/// [`PathProblem::Whiteout`]: it hides no name.
pub(crate) fn whiteout(name: &[u8]) -> Result<Option<Whiteout>, PathProblem> {
    if name == OPAQUE_NAME {
        return Ok(Some(Whiteout::Opaque));
    }
    match name.strip_prefix(PREFIX) {
        None => Ok(None),
        Some(b"" | b"." | b"..") => Err(PathProblem::Whiteout),
        Some(hidden) => Ok(Some(Whiteout::Name(hidden.into()))),
    }
}

/// Whether a name is one that AUFS kept for itself: what is there is no content.
pub(crate) fn is_left_out(name: &[u8]) -> bool {
    name.starts_with(RESERVED) && name != OPAQUE_NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        assert_eq!(whiteout(b"name"), Ok(None));
        assert_eq!(whiteout(b".wh"), Ok(None));
        assert_eq!(whiteout(b".wh.name"), Ok(Some(Whiteout::Name(b"name".as_slice().into()))));
        assert_eq!(whiteout(b".wh..wh..opq"), Ok(Some(Whiteout::Opaque)));
        for none in [&b".wh."[..], b".wh..", b".wh..."] {
            assert_eq!(whiteout(none), Err(PathProblem::Whiteout));
        }
        assert!(is_left_out(b".wh..wh.plnk") && !is_left_out(b".wh..wh..opq") && !is_left_out(b".wh.a"));
    }
}
