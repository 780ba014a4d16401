//! What differs in the files, as `git diff` writes it and `git apply` takes it.
//!
//! What git doesn't keep, directories, owners, devices, stands in lines of the short form behind a `#`, which those that
//! apply a patch skip.

use std::io::{self, Write};

use similar::{ChangeTag, DiffOp};
use vnode_core::{Cx, Errno, FileType};
use vnode_sandbox::{ChangeKind, Found};

use super::DiffError;
use super::content::Content;
use super::entry::{Along, Entry};
use super::lines::{Compared, Patience, lines};
use super::paint::{Paint, Style};
use super::quote::quoted;
use super::short;

/// Writes a patch of everything.
///
/// # Errors
/// See [`super::write`].
pub(super) fn write<'a>(
    cx: &Cx<'_>,
    along: &Along<'_>,
    entries: impl Iterator<Item = Entry<'a>>,
    paint: Paint,
    out: &mut dyn Write,
) -> Result<(), DiffError> {
    let mut patch = Patch { cx, paint, out, patience: Patience::default() };
    for entry in entries {
        patch.entry(&entry)?;
        along.each(cx, &entry, &mut |entry| patch.entry(entry))?;
    }
    Ok(())
}

struct Patch<'a> {
    cx: &'a Cx<'a>,
    paint: Paint,
    out: &'a mut dyn Write,
    patience: Patience,
}

/// Whether git keeps such.
fn is_kept(found: Option<&Found>) -> bool {
    found.is_some_and(|found| matches!(found.kind(), FileType::Regular | FileType::Symlink))
}

/// A type and permissions as git has them: a link has none.
fn mode(found: &Found) -> u32 {
    if found.kind().is_symlink() { found.kind().mode_bits() } else { found.attr.st_mode() }
}

/// A path behind `a` or `b`.
fn side(letter: &str, path: &[u8]) -> String {
    quoted(&[letter.as_bytes(), path].concat())
}

/// A path without a slash before it.
fn bare(path: &[u8]) -> String {
    quoted(path.strip_prefix(b"/").unwrap_or(path))
}

/// A name in a line where a time might follow: git ends it with a tab if it has spaces.
fn until_tab(name: &str) -> String {
    if name.contains(' ') { format!("{name}\t") } else { name.to_owned() }
}

/// Lines of a file, as a hunk counts them.
fn span(start: usize, len: usize) -> String {
    // Of no lines the one before them is told.
    let first = if len == 0 { start } else { start + 1 };
    if len == 1 { format!("{first}") } else { format!("{first},{len}") }
}

