//! How many lines of each file differ, as `git diff --stat`.

use std::io::Write;

use vnode_core::{Cx, Errno, FileType};
use vnode_sandbox::{Change, ChangeKind, Found};

use super::DiffError;
use super::content::Content;
use super::entry::{Along, Entry};
use super::lines::{Compared, Patience, lines};
use super::paint::{Paint, Style};
use super::quote::quoted;

/// Files that aren't compared line by line.
const BINARY: &str = "Bin";

/// How much of a file differs.
enum Amount {
    Lines { added: usize, removed: usize },
    Bytes { old: u64, new: u64 },
}

struct Row {
    name: String,
    amount: Amount,
}

/// How wide the parts of a line are.
struct Widths {
    name: usize,
    number: usize,
    bar: usize,
    /// The most lines of a file.
    most: usize,
}

/// Writes a line for each file, and one of all.
///
/// # Errors
/// See [`super::write`].
pub(super) fn write<'a>(
    cx: &Cx<'_>,
    along: &Along<'_>,
    entries: impl Iterator<Item = Entry<'a>>,
    paint: Paint,
    columns: usize,
    out: &mut dyn Write,
) -> Result<(), DiffError> {
    let (mut rows, mut directories, mut patience) = (Vec::new(), 0_usize, Patience::default());
    for entry in entries {
        if is_directory(entry.change) {
            directories += 1;
        } else {
            rows.push(row(cx, &entry, &mut patience)?);
        }
        along.each(cx, &entry, &mut |entry| {
            rows.push(row(cx, entry, &mut patience)?);
            Ok(())
        })?;
    }
    let widths = Widths::of(&rows, columns);
    for row in &rows {
        write_row(row, &widths, paint, out)?;
    }
    Ok(write_total(&rows, directories, out)?)
}

/// Whether it is about a directory alone.
fn is_directory(change: &Change) -> bool {
    [&change.old, &change.new].into_iter().flatten().all(|found| found.kind().is_dir())
}

fn row(cx: &Cx<'_>, entry: &Entry<'_>, patience: &mut Patience) -> Result<Row, DiffError> {
    let name = match &entry.from {
        Some(from) => renamed(from, &entry.path),
        None => shown(&entry.path),
    };
    let amount = amount(cx, entry.change, patience).map_err(|errno| entry.fails(errno))?;
    Ok(Row { name, amount })
}

fn shown(path: &[u8]) -> String {
    quoted(path)
}

/// A rename with what both paths have in common told once: `/a/{b => c}/d` (git's `pprint_rename`).
fn renamed(from: &[u8], to: &[u8]) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok().filter(|text| quoted(bytes) == *text);
    let (Some(from), Some(to)) = (text(from), text(to)) else {
        return format!("{} => {}", quoted(from), quoted(to));
    };
    let same = from.bytes().zip(to.bytes()).take_while(|(one, other)| one == other).count();
    let start = from.get(..same).and_then(|same| same.rfind('/')).map_or(0, |slash| slash + 1);
    let most = from.len().min(to.len()) - start;
    // The end may begin with the slash that the start ends with.
    let most = if start > 0 { most + 1 } else { most };
    let behind = from.bytes().rev().zip(to.bytes().rev()).take(most).take_while(|(one, other)| one == other);
    let end = behind.enumerate().filter(|(_, (byte, _))| *byte == b'/').last().map_or(0, |(at, _)| at + 1);
    if start + end == 0 {
        return format!("{from} => {to}");
    }
    let middle = |text: &str| text.get(start..text.len().saturating_sub(end)).unwrap_or_default().to_owned();
    let tail = from.get(from.len() - end..).unwrap_or_default();
    format!("{}{{{} => {}}}{tail}", from.get(..start).unwrap_or_default(), middle(&from), middle(&to))
}

fn amount(cx: &Cx<'_>, change: &Change, patience: &mut Patience) -> Result<Amount, Errno> {
    let is_same = matches!(change.kind, ChangeKind::Renamed | ChangeKind::Attributes | ChangeKind::Relinked)
        && !change.has_other_content(cx)?;
    if is_same {
        return Ok(Amount::Lines { added: 0, removed: 0 });
    }
    let (old, new) = (side(cx, change.old.as_ref())?, side(cx, change.new.as_ref())?);
    let (Content::Text(old_text), Content::Text(new_text)) = (&old, &new) else {
        return Ok(Amount::Bytes { old: old.len(), new: new.len() });
    };
    // What is of another type has nothing in common.
    if old_text.is_empty() || new_text.is_empty() || change.kind == ChangeKind::TypeChanged {
        return Ok(Amount::Lines { added: lines(new_text).count(), removed: lines(old_text).count() });
    }
    Ok(match Compared::of(old_text, new_text, patience) {
        Some(compared) => {
            let (added, removed) = compared.counts();
            Amount::Lines { added, removed }
        }
        None => Amount::Bytes { old: old.len(), new: new.len() },
    })
}

