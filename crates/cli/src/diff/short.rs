//! A line for each path, as `git status --short`.

use std::io::Write;

use vnode_core::{Cx, Errno, FileType};
use vnode_sandbox::{ChangeKind, Found};

use super::DiffError;
use super::entry::Entry;
use super::paint::{Paint, Style};
use super::quote::word;

/// Writes a line for each.
///
/// # Errors
/// See [`super::write`].
pub(super) fn write<'a>(
    cx: &Cx<'_>,
    entries: impl Iterator<Item = Entry<'a>>,
    paint: Paint,
    out: &mut dyn Write,
) -> Result<(), DiffError> {
    for entry in entries {
        let rest = line(cx, &entry).map_err(|errno| entry.fails(errno))?;
        let letter = paint.text(style(entry.change.kind), &entry.change.kind.letter().to_string());
        writeln!(out, "{letter} {rest}")?;
    }
    Ok(())
}

fn style(kind: ChangeKind) -> Style {
    match kind {
        ChangeKind::Added => Style::Added,
        ChangeKind::Removed => Style::Removed,
        _ => Style::Changed,
    }
}

/// What is said of one behind its letter.
pub(super) fn line(cx: &Cx<'_>, entry: &Entry<'_>) -> Result<String, Errno> {
    let change = entry.change;
    let mut line = String::new();
    if let Some(from) = &entry.from {
        line += &named(from, change.old.as_ref());
        line += " -> ";
    }
    line += &named(&entry.path, entry.found());
    let mut notes = Vec::new();
    match (&change.old, &change.new) {
        (Some(old), Some(new)) if change.kind == ChangeKind::TypeChanged => {
            notes.push(format!("{} -> {}", in_words(cx, old)?, in_words(cx, new)?));
        }
        (Some(old), Some(new)) => {
            if change.has_other_content(cx)? {
                match old.kind() {
                    FileType::Regular if change.kind == ChangeKind::Renamed => {
                        notes.push("modified".to_owned())
                    }
                    FileType::Regular => {}
                    _ => notes.push(format!("{} -> {}", in_words(cx, old)?, in_words(cx, new)?)),
                }
            }
            if change.kind == ChangeKind::Relinked {
                notes.push(format!("hard links {} -> {}", old.attr.nlink, new.attr.nlink));
            }
            if change.has_other_attributes(cx)? {
                attributes(cx, old, new, &mut notes)?;
            }
            // The others show the change, too, whether they are told or not.
            if matches!(change.kind, ChangeKind::Modified | ChangeKind::Attributes)
                && !new.kind().is_dir()
                && new.attr.nlink > 1
            {
                notes.push(format!("one of {} hard links", new.attr.nlink));
            }
        }
        _ => match entry.found() {
            Some(link) if link.kind().is_symlink() => line = format!("{line} -> {}", word(&link.target(cx)?)),
            Some(found) if !matches!(found.kind(), FileType::Regular | FileType::Directory) => {
                notes.push(in_words(cx, found)?);
            }
            _ => {}
        },
    }
    if !notes.is_empty() {
        line = format!("{line} ({})", notes.join(", "));
    }
    Ok(line)
}

/// What there is of attributes that aren't the same.
fn attributes(cx: &Cx<'_>, old: &Found, new: &Found, notes: &mut Vec<String>) -> Result<(), Errno> {
    let (was, is) = (&old.attr, &new.attr);
    if was.mode != is.mode {
        notes.push(format!("mode {:04o} -> {:04o}", was.mode.raw(), is.mode.raw()));
    }
    if (was.uid, was.gid) != (is.uid, is.gid) {
        notes.push(format!("owner {}:{} -> {}:{}", was.uid, was.gid, is.uid, is.gid));
    }
    if matches!(is.kind, FileType::Regular | FileType::Directory) && old.xattrs(cx)? != new.xattrs(cx)? {
        notes.push("extended attributes".to_owned());
    }
    Ok(())
}

/// A path, a directory's with a slash behind it.
fn named(path: &[u8], found: Option<&Found>) -> String {
    match found {
        Some(found) if found.kind().is_dir() => word(&[path, b"/"].concat()),
        _ => word(path),
    }
}

/// A type, and what a link or a device has besides.
fn in_words(cx: &Cx<'_>, found: &Found) -> Result<String, Errno> {
    Ok(match found.kind() {
        FileType::Regular => "file".to_owned(),
        FileType::Directory => "directory".to_owned(),
        FileType::Symlink => format!("symlink to {}", word(&found.target(cx)?)),
        FileType::Fifo => "fifo".to_owned(),
        FileType::Socket => "socket".to_owned(),
        FileType::CharDevice => format!("character device {}", device(found).unwrap_or_default()),
        FileType::BlockDevice => format!("block device {}", device(found).unwrap_or_default()),
    })
}

/// A device's number: `major:minor`.
pub(super) fn device(found: &Found) -> Option<String> {
    found.device().map(|(major, minor)| format!("{major}:{minor}"))
}