impl Patch<'_> {
    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), DiffError> {
        let change = entry.change;
        let (old, new) = (change.old.as_ref(), change.new.as_ref());
        if self.has_more(entry).map_err(|errno| entry.fails(errno))? {
            let line = short::line(self.cx, entry).map_err(|errno| entry.fails(errno))?;
            self.paint.line(self.out, Style::Plain, &format!("# {} {line}", change.kind.letter()))?;
        }
        match (old.filter(|old| is_kept(Some(old))), new.filter(|new| is_kept(Some(new)))) {
            (Some(old), Some(new)) if change.kind != ChangeKind::TypeChanged => self.changed(entry, old, new),
            (old, new) => {
                if let Some(old) = old {
                    self.whole(entry, entry.old_path(), old, false)?;
                }
                match new {
                    Some(new) => self.whole(entry, &entry.path, new, true),
                    None => Ok(()),
                }
            }
        }
    }

    /// Whether there is something that a patch has no words for. That a file is a link stands in none that changes it.
    fn has_more(&self, entry: &Entry<'_>) -> Result<bool, Errno> {
        let change = entry.change;
        let (old, new) = match (&change.old, &change.new) {
            (Some(old), Some(new)) => (old, new),
            (old, new) => return Ok(!is_kept(old.as_ref().or(new.as_ref()))),
        };
        if !is_kept(Some(old)) || !is_kept(Some(new)) {
            return Ok(true);
        }
        if change.kind == ChangeKind::Relinked {
            return Ok(true);
        }
        if change.kind == ChangeKind::TypeChanged {
            return Ok(false);
        }
        if old.kind().is_symlink() && change.has_other_content(self.cx)? {
            return Ok(true);
        }
        if !change.has_other_attributes(self.cx)? {
            return Ok(false);
        }
        let owner = |found: &Found| (found.attr.uid, found.attr.gid);
        Ok(owner(old) != owner(new)
            || !old.kind().is_symlink() && old.xattrs(self.cx)? != new.xattrs(self.cx)?)
    }

    fn header(&mut self, text: &str) -> io::Result<()> {
        self.paint.line(self.out, Style::Header, text)
    }

    /// A file or link that was or is there, and nothing else.
    fn whole(
        &mut self,
        entry: &Entry<'_>,
        path: &[u8],
        found: &Found,
        is_new: bool,
    ) -> Result<(), DiffError> {
        let content = Content::of(self.cx, found).map_err(|errno| entry.fails(errno))?;
        let (a, b) = (side("a", path), side("b", path));
        let word = if is_new { "new" } else { "deleted" };
        self.header(&format!("diff --git {a} {b}"))?;
        self.header(&format!("{word} file mode {:06o}", mode(found)))?;
        let none = "/dev/null".to_owned();
        let (a, b) = if is_new { (none, b) } else { (a, none) };
        let text = match content {
            Content::Text(text) => text,
            content => return self.opaque(&a, &b, &content, None),
        };
        if text.is_empty() {
            // By this patch(1) knows that the file is to be made, or removed: git's name of no content.
            let ids = if is_new { "0000000..e69de29" } else { "e69de29..0000000" };
            return Ok(self.header(&format!("index {ids}"))?);
        }
        self.header(&format!("--- {}", until_tab(&a)))?;
        self.header(&format!("+++ {}", until_tab(&b)))?;
        let all = span(0, lines(&text).count());
        let (spans, style, mark) = if is_new {
            (format!("-0,0 +{all}"), Style::Added, b'+')
        } else {
            (format!("-{all} +0,0"), Style::Removed, b'-')
        };
        self.paint.line(self.out, Style::Hunk, &format!("@@ {spans} @@"))?;
        for line in lines(&text) {
            self.paint.content(self.out, style, mark, line)?;
        }
        Ok(())
    }

    /// A file or link that was there and is, here or elsewhere.
    fn changed(&mut self, entry: &Entry<'_>, old: &Found, new: &Found) -> Result<(), DiffError> {
        let fails = |errno| entry.fails(errno);
        let has_other_content = entry.change.has_other_content(self.cx).map_err(fails)?;
        let (was, is) = (mode(old), mode(new));
        if was == is && entry.from.is_none() && !has_other_content {
            return Ok(());
        }
        let (a, b) = (side("a", entry.old_path()), side("b", &entry.path));
        self.header(&format!("diff --git {a} {b}"))?;
        if was != is {
            self.header(&format!("old mode {was:06o}"))?;
            self.header(&format!("new mode {is:06o}"))?;
        }
        if let Some(from) = &entry.from {
            self.header(&format!("rename from {}", bare(from)))?;
            self.header(&format!("rename to {}", bare(&entry.path)))?;
        }
        if !has_other_content {
            return Ok(());
        }
        let kept_mode = (was == is).then_some(is);
        let (old, new) =
            (Content::of(self.cx, old).map_err(fails)?, Content::of(self.cx, new).map_err(fails)?);
        let (Content::Text(old), Content::Text(new)) = (&old, &new) else {
            let largest = if matches!(old, Content::TooLarge(_)) { &old } else { &new };
            return self.opaque(&a, &b, largest, kept_mode);
        };
        match Compared::of(old, new, &mut self.patience) {
            Some(compared) => self.hunks(&a, &b, &compared),
            None => {
                let content = Content::TooLarge(old.len().max(new.len()) as u64);
                self.opaque(&a, &b, &content, kept_mode)
            }
        }
    }

    fn hunks(&mut self, a: &str, b: &str, compared: &Compared<'_>) -> Result<(), DiffError> {
        self.header(&format!("--- {}", until_tab(a)))?;
        self.header(&format!("+++ {}", until_tab(b)))?;
        for hunk in compared.hunks() {
            let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { continue };
            let range = |start: usize, end: usize| span(start, end.saturating_sub(start));
            let old = range(first.old_range().start, last.old_range().end);
            let new = range(first.new_range().start, last.new_range().end);
            self.paint.line(self.out, Style::Hunk, &format!("@@ -{old} +{new} @@"))?;
            for operation in &hunk {
                self.operation(operation, compared)?;
            }
        }
        Ok(())
    }

    fn operation(&mut self, operation: &DiffOp, compared: &Compared<'_>) -> io::Result<()> {
        for change in operation.iter_changes(&compared.old, &compared.new) {
            let (style, mark) = match change.tag() {
                ChangeTag::Equal => (Style::Plain, b' '),
                ChangeTag::Delete => (Style::Removed, b'-'),
                ChangeTag::Insert => (Style::Added, b'+'),
            };
            self.paint.content(self.out, style, mark, change.value())?;
        }
        Ok(())
    }

    /// Files whose content isn't shown. Git refuses such a patch, instead of leaving out what it doesn't know, unless it is
    /// told to (`--exclude`). The mode is told unless it stands elsewhere.
    fn opaque(&mut self, a: &str, b: &str, content: &Content, mode: Option<u32>) -> Result<(), DiffError> {
        let mode = mode.map(|mode| format!(" {mode:06o}")).unwrap_or_default();
        // Git's word for content that has no name.
        self.header(&format!("index 0000000..0000000{mode}"))?;
        let line = match content {
            Content::TooLarge(len) => {
                format!("Files {a} and {b}, too large to compare ({len} bytes), differ")
            }
            _ => format!("Binary files {a} and {b} differ"),
        };
        Ok(self.paint.line(self.out, Style::Plain, &line)?)
    }
}
