//! A run in a sandbox, and what is told at the end of any run that changed something.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vnode_adapt::Keep;
use vnode_core::Cx;
use vnode_sandbox::encoded::{decode, encode};
use vnode_sandbox::{Change, Sandbox, Store, View, as_root};

use super::failure;
use crate::diff::{self, MountChanges};
use crate::emulation;
use crate::failure::{Failure, say};
use crate::mounts::{Given, GuestPath, Kind, Lower, Mount};
use crate::options::Run;

/// What of a sandbox's namespace only this command knows: kept with it, as options.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    mounts: Vec<Spelled>,
}

/// An option as it was given, and the directory from which its relative paths start.
#[derive(Debug, Serialize, Deserialize)]
struct Spelled {
    option: String,
    value: String,
    directory: String,
}

/// The sandbox of a run, if it has one.
#[derive(Debug)]
pub(crate) struct Session {
    kept: Option<Kept>,
    mounts: Vec<Mount>,
    /// What was added to a sandbox for this run, until it is known that it can be.
    added: Option<Added>,
}

/// What a sandbox has more than before.
#[derive(Debug)]
struct Added {
    guests: Vec<Vec<u8>>,
    /// What was kept with it before.
    note: serde_json::Value,
}

#[derive(Debug)]
struct Kept {
    sandbox: Sandbox,
    name: String,
    /// When nobody knows it yet: when it gets its name.
    named: Named,
    /// Whether it is made by this run.
    is_new: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Already,
    AtStart,
    AtEnd,
}

/// An overlay of the guest's, to be looked at when that has ended.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) guest: GuestPath,
    pub(crate) view: View,
    /// Where its changes are kept, if that is no sandbox.
    pub(crate) upper: Option<PathBuf>,
}

impl Session {
    /// Opens the sandbox that is asked for, or makes one that gets its name later.
    ///
    /// # Errors
    /// It is in use or damaged, there is nothing that it could show, or it shows something else.
    pub(crate) fn begin(options: &Run, mounts: &[Mount]) -> Result<Session, Failure> {
        let Some((name, named)) = asked(options) else {
            return Ok(Session { kept: None, mounts: mounts.to_vec(), added: None });
        };
        let store = Store::of_user().map_err(failure)?;
        let here = std::env::current_dir()
            .map_err(|error| Failure::setup(format!("can't tell the current directory: {error}")))?;
        let given: Vec<Mount> = mounts.iter().map(|mount| mount.clone().started_from(&here)).collect();
        if let Some(mount) = given.iter().find(|mount| mount.upper.is_some()) {
            return Err(Failure::setup(format!(
                "{}: a sandbox keeps the changes of all overlays; leave upper= out",
                mount.option
            )));
        }
        let kept = if named != Named::AtEnd && store.has(&name) {
            let sandbox = store.open(&name).map_err(failure)?;
            sandbox.check_applied().map_err(failure)?;
            Kept { sandbox, name, named: Named::Already, is_new: false }
        } else if store.has(&name) {
            return Err(failure(vnode_sandbox::StoreError::Exists { name }));
        } else {
            store.check_name(&name).map_err(failure)?;
            let overlays: Vec<_> = given.iter().filter_map(|mount| shown(mount, options)).collect();
            if overlays.is_empty() {
                return Err(Failure::setup(format!(
                    "there is no sandbox {name} yet; say what it is to show: --overlay . for this directory"
                )));
            }
            Kept { sandbox: store.prepare(overlays).map_err(failure)?, name, named, is_new: true }
        };
        Session::open(kept, given, options, &here)
    }

