//! Case files: how cases are written down, and reading them.
//!
//! ```text
//! :: world                    a fixture: lines that cases start from
//! file f "data"
//!
//! == unlink {path}            a case; with a table, one for each row
//! use world                   a fixture's lines
//! unlink {path} => {result}   a call and what is expected of it; without `=>` it must succeed
//! -- path result              a table: its columns, then its rows; the last column takes the rest of the line
//! f       ok
//! f/      ENOTDIR
//! ~       ENOENT              ~ is nothing at all, where a word may be left out
//! ```
//!
//! A table whose columns are parted by ` | ` has its cells parted so too: they may hold blanks.
//!
//! `!needs WORD ...` adds to what the case's own calls need of a subject ([`Needs`]).

use std::collections::HashMap;

use crate::subject::Needs;
use crate::text::{self, BadText};
use crate::value::Expect;

/// One call of a script.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where the expectation is written.
    pub line: usize,
    /// The call as it is written, columns filled in.
    pub text: String,
    /// Its words.
    pub words: Vec<Vec<u8>>,
    /// What it must come to; `None`: any success.
    pub expect: Option<Expect>,
}

/// A test of its own: it starts from an empty root.
#[derive(Clone, Debug)]
pub struct Case {
    /// File and title, the row's cells filled in.
    pub name: String,
    /// The file.
    pub file: &'static str,
    /// What it needs of a subject.
    pub needs: Needs,
    /// Its calls.
    pub steps: Vec<Step>,
}

impl Case {
    /// Whether some of it runs as another user than root.
    pub fn is_unprivileged(&self) -> bool {
        self.steps.iter().any(|step| step.words.first().is_some_and(|verb| verb == b"user"))
    }
}

/// Reads a step without columns.
///
/// # Errors
/// [`BadText`]: not a line of the language.
pub fn step(line: usize, source: &str) -> Result<Step, BadText> {
    let (call, expect) = match source.split_once(" => ") {
        Some((call, expect)) => (call, Some(Expect::parse(expect)?)),
        None => (source, None),
    };
    Ok(Step { line, text: source.trim().to_owned(), words: text::words(call)?, expect })
}

type Lines = Vec<(usize, String)>;

#[derive(Default)]
struct Draft {
    title: String,
    needs: Needs,
    lines: Lines,
    columns: Option<Vec<String>>,
    bars: bool,
    rows: Vec<(usize, Vec<String>)>,
}

/// Reads a case file.
///
/// # Errors
/// [`BadText`] with the line number.
pub fn parse(file: &'static str, source: &str) -> Result<Vec<Case>, BadText> {
    let mut fixtures: HashMap<String, Lines> = HashMap::new();
    let mut fixture: Option<String> = None;
    let mut draft: Option<Draft> = None;
    let mut cases = Vec::new();
    for (index, raw) in source.lines().enumerate() {
        let number = index + 1;
        let bad = |why: &str| BadText(format!("{file}:{number}: {why}: {raw}"));
        let line = raw.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix(":: ") {
            finish(file, draft.take(), &mut cases)?;
            fixtures.insert(name.trim().to_owned(), Vec::new());
            fixture = Some(name.trim().to_owned());
        } else if let Some(title) = line.strip_prefix("== ") {
            finish(file, draft.take(), &mut cases)?;
            fixture = None;
            draft = Some(Draft { title: title.trim().to_owned(), ..Draft::default() });
        } else if let Some(name) = &fixture {
            let lines = fixtures.get_mut(name).ok_or_else(|| bad("no such fixture"))?;
            lines.push((number, line.to_owned()));
        } else if let Some(draft) = &mut draft {
            add(draft, number, line, &fixtures).map_err(bad)?;
        } else {
            return Err(bad("outside of any case"));
        }
    }
    finish(file, draft, &mut cases)?;
    Ok(cases)
}

