//! What a call carries: credentials, process, clock, cancellation.

use core::cell::Cell;

use smallvec::SmallVec;

use crate::attr::Timespec;
use crate::errno::{Errno, Result};

bitflags::bitflags! {
    /// What a caller may do whatever the modes say (`capabilities(7)`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Capabilities: u8 {
        /// Passes every permission check but execution of a file that nobody may execute.
        const DAC_OVERRIDE = 1 << 0;
        /// Counts as the owner of every file.
        const FOWNER = 1 << 1;
        /// Gives files to other owners and groups.
        const CHOWN = 1 << 2;
        /// Keeps set-user-id and set-group-id bits where others lose them.
        const FSETID = 1 << 3;
        /// Makes device nodes.
        const MKNOD = 1 << 4;
        /// Reads and writes `trusted.*` extended attributes, mounts.
        const SYS_ADMIN = 1 << 5;
        /// Sets the clock.
        const SYS_TIME = 1 << 6;
    }
}

/// Who calls (`credentials(7)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: SmallVec<[u32; 4]>,
    /// Capabilities.
    pub capabilities: Capabilities,
}

impl Credentials {
    /// uid 0 with every capability.
    pub fn root() -> Self {
        Credentials { uid: 0, gid: 0, groups: SmallVec::new(), capabilities: Capabilities::all() }
    }

    /// A user: every capability for uid 0, none for others.
    pub fn user(uid: u32, gid: u32, groups: &[u32]) -> Self {
        let capabilities = if uid == 0 { Capabilities::all() } else { Capabilities::empty() };
        Credentials { uid, gid, groups: SmallVec::from_slice(groups), capabilities }
    }

    /// Whether `gid` is the caller's group or one of the supplementary ones.
    pub fn in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }

    /// Whether the caller has all of `capabilities`.
    pub fn has(&self, capabilities: Capabilities) -> bool {
        self.capabilities.contains(capabilities)
    }
}

/// Where the time of a call comes from.
pub trait Clock: Send + Sync {
    /// The time of day; a coarse clock will do.
    fn now(&self) -> Timespec;
}

/// Tells a long call that its caller is gone.
pub trait Cancel: Send + Sync {
    /// Whether the call should end with `EINTR`.
    fn is_canceled(&self) -> bool;
}

/// What every call of a filesystem carries.
///
/// A value belongs to one guest call: the clock is read at most once, so all timestamps that the call sets agree.
pub struct Cx<'a> {
    credentials: &'a Credentials,
    clock: &'a dyn Clock,
    now: Cell<Option<Timespec>>,
    pid: u32,
    cancel: Option<&'a dyn Cancel>,
    keep_atime: bool,
    sees_guards: bool,
}

impl<'a> Cx<'a> {
    /// A call by `credentials` at the time that `clock` tells.
    pub fn new(credentials: &'a Credentials, clock: &'a dyn Clock) -> Self {
        Cx {
            credentials,
            clock,
            now: Cell::new(None),
            pid: 0,
            cancel: None,
            keep_atime: false,
            sees_guards: false,
        }
    }

    /// The same with the id of the calling process.
    pub fn with_pid(mut self, pid: u32) -> Self {
        self.pid = pid;
        self
    }

    /// The same with something that can cancel it.
    pub fn with_cancel(mut self, cancel: &'a dyn Cancel) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// The same call, leaving access times as they are (`O_NOATIME`, a read-only mount).
    pub fn keeping_atime(&self) -> Cx<'a> {
        Cx { keep_atime: true, ..self.again() }
    }

    /// The same call by a filesystem that copies files of another one: it is shown what guards them there, which callers
    /// may not see: access control lists (`system.posix_acl_*`) and capabilities of programs (`security.capability`).
    /// Never for what a guest asks for itself.
    pub fn seeing_guards(&self) -> Cx<'a> {
        Cx { sees_guards: true, ..self.again() }
    }

    fn again(&self) -> Cx<'a> {
        Cx {
            credentials: self.credentials,
            clock: self.clock,
            now: self.now.clone(),
            pid: self.pid,
            cancel: self.cancel,
            keep_atime: self.keep_atime,
            sees_guards: self.sees_guards,
        }
    }

    /// Who calls.
    pub fn credentials(&self) -> &'a Credentials {
        self.credentials
    }

    /// The process that calls; 0 if there is none.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The time of the call: read once, when first asked.
    pub fn now(&self) -> Timespec {
        match self.now.get() {
            Some(now) => now,
            None => {
                let now = self.clock.now();
                self.now.set(Some(now));
                now
            }
        }
    }

    /// Whether reads leave the access time.
    pub fn keeps_atime(&self) -> bool {
        self.keep_atime
    }

    /// Whether lists and capabilities that callers may not see are shown ([`Cx::seeing_guards`]).
    pub fn sees_guards(&self) -> bool {
        self.sees_guards
    }

    /// Ends a long call whose caller is gone.
    ///
    /// # Errors
    /// `EINTR`: canceled.
    pub fn check_canceled(&self) -> Result<()> {
        match self.cancel {
            Some(cancel) if cancel.is_canceled() => Err(Errno::INTR),
            _ => Ok(()),
        }
    }
}