    /// Puts together what the sandbox shows and what is added to it.
    fn open(mut kept: Kept, given: Vec<Mount>, options: &Run, here: &Path) -> Result<Session, Failure> {
        let mut remembered = Remembered::of(kept.sandbox.note());
        let mut mounts = remembered.parse(&kept)?;
        for mount in kept.sandbox.mounts() {
            let kept = Mount::of_sandbox(mount).map_err(Failure::setup)?;
            match mounts.iter_mut().find(|there| there.guest.absolute() == mount.guest) {
                // Where a path led when it was made, it leads now.
                Some(there) => (there.lowers, there.emulate) = (kept.lowers, there.emulate.or(kept.emulate)),
                None => mounts.push(kept),
            }
        }
        if kept.named != Named::Already {
            mounts.clear();
        }
        let note = kept.sandbox.note().clone();
        let mut session =
            Session { kept: None, mounts: Vec::new(), added: Some(Added { guests: Vec::new(), note }) };
        // Before anything is added.
        for mount in &given {
            let there = mounts.iter().find(|there| there.guest.absolute() == mount.guest.absolute());
            if let Some(there) = there.filter(|there| !there.is_like(mount)) {
                return Err(Failure::setup(format!(
                    "{}: sandbox {} has {} there; give another place, or leave it out",
                    mount.option, kept.name, there.option
                )));
            }
        }
        for mount in given {
            if mounts.iter().any(|there| there.guest.absolute() == mount.guest.absolute()) {
                continue;
            }
            if let Some(overlay) = shown(&mount, options).filter(|_| kept.named == Named::Already) {
                let guest = overlay.guest.clone();
                kept.sandbox.add(overlay).map_err(failure)?;
                session.added.iter_mut().for_each(|added| added.guests.push(guest.clone()));
            }
            remembered.mounts.extend(mount.given.as_ref().map(|given| Spelled::new(given, here)));
            mounts.push(mount);
        }
        let note = serde_json::to_value(&remembered).unwrap_or_default();
        if note != *kept.sandbox.note() {
            kept.sandbox.set_note(note).map_err(failure)?;
        }
        for (of_sandbox, (upper, frozen)) in kept.sandbox.mounts().zip(kept.sandbox.directories()) {
            let overlay = mounts.iter_mut().find(|mount| mount.guest.absolute() == of_sandbox.guest);
            if let Some(mount) = overlay.filter(|mount| mount.kind == Kind::Overlay) {
                (mount.upper, mount.frozen, mount.is_kept) = (Some(upper), frozen, true);
            }
        }
        (session.kept, session.mounts) = (Some(kept), mounts);
        Ok(session)
    }

    /// What the guest is to see.
    pub(crate) fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// Says that the guest starts now: nothing was wrong.
    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        self.added = None;
        let Some(kept) = &mut self.kept else { return Ok(()) };
        kept.sandbox.note_use().map_err(failure)?;
        if kept.named == Named::AtStart {
            kept.sandbox.publish(&kept.name).map_err(failure)?;
            kept.named = Named::Already;
        }
        Ok(())
    }

    /// Tells what was changed, when the guest has ended.
    pub(crate) fn end(mut self, views: &[Changed], options: &Run) {
        if let Err(error) = self.keep() {
            say(error);
        }
        let changes: Vec<(&Changed, Vec<Change>)> = views
            .iter()
            .filter_map(|changed| match as_root(|cx| changed.view.changes(cx)) {
                Ok(changes) => Some((changed, changes)),
                Err(errno) => {
                    say(format_args!("can't tell what was changed in {}: {errno}", changed.guest));
                    None
                }
            })
            .collect();
        if let Some(form) = options.diff {
            self.show(&changes, form);
        }
        if !options.quiet {
            self.sum_up(&changes);
        }
    }

    /// Gives a sandbox that is made of this run its name.
    fn keep(&mut self) -> Result<(), Failure> {
        let Some(kept) = self.kept.as_mut().filter(|kept| kept.named == Named::AtEnd) else { return Ok(()) };
        kept.sandbox.publish(&kept.name).map_err(failure)?;
        kept.named = Named::Already;
        Ok(())
    }

    fn show(&self, changes: &[(&Changed, Vec<Change>)], form: diff::Form) {
        let mounts: Vec<MountChanges<'_>> = changes
            .iter()
            .map(|(changed, changes)| MountChanges { mount: changed.guest.absolute(), changes })
            .collect();
        let options = diff::DiffOptions { form, ..diff::DiffOptions::default() };
        // What the guest writes to stdout is its own.
        let shown = as_root(|cx: &Cx<'_>| super::tell(cx, &mounts, &options, super::Output::Stderr));
        if let Err(error) = shown {
            say(error);
        }
    }

    fn sum_up(&self, changes: &[(&Changed, Vec<Change>)]) {
        // One line for all that is kept in one place.
        let mut places: Vec<(Option<&PathBuf>, Vec<&Change>)> = Vec::new();
        for (changed, changes) in changes.iter().filter(|(_, changes)| !changes.is_empty()) {
            let place = changed.upper.as_ref().filter(|_| self.kept.is_none());
            match places.iter_mut().find(|(other, _)| *other == place) {
                Some((_, all)) => all.extend(changes),
                None => places.push((place, changes.iter().collect())),
            }
        }
        if let (Some(Kept { name, .. }), true) =
            (self.kept.as_ref().filter(|kept| kept.is_new), places.is_empty())
        {
            say(format_args!("sandbox {name} is kept; nothing was changed in it"));
        }
        for (place, changes) in places {
            let summary = diff::summary(changes);
            match (place, &self.kept) {
                (_, Some(Kept { name, .. })) => say(format_args!(
                    "{summary}; kept in sandbox {name} (vnode sandbox diff {name} shows it, apply brings it to the host)"
                )),
                (Some(upper), None) => {
                    say(format_args!("{summary}; kept in {}", vnode_cli::text::shown(upper.as_os_str())));
                }
                (None, None) => say(format_args!("{summary}; nothing of it is kept (--keep NAME keeps it)")),
            }
        }
    }
}