fn add(
    draft: &mut Draft,
    number: usize,
    line: &str,
    fixtures: &HashMap<String, Lines>,
) -> Result<(), &'static str> {
    if let Some(words) = line.strip_prefix("!needs ") {
        for word in words.split_whitespace() {
            draft.needs |= Needs::from_name(&word.to_uppercase()).ok_or("unknown need")?;
        }
    } else if let Some(columns) = line.strip_prefix("-- ") {
        draft.bars = columns.contains(" | ");
        draft.columns =
            Some(columns.split_whitespace().filter(|word| *word != "|").map(str::to_owned).collect());
    } else if let Some(columns) = &draft.columns {
        let cells = if draft.bars { barred_cells(line, columns.len()) } else { cells(line, columns.len()) };
        draft.rows.push((number, cells.ok_or("not as many cells as columns")?));
    } else if let Some(name) = line.strip_prefix("use ") {
        draft.lines.extend(fixtures.get(name.trim()).ok_or("no such fixture")?.iter().cloned());
    } else {
        draft.lines.push((number, line.to_owned()));
    }
    Ok(())
}

/// Cuts a row into `count` cells as they are written; the last takes the rest.
fn cells(row: &str, count: usize) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let mut rest = row.trim();
    while out.len() + 1 < count {
        let mut quoted = false;
        let mut escaped = false;
        let end = rest.find(|letter: char| {
            let ends = letter == ' ' && !quoted;
            quoted ^= letter == '"' && !escaped;
            escaped = letter == '\\' && !escaped;
            ends
        })?;
        out.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    out.push(rest.to_owned());
    (!rest.is_empty()).then_some(out)
}

fn barred_cells(row: &str, count: usize) -> Option<Vec<String>> {
    let cells: Vec<String> = row.split(" | ").map(|cell| cell.trim().to_owned()).collect();
    (cells.len() == count).then_some(cells)
}

fn finish(file: &'static str, draft: Option<Draft>, cases: &mut Vec<Case>) -> Result<(), BadText> {
    let Some(draft) = draft else { return Ok(()) };
    let Some(columns) = &draft.columns else {
        cases.push(case(file, &draft, None)?);
        return Ok(());
    };
    for (line, cells) in &draft.rows {
        let row: Vec<_> = columns.iter().map(String::as_str).zip(cells.iter().map(String::as_str)).collect();
        cases.push(case(file, &draft, Some((*line, row.as_slice())))?);
    }
    Ok(())
}

type Row<'a> = (usize, &'a [(&'a str, &'a str)]);

fn case(file: &'static str, draft: &Draft, row: Option<Row<'_>>) -> Result<Case, BadText> {
    let mut needs = draft.needs;
    let mut steps = Vec::new();
    for (number, source) in &draft.lines {
        let filled = fill(source, row);
        if filled.trim().is_empty() {
            continue;
        }
        let expects_cell = source.split_once(" => ").is_some_and(|(_, expect)| expect.contains('{'));
        let line = row.filter(|_| expects_cell).map_or(*number, |(line, _)| line);
        let step = step(line, &filled).map_err(|BadText(why)| BadText(format!("{file}:{line}: {why}")))?;
        needs |= needs_of(&step);
        steps.push(step);
    }
    let mut name = format!("{}: {}", file.trim_end_matches(".txt"), fill(&draft.title, row));
    if let Some((_, cells)) = row {
        // A title that names no column would be the same for every row.
        if !draft.title.contains('{') {
            name = format!("{name} {}", cells.first().map_or("", |cell| cell.1));
        }
    }
    Ok(Case { name, file, needs, steps })
}

fn fill(source: &str, row: Option<Row<'_>>) -> String {
    let mut out = source.to_owned();
    for (column, cell) in row.map_or(&[][..], |(_, cells)| cells) {
        let cell = if *cell == "~" { "" } else { cell };
        out = out.replace(&format!("{{{column}}}"), cell);
    }
    out
}

