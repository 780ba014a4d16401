//! The table of attacks in `SECURITY.md` and the tests of attacks: each names the other.

use super::Finding;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const DOCUMENT: &str = "SECURITY.md";
/// The heading of the section with the table.
const SECTION: &str = "## Attacks";
/// Where every test is an attack.
const TESTS: [&str; 3] =
    ["crates/wasmtime/tests/attacks/", "crates/host/tests/attacks/", "crates/host/tests/race/"];
/// A part of the tests that is none.
const METER: &str = "allocated";

/// A test: the stem of its file, or its directory's name for `mod.rs` and `main.rs`, and its function.
type Test = (String, String);

pub(crate) fn check(root: &Path, files: &[String], findings: &mut Vec<Finding>) -> Result<()> {
    let read =
        |path: &str| fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"));
    let document = read(DOCUMENT)?;
    let mut tests = Vec::new();
    let mut attacks = Vec::new();
    for path in files.iter().filter(|path| path.starts_with("crates/") && path.ends_with(".rs")) {
        let found = tests_in(path, &read(path)?);
        if TESTS.iter().any(|tests| path.starts_with(tests)) {
            attacks
                .extend(found.iter().filter(|(test, _)| test.0 != METER).cloned().map(|found| (path, found)));
        }
        tests.extend(found.into_iter().map(|(test, _)| test));
    }
    let rows = rows(&document);
    for (line, row) in &rows {
        let named = tests_named(row);
        if named.is_empty() {
            findings.push(Finding::new(DOCUMENT, *line, "no test stands for this attack: name one"));
        }
        for test in named.iter().filter(|test| !tests.contains(test)) {
            let message = format!("there is no test {}::{}: correct the name", test.0, test.1);
            findings.push(Finding::new(DOCUMENT, *line, message));
        }
    }
    for (path, (test, line)) in attacks {
        if !rows.iter().any(|(_, row)| tests_named(row).contains(&test)) {
            let message = format!("{}::{} stands in no row of the table in {DOCUMENT}", test.0, test.1);
            findings.push(Finding::new(path, line, message));
        }
    }
    Ok(())
}

/// The functions marked as tests, with their lines from 1.
fn tests_in(path: &str, content: &str) -> Vec<(Test, usize)> {
    let mut parts = path.trim_end_matches(".rs").rsplit('/');
    let stem = parts.find(|part| !matches!(*part, "mod" | "main")).unwrap_or_default();
    let mut tests = Vec::new();
    let mut marked = false;
    for (index, line) in content.lines().map(str::trim_start).enumerate() {
        let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let Some(name) = name.and_then(|rest| rest.split('(').next())
            && std::mem::take(&mut marked)
        {
            tests.push(((stem.to_owned(), name.to_owned()), index + 1));
        }
        marked |= line.starts_with("#[test]");
    }
    tests
}

/// The rows of the section's table, with their lines from 1.
fn rows(document: &str) -> Vec<(usize, &str)> {
    let lines = document.lines().enumerate().map(|(index, line)| (index + 1, line));
    let section = lines.skip_while(|(_, line)| *line != SECTION).skip(1);
    let section = section.take_while(|(_, line)| !line.starts_with("## "));
    let table = section.filter(|(_, line)| line.starts_with('|'));
    // The head and the line below it.
    table.skip(2).collect()
}

/// What stands in a row as `file::test`.
fn tests_named(row: &str) -> Vec<Test> {
    let spans = row.split('`').skip(1).step_by(2);
    spans
        .filter_map(|span| span.split_once("::"))
        .map(|(file, test)| (file.to_owned(), test.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(file: &str, name: &str) -> Test {
        (file.to_owned(), name.to_owned())
    }

    #[test]
    fn tests_are_found_by_their_mark() {
        let content = "fn helper() {}\n#[test]\nfn one() {}\n/// Two.\n#[test]\n#[inline]\nfn two(\n";
        let expected = vec![(test("links", "one"), 3), (test("links", "two"), 7)];
        assert_eq!(tests_in("crates/x/tests/links.rs", content), expected);
        assert_eq!(tests_in("crates/x/tests/links/main.rs", content), expected);
    }

    #[test]
    fn a_row_names_its_tests() {
        let document = "| a | `b::c` |\n## Attacks\n\n| what | test |\n| --- | --- |\n| x | `a::b`, `c::d` and `e` |\n\n## Next\n| y |\n";
        let rows = rows(document);
        assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [6]);
        assert_eq!(tests_named(rows[0].1), [test("a", "b"), test("c", "d")]);
    }
}
