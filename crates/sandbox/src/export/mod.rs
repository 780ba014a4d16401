//! What was changed, or all that there is, as a tar archive: a layer of a container image, or to unpack somewhere.
//!
//! * `plan` - which paths an archive has, in which order; `links` - the names of files that have several; `exclude` - what is
//!   left out.
//! * `archive` - the members one after the other; `member` - their headers.
//!
//! The same changes are the same bytes: members stand in the order of their names, owners are numbers, and times are one
//! time unless they are asked for.

mod archive;
mod exclude;
mod links;
mod member;
mod plan;

use std::io;

use vnode_core::{Cx, Errno, Timespec};

use crate::changes::Change;
use crate::view::View;

pub use exclude::{Exclude, PatternError};

/// What is in an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExportFormat {
    /// A layer of a container image (OCI image specification, "Layer Filesystem Changeset"): what is new or changed, a file
    /// `.wh.NAME` for what is gone, and `.wh..wh..opq` in a directory that took the place of another.
    #[default]
    Layer,
    /// What is new or changed, to be unpacked over what was there.
    Tar,
    /// Everything that the view shows. Its root is no member.
    Tree,
}

/// The times that members have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportTimes {
    /// This one. What depends on when a program ran doesn't make another archive.
    All(Timespec),
    /// Those that the files have, to the nanosecond.
    Keep,
}

impl Default for ExportTimes {
    fn default() -> Self {
        ExportTimes::All(Timespec::EPOCH)
    }
}

impl ExportTimes {
    /// The time that the variable `SOURCE_DATE_EPOCH` tells, in seconds since 1970 (reproducible-builds.org), or the start of
    /// 1970 without it. `value` is what the variable is set to; nothing, if it tells no time.
    pub fn source_date_epoch(value: Option<&str>) -> Option<ExportTimes> {
        let Some(value) = value else { return Some(ExportTimes::default()) };
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let sec = value.parse().ok().filter(|_| is_number)?;
        Some(ExportTimes::All(Timespec { sec, nsec: 0 }))
    }
}

/// How an archive is made.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// What is in it.
    pub format: ExportFormat,
    /// What isn't.
    pub exclude: Exclude,
    /// Its members' times.
    pub times: ExportTimes,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Members of the archive, whiteouts among them.
    pub entries: u64,
    /// Bytes of the archive.
    pub bytes: u64,
    /// Paths of sockets, which no archive has.
    pub left_out: Vec<Vec<u8>>,
}

/// Why there is no archive. What was written of it is no archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Something can't be read.
    #[error("can't read {}: {errno}", shown(path))]
    Read {
        /// Its path, from the view's root.
        path: Vec<u8>,
        /// `EINTR`: canceled. `EIO` and others: those of the filesystems.
        errno: Errno,
    },
    /// A layer can't have a name that begins with `.wh.`: it would be taken for a whiteout.
    #[error(
        "{} can't be in a layer, where names that begin with .wh. tell what was removed; exclude it, or write another \
         format",
        shown(path)
    )]
    Whiteout {
        /// Its path, from the view's root.
        path: Vec<u8>,
    },
    /// The archive can't be written.
    #[error("can't write the archive: {0}")]
    Write(#[from] io::Error),
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).escape_debug().to_string()
}

impl View {
    /// Writes an archive of changes that [`View::changes`] told, or of everything; nobody may change the view meanwhile. For
    /// `Tree` the changes don't matter. Holes of files are written as zeros.
    ///
    /// A file with several names is one member, and a link to it for each other name; also for names of the view under which
    /// it wasn't changed, which are looked for where it has more than the changes have. Directories that members are in
    /// are members. Of extended attributes there are those of `user.*`.
    ///
    /// ```
    /// # use vnode_core::{Clock, Credentials, Cx, Timespec};
    /// # struct Now;
    /// # impl Clock for Now { fn now(&self) -> Timespec { Timespec::EPOCH } }
    /// use vnode_sandbox::{Exclude, ExportOptions, View};
    ///
    /// # let host = tempfile::tempdir()?;
    /// let who = Credentials::root();
    /// let cx = Cx::new(&who, &Now);
    /// let view = View::of(host.path()).open()?;
    /// // Guests change it.
    /// let options = ExportOptions { exclude: Exclude::new(["*.o", "/cache/"])?, ..ExportOptions::default() };
    /// let mut layer = Vec::new();
    /// let exported = view.export(&cx, &view.changes(&cx)?, &options, &mut layer)?;
    /// assert_eq!((exported.entries, exported.bytes), (0, 1024));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn export(
        &self,
        cx: &Cx<'_>,
        changes: &[Change],
        options: &ExportOptions,
        out: &mut dyn io::Write,
    ) -> Result<Exported, ExportError> {
        let before = self.before().map_err(|errno| ExportError::Read { path: Vec::new(), errno })?;
        let planned = plan::Planned { cx, now: &self.filesystem, before: &before.filesystem, options };
        let mut plan = planned.plan(changes)?;
        links::complete(&planned, &mut plan)?;
        archive::write(cx, &plan, options, out)
    }
}