/// What a call needs of a subject, by its verb and words.
pub(crate) fn needs_of_call(words: &[Vec<u8>]) -> Needs {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let has = |word: &[u8]| words.contains(&word);
    match words.first().copied().unwrap_or_default() {
        b"user" => Needs::USERS,
        b"mount" | b"umount" => Needs::MOUNTS,
        b"chmod" | b"umask" => Needs::MODES,
        b"chown" => Needs::MODES | Needs::SUPERUSER,
        b"access" => Needs::MODES | Needs::BY_PATH,
        b"setxattr" | b"getxattr" | b"listxattr" | b"removexattr" => Needs::XATTR,
        b"mknod" if !has(b"file") => Needs::NODES,
        b"getcwd" => Needs::CWD | Needs::ROOT,
        b"chdir" | b"fchdir" => Needs::CWD,
        b"fallocate" if !has(b"extend") => Needs::HOLES,
        b"lseek" if has(b"data") || has(b"hole") => Needs::HOLES,
        b"rename" if has(b"noreplace") || has(b"exchange") => Needs::RENAME_FLAGS,
        b"statfs" => Needs::STATFS,
        b"truncate" => Needs::BY_PATH,
        b"open"
            if words.get(2).is_some_and(|flags| flags.split(|b| *b == b',').any(|flag| flag == b"path")) =>
        {
            Needs::PATH_HANDLES
        }
        _ => Needs::empty(),
    }
}

/// What a step needs of a subject, by its call and what it expects.
fn needs_of(step: &Step) -> Needs {
    let words: Vec<&[u8]> = step.words.iter().map(Vec::as_slice).collect();
    let mut needs = needs_of_call(&step.words);
    if let Some(Expect::Fields(fields)) = &step.expect {
        let has = |keys: &[&str]| fields.iter().any(|(key, _)| keys.contains(&key.as_str()));
        needs.set(Needs::MODES, needs.contains(Needs::MODES) || has(&["mode", "uid", "gid"]));
        needs.set(Needs::SUPERUSER, needs.contains(Needs::SUPERUSER) || has(&["uid", "gid"]));
    }
    let privileged: [&[u8]; 2] = [b"trusted.", b"security."];
    if words.iter().any(|word| privileged.iter().any(|namespace| word.starts_with(namespace))) {
        needs |= Needs::SUPERUSER;
    }
    let leads_out = |word: &&[u8]| {
        let path = match word.iter().position(|byte| *byte == b':') {
            Some(colon) if word.first() == Some(&b'%') => &word[colon + 1..],
            _ => word,
        };
        path.first() == Some(&b'/') || path.split(|byte| *byte == b'/').any(|part| part == b"..")
    };
    if words.iter().skip(1).any(leads_out) {
        needs |= Needs::ROOT;
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_cases() {
        let source =
            ":: w\nfile f\n== t {a}\nuse w\nunlink {a} {b} => {c}\n-- a b c\n\"x y\" ~ ENOENT\nf q ok\n";
        let cases = parse("t.txt", source).unwrap();
        assert_eq!(cases.len(), 2);
        assert_eq!(cases[0].steps[1].words, [b"unlink".to_vec(), b"x y".to_vec()]);
        assert_eq!(cases[0].steps[1].line, 7);
        assert!(cases[0].steps[1].expect.as_ref().unwrap().is_error());
        assert_eq!(cases[1].name, "t: t f");
    }

    #[test]
    fn needs_are_seen() {
        let needs = |line: &str| needs_of(&step(1, line).unwrap());
        assert_eq!(needs("mkdir a"), Needs::empty());
        assert_eq!(needs("mkdir a/../b"), Needs::ROOT);
        assert_eq!(needs("symlink /x b"), Needs::ROOT);
        assert_eq!(needs("rename a b exchange"), Needs::RENAME_FLAGS);
        assert_eq!(needs("stat a => {mode=644}"), Needs::MODES);
    }
}