/// The sandbox's name, and when it gets it.
fn asked(options: &Run) -> Option<(String, Named)> {
    let sandbox = options.sandbox.clone().map(|name| (name, Named::AtStart));
    sandbox.or_else(|| options.keep.clone().map(|name| (name, Named::AtEnd)))
}

/// What a sandbox is to show of a mount; nothing of one that is no overlay.
fn shown(mount: &Mount, options: &Run) -> Option<vnode_sandbox::Mount> {
    if mount.kind != Kind::Overlay {
        return None;
    }
    let lowers = mount.lowers.iter().map(|lower| match lower {
        Lower::Directory(path) => vnode_sandbox::Lower::Directory(path.clone()),
        Lower::Image(path) => vnode_sandbox::Lower::Archive { path: path.clone(), layer: mount.oci },
    });
    Some(vnode_sandbox::Mount {
        guest: mount.guest.absolute().to_vec(),
        lowers: lowers.collect(),
        one_mount: mount.one_mount,
        emulate_symlinks: emulation::keep(options, mount) == Some(Keep::HiddenFiles),
        user_xattr: mount.user_xattr,
        max_bytes: mount.size.unwrap_or_default(),
        max_inodes: mount.inodes.unwrap_or_default(),
    })
}

impl Drop for Session {
    fn drop(&mut self) {
        // The guest wasn't started: something of it can't be.
        let (Some(added), Some(kept)) = (self.added.take(), &mut self.kept) else { return };
        for guest in added.guests {
            let _ = kept.sandbox.remove(&guest);
        }
        let _ = kept.sandbox.set_note(added.note);
    }
}

/// The mounts that a sandbox has besides what it shows, as they were given.
pub(super) fn other_mounts(note: &serde_json::Value, shown: &[vnode_sandbox::Mount]) -> Vec<String> {
    let parsed = Remembered::of(note).mounts;
    let parsed = parsed.iter().filter_map(|spelled| Some((spelled.parse()?, decode(&spelled.directory)?)));
    let others = parsed.filter(|(mount, _)| shown.iter().all(|of| of.guest != mount.guest.absolute()));
    let line = |(mount, directory): (Mount, Vec<u8>)| {
        let from = vnode_cli::text::shown(std::ffi::OsStr::from_bytes(&directory));
        format!("{}, from {from}", mount.option)
    };
    others.map(line).collect()
}

/// Takes a mount away; tells whether it was there.
pub(super) fn unmount(sandbox: &mut Sandbox, guest: &GuestPath) -> Result<bool, Failure> {
    let mut remembered = Remembered::of(sandbox.note());
    let before = remembered.mounts.len();
    let is_there =
        |spelled: &Spelled| spelled.parse().is_some_and(|mount| mount.guest.absolute() == guest.absolute());
    remembered.mounts.retain(|spelled| !is_there(spelled));
    let removed = sandbox.remove(guest.absolute()).map_err(failure)?;
    if remembered.mounts.len() < before {
        sandbox.set_note(serde_json::to_value(&remembered).unwrap_or_default()).map_err(failure)?;
        return Ok(true);
    }
    Ok(removed)
}

impl Remembered {
    /// What is kept with a sandbox; nothing if another program made it.
    fn of(note: &serde_json::Value) -> Self {
        serde_json::from_value(note.clone()).unwrap_or_default()
    }

    fn parse(&self, kept: &Kept) -> Result<Vec<Mount>, Failure> {
        let damaged =
            || Failure::setup(format!("sandbox {}: what is kept of its mounts is damaged", kept.name));
        self.mounts.iter().map(|spelled| spelled.parse().ok_or_else(damaged)).collect()
    }
}

impl Spelled {
    fn new(given: &Given, here: &Path) -> Self {
        Spelled {
            option: given.option.clone(),
            value: encode(given.value.as_bytes()),
            directory: encode(here.as_os_str().as_bytes()),
        }
    }

    fn parse(&self) -> Option<Mount> {
        use std::os::unix::ffi::OsStringExt as _;
        let text = |text: &str| decode(text).map(std::ffi::OsString::from_vec);
        let given = Given { option: self.option.clone(), value: text(&self.value)? };
        let mount = Mount::again(&given).ok()?;
        Some(mount.started_from(Path::new(&text(&self.directory)?)))
    }
}
