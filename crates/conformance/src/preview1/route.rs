//! Which way a call goes: through the guest, or beside it.

use vnode_core::{Errno, Result};

use super::account::Reason;
use super::trampolines::Trampolines;
use super::{CLOSED, Preview1, ROOT};
use crate::subject::{At, Handle};

/// Handles from this number on, less it, are the ones of the process beside.
const BESIDE: u32 = 1 << 30;

/// Where a call with a path goes.
pub(super) enum Way<'a> {
    /// To the guest: a descriptor and what it gives as path.
    Guest(u32, &'a [u8]),
    /// To the process beside, and why; there is no reason where somebody only looks at the tree.
    Beside(At<'a>, Option<Reason>),
}

/// Where a call with two paths goes.
pub(super) enum Ways<'a> {
    Guest((u32, &'a [u8]), (u32, &'a [u8])),
    Beside(At<'a>, At<'a>),
}

/// Where a call with a handle goes.
pub(super) enum Side {
    Guest(u32),
    Beside(Handle),
}

/// The process's own handle for one of the process beside.
pub(super) fn outer(handle: Handle) -> Handle {
    Handle(BESIDE + handle.0)
}

/// The handle of the process beside, if it is one.
fn inner(handle: Handle) -> Option<Handle> {
    (handle != Handle::NONE).then(|| handle.0.checked_sub(BESIDE).map(Handle)).flatten()
}

/// What a C library gives to the preopen `/` for an absolute path.
fn relative(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    match &path[start..] {
        [] => b".",
        rest => rest,
    }
}

/// Why a change of the name at a path can't be said, if it can't.
pub(super) fn names_root(path: &[u8]) -> Option<Reason> {
    (!path.is_empty() && path.iter().all(|byte| *byte == b'/')).then_some(Reason::Root)
}

impl Preview1 {
    fn descriptor(&self, handle: Handle) -> u32 {
        self.open.get(&handle.0).copied().unwrap_or(CLOSED)
    }

    /// What a path and its handle are to the guest, if the handle is the guest's.
    fn guest_at<'a>(&self, at: At<'a>) -> Option<(u32, &'a [u8])> {
        match at.dir {
            _ if at.path.first() == Some(&b'/') => Some((ROOT, relative(at.path))),
            None => Some((self.cwd, at.path)),
            Some(handle) => inner(handle).is_none().then(|| (self.descriptor(handle), at.path)),
        }
    }

    /// What a path and its handle are to the process beside.
    fn beside_at<'a>(&mut self, at: At<'a>) -> At<'a> {
        let dir = at.dir.map(|handle| match inner(handle) {
            Some(own) => own,
            None => match self.place(self.descriptor(handle)) {
                Some(place) => self.beside.hold(place),
                None => Handle::NONE,
            },
        });
        At { dir, path: at.path }
    }

    fn detour(&self, at: At<'_>) -> Option<Reason> {
        at.dir.and_then(|handle| self.detours.get(&handle.0)).copied()
    }

    /// The way of a call with a path; `cannot` if the ABI can't say the call.
    pub(super) fn way<'a>(&mut self, at: At<'a>, cannot: Option<Reason>) -> Result<Way<'a>> {
        self.guest()?;
        match self.guest_at(at) {
            Some((fd, path)) if cannot.is_none() => {
                self.account.goes_through();
                Ok(Way::Guest(fd, path))
            }
            guest => {
                let why = if guest.is_some() { cannot } else { self.detour(at) };
                if let Some(why) = why {
                    self.account.goes_beside(why);
                }
                Ok(Way::Beside(self.beside_at(at), why))
            }
        }
    }

    /// The same for a call that is never made through the ABI.
    pub(super) fn beside<'a>(&mut self, at: At<'a>, why: Reason) -> Result<At<'a>> {
        self.guest()?;
        self.account.goes_beside(why);
        Ok(self.beside_at(at))
    }

    /// The way of a call with two paths: a handle that is not the guest's takes both beside.
    pub(super) fn ways<'a>(&mut self, one: At<'a>, two: At<'a>, cannot: Option<Reason>) -> Result<Ways<'a>> {
        self.guest()?;
        if cannot.is_none()
            && let (Some(first), Some(second)) = (self.guest_at(one), self.guest_at(two))
        {
            self.account.goes_through();
            return Ok(Ways::Guest(first, second));
        }
        if let Some(why) = cannot.or(self.detour(one)).or(self.detour(two)) {
            self.account.goes_beside(why);
        }
        Ok(Ways::Beside(self.beside_at(one), self.beside_at(two)))
    }

    /// The side of a call with a handle.
    pub(super) fn side(&mut self, handle: Handle) -> Result<Side> {
        match inner(handle) {
            Some(own) => {
                if let Some(why) = self.detours.get(&handle.0) {
                    self.account.goes_beside(*why);
                }
                Ok(Side::Beside(own))
            }
            None => {
                self.guest()?;
                self.account.goes_through();
                Ok(Side::Guest(self.descriptor(handle)))
            }
        }
    }

    /// A handle for a call that the ABI can't say.
    ///
    /// # Errors
    /// `ENOSYS`: it is the guest's. The case can't be carried on.
    pub(super) fn beside_handle(&mut self, handle: Handle, why: Reason) -> Result<Handle> {
        match inner(handle) {
            Some(own) => {
                if self.detours.contains_key(&handle.0) {
                    self.account.goes_beside(why);
                }
                Ok(own)
            }
            None => {
                self.account.is_lost(why);
                Err(Errno::NOSYS)
            }
        }
    }

    /// Makes a call of the guest that has paths.
    pub(super) fn ask<T>(
        &mut self,
        paths: &[(u32, &[u8])],
        call: impl FnOnce(&mut Trampolines) -> Result<T>,
    ) -> Result<T> {
        let result = call(self.guest()?);
        if matches!(result, Err(Errno::NOTCAPABLE)) && paths.iter().any(|(fd, path)| self.climbs(*fd, path)) {
            self.account.is_lost(Reason::Above);
        }
        result
    }

    /// Whether a `..` of the text is reached where the path starts: the scope's one refusal of relative paths.
    fn climbs(&self, fd: u32, path: &[u8]) -> bool {
        let Some(base) = self.place(fd) else { return false };
        let mut start = 0;
        path.split(|byte| *byte == b'/').any(|component| {
            let before = &path[..start];
            start += component.len() + 1;
            component == b".." && self.beside.leads_back(&base, before)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_start_at_the_preopen() {
        assert_eq!(relative(b"/a/b/"), b"a/b/");
        assert_eq!(relative(b"//../a"), b"../a");
        assert_eq!(relative(b"//"), b".");
        assert_eq!(names_root(b"//"), Some(Reason::Root));
        assert_eq!(names_root(b""), None);
        assert_eq!(names_root(b"/."), None);
    }

    #[test]
    fn handles_tell_whose_they_are() {
        assert_eq!(inner(outer(Handle(5))), Some(Handle(5)));
        assert_eq!(inner(Handle(5)), None);
        assert_eq!(inner(Handle::NONE), None);
    }
}