/// One side's content: none of what has no lines.
fn side(cx: &Cx<'_>, found: Option<&Found>) -> Result<Content, Errno> {
    match found {
        Some(found) if matches!(found.kind(), FileType::Regular | FileType::Symlink) => {
            Content::of(cx, found)
        }
        _ => Ok(Content::Text(Vec::new())),
    }
}

impl Widths {
    /// Shares the columns between names and bars as git does (`show_stats`): bars have at most three eighths if names need
    /// more than the rest.
    fn of(rows: &[Row], columns: usize) -> Self {
        let digits = |number: usize| number.to_string().len();
        let lines = rows.iter().map(|row| match &row.amount {
            Amount::Lines { added, removed } => added.saturating_add(*removed),
            Amount::Bytes { .. } => 0,
        });
        let most = lines.max().unwrap_or(0);
        let bytes = rows.iter().filter(|row| matches!(row.amount, Amount::Bytes { .. }));
        let binary = bytes.map(|row| row.amount_text().len() - BINARY.len()).max();
        let number = digits(most).max(if binary.is_some() { BINARY.len() } else { 0 });
        let longest = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let columns = columns.max(16 + 6 + number);
        let mut bar = most.max(binary.unwrap_or(0));
        let mut name = longest;
        if name.saturating_add(number + 6).saturating_add(bar) > columns {
            let share = (columns * 3 / 8).saturating_sub(number + 6).max(6);
            bar = bar.min(share);
            let left = columns.saturating_sub(number + 6 + bar);
            if name > left {
                name = left;
            } else {
                bar = columns.saturating_sub(number + 6 + name);
            }
        }
        Widths { name, number, bar, most }
    }
}

impl Row {
    fn amount_text(&self) -> String {
        match &self.amount {
            Amount::Lines { added, removed } => added.saturating_add(*removed).to_string(),
            Amount::Bytes { old, new } => format!("{BINARY} {old} -> {new} bytes"),
        }
    }
}

/// A number on a line of so many columns, one at least (git's `scale_linear`).
fn scaled(number: usize, columns: usize, most: usize) -> usize {
    if number == 0 || most == 0 { 0 } else { 1 + number.saturating_mul(columns.saturating_sub(1)) / most }
}

/// How much of a bar is for what is new, and for what is gone.
fn bars(added: usize, removed: usize, widths: &Widths) -> (usize, usize) {
    if widths.bar > widths.most {
        return (added, removed);
    }
    let total = scaled(added + removed, widths.bar, widths.most);
    let total = if total < 2 && added > 0 && removed > 0 { 2 } else { total };
    if added < removed {
        let added = scaled(added, widths.bar, widths.most);
        (added, total.saturating_sub(added))
    } else {
        let removed = scaled(removed, widths.bar, widths.most);
        (total.saturating_sub(removed), removed)
    }
}

/// The end of a name that is too long, from a slash on if there is one.
fn fitting(name: &str, columns: usize) -> String {
    if name.len() <= columns {
        return name.to_owned();
    }
    let end = name.get(name.len() - columns.saturating_sub(3).min(name.len())..).unwrap_or_default();
    let end = end.find('/').and_then(|slash| end.get(slash..)).unwrap_or(end);
    format!("...{end}")
}

fn write_row(row: &Row, widths: &Widths, paint: Paint, out: &mut dyn Write) -> std::io::Result<()> {
    let name = fitting(&row.name, widths.name);
    write!(out, " {name:<0$} | ", widths.name)?;
    match row.amount {
        Amount::Bytes { old, new } => {
            let old = paint.text(Style::Removed, &old.to_string());
            let new = paint.text(Style::Added, &new.to_string());
            writeln!(out, "{BINARY:>0$} {old} -> {new} bytes", widths.number)
        }
        Amount::Lines { added, removed } => {
            let (plus, minus) = bars(added, removed, widths);
            let bar =
                [paint.text(Style::Added, &"+".repeat(plus)), paint.text(Style::Removed, &"-".repeat(minus))];
            let gap = if plus + minus > 0 { " " } else { "" };
            writeln!(out, "{:>1$}{gap}{2}", added + removed, widths.number, bar.concat())
        }
    }
}

fn write_total(rows: &[Row], directories: usize, out: &mut dyn Write) -> std::io::Result<()> {
    if rows.is_empty() && directories == 0 {
        return Ok(());
    }
    let counts = rows.iter().fold((0_usize, 0_usize), |(all_added, all_removed), row| match row.amount {
        Amount::Lines { added, removed } => (all_added + added, all_removed + removed),
        Amount::Bytes { .. } => (all_added, all_removed),
    });
    let counted =
        |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let mut told = vec![counted(rows.len(), "file changed", "files changed")];
    if counts.0 > 0 || counts.1 == 0 {
        told.push(counted(counts.0, "insertion(+)", "insertions(+)"));
    }
    if counts.1 > 0 || counts.0 == 0 {
        told.push(counted(counts.1, "deletion(-)", "deletions(-)"));
    }
    if directories > 0 {
        told.push(counted(directories, "directory", "directories"));
    }
    writeln!(out, " {}", told.join(", "))
}
