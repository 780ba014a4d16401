//! The changes for programs: one JSON object on a line.
//!
//! `path`, `from` and `target` are text, with U+FFFD for what is no UTF-8; where there is such, `path_bytes`, `from_bytes` and
//! `target_bytes` have the bytes as numbers. Modes are octal, times seconds since 1970 with nine digits behind the point,
//! both as strings; devices `major:minor`.

use std::fmt::Write as _;
use std::io::Write;

use serde::Serialize;
use vnode_core::{Cx, Errno, FileType};
use vnode_sandbox::{ChangeKind, Found};

use super::DiffError;
use super::entry::Entry;
use super::paint::is_unseen;
use super::short::device;

#[derive(Serialize)]
struct Report {
    changes: Vec<Told>,
    summary: Summary,
}

#[derive(Default, Serialize)]
struct Summary {
    added: u64,
    removed: u64,
    renamed: u64,
    type_changed: u64,
    modified: u64,
    attributes: u64,
    relinked: u64,
}

#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    place: Moved,
    kind: &'static str,
    letter: char,
    /// Whether the content differs of what is there on both sides.
    content_differs: bool,
    attributes_differ: bool,
    old: Option<Side>,
    new: Option<Side>,
}

#[derive(Serialize)]
struct Side {
    #[serde(rename = "type")]
    kind: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    /// Of what is no directory: of those each filesystem has its own idea.
    #[serde(skip_serializing_if = "Option::is_none")]
    nlink: Option<u64>,
    size: u64,
    mtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_bytes: Option<Vec<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rdev: Option<String>,
}

/// Writes the object.
///
/// # Errors
/// See [`super::write`].
pub(super) fn write<'a>(
    cx: &Cx<'_>,
    entries: impl Iterator<Item = Entry<'a>>,
    out: &mut dyn Write,
) -> Result<(), DiffError> {
    let mut report = Report { changes: Vec::new(), summary: Summary::default() };
    for entry in entries {
        *report.summary.of(entry.change.kind) += 1;
        report.changes.push(Told::new(cx, &entry).map_err(|errno| entry.fails(errno))?);
    }
    let text = serde_json::to_string(&report).map_err(std::io::Error::from)?;
    Ok(writeln!(out, "{}", without_controls(&text))?)
}

/// Escapes what could drive a terminal or isn't seen, which JSON needn't. Only strings have such.
pub(crate) fn without_controls(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_control() || is_unseen(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
        out
    })
}

impl Summary {
    fn of(&mut self, kind: ChangeKind) -> &mut u64 {
        match kind {
            ChangeKind::Added => &mut self.added,
            ChangeKind::Removed => &mut self.removed,
            ChangeKind::Renamed => &mut self.renamed,
            ChangeKind::TypeChanged => &mut self.type_changed,
            ChangeKind::Modified => &mut self.modified,
            ChangeKind::Attributes => &mut self.attributes,
            ChangeKind::Relinked => &mut self.relinked,
        }
    }
}

/// What was done, in a word.
pub(crate) fn kind(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
        ChangeKind::Renamed => "renamed",
        ChangeKind::TypeChanged => "type-changed",
        ChangeKind::Modified => "modified",
        ChangeKind::Attributes => "attributes",
        ChangeKind::Relinked => "relinked",
    }
}

fn file_type(kind: FileType) -> &'static str {
    match kind {
        FileType::Regular => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symlink",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::CharDevice => "character-device",
        FileType::BlockDevice => "block-device",
    }
}

/// Bytes as text, and as they are if text doesn't say it.
pub(crate) fn text(bytes: &[u8]) -> (String, Option<Vec<u8>>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (String::from_utf8_lossy(bytes).into_owned(), Some(bytes.to_vec())),
    }
}

/// A path: text, and its bytes if it is none.
#[derive(Serialize)]
pub(crate) struct Place {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<Vec<u8>>,
}

/// A path, and where that was before.
#[derive(Serialize)]
pub(crate) struct Moved {
    #[serde(flatten)]
    place: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_bytes: Option<Vec<u8>>,
}

impl Place {
    pub(crate) fn new(path: &[u8]) -> Self {
        let (path, path_bytes) = text(path);
        Place { path, path_bytes }
    }
}

impl Moved {
    pub(crate) fn new(path: &[u8], from: Option<&[u8]>) -> Self {
        let (from, from_bytes) = from.map(text).unzip();
        Moved { place: Place::new(path), from, from_bytes: from_bytes.flatten() }
    }
}

impl Told {
    fn new(cx: &Cx<'_>, entry: &Entry<'_>) -> Result<Self, Errno> {
        let change = entry.change;
        let side = |found: &Option<Found>| found.as_ref().map(|found| Side::new(cx, found)).transpose();
        Ok(Told {
            place: Moved::new(&entry.path, entry.from.as_deref()),
            kind: kind(change.kind),
            letter: change.kind.letter(),
            content_differs: change.has_other_content(cx)?,
            attributes_differ: change.has_other_attributes(cx)?,
            old: side(&change.old)?,
            new: side(&change.new)?,
        })
    }
}

impl Side {
    fn new(cx: &Cx<'_>, found: &Found) -> Result<Self, Errno> {
        let attr = &found.attr;
        let target = attr.kind.is_symlink().then(|| found.target(cx)).transpose()?;
        let (target, target_bytes) = target.as_deref().map(text).unzip();
        Ok(Side {
            kind: file_type(attr.kind),
            mode: format!("{:04o}", attr.mode.raw()),
            uid: attr.uid,
            gid: attr.gid,
            nlink: (!attr.kind.is_dir()).then_some(attr.nlink.into()),
            size: attr.size,
            mtime: format!("{}.{:09}", attr.mtime.sec, attr.mtime.nsec),
            target,
            target_bytes: target_bytes.flatten(),
            rdev: device(found),
        })
    }
}
