//! The rules that no compiler checks: who may call and name what, how large things may get, what sources
//! look like, and that every guest is tested. Each finding says where and what to do.

mod attacks;
mod budgets;
mod dependencies;
mod documents;
mod names;
mod source;
mod text;

use crate::{guests, process};
use anyhow::{Context, Result, bail};
use source::Source;
use std::fmt;
use std::fs;
use std::path::Path;

/// One rule that is broken.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// `cargo xtask tidy`.
pub(crate) fn run() -> Result<()> {
    let root = process::root();
    let mut files = Vec::new();
    collect(&root, &root, &mut files)?;
    files.sort();
    let mut findings = Vec::new();
    for path in &files {
        check_file(&root, path, &mut findings)?;
    }
    documents::check_links(&root, &files, &mut findings)?;
    budgets::check_exceptions(&files, &mut findings);
    check_guests(&root, &files, &mut findings)?;
    attacks::check(&root, &files, &mut findings)?;
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    println!("tidy: {} files, nothing to say", files.len());
    Ok(())
}

/// All files of the repository below `dir`, as paths relative to `root`, but for what is built or git's.
fn collect(root: &Path, dir: &Path, into: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if name != ".git" && !name.starts_with("target") {
                collect(root, &path, into)?;
            }
        } else if let Ok(relative) = path.strip_prefix(root) {
            into.push(relative.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

fn check_file(root: &Path, path: &str, findings: &mut Vec<Finding>) -> Result<()> {
    names::check_file_name(path, findings);
    if text::is_binary(path) {
        return Ok(());
    }
    let bytes = fs::read(root.join(path)).with_context(|| format!("cannot read {path}"))?;
    text::check(path, &bytes, findings);
    let Ok(content) = String::from_utf8(bytes) else { return Ok(()) };
    if path.ends_with(".rs") {
        let source = Source::new(path, &content);
        names::check(&source, findings);
        budgets::check(&source, findings);
    }
    if path.ends_with("Cargo.toml") {
        dependencies::check(path, &content, findings)?;
    }
    Ok(())
}

/// Every guest is run by a test that names it: `guest!("name")` or `"name.wasm"` below `crates/*/tests`.
fn check_guests(root: &Path, files: &[String], findings: &mut Vec<Finding>) -> Result<()> {
    let mut tests = String::new();
    for path in files.iter().filter(|path| is_test_file(path)) {
        tests.push_str(&fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?);
    }
    for source in guests::sources(root)? {
        let name = guests::stem(&source);
        if !names_guest(&tests, &name) {
            let message =
                format!("no test runs this guest: say guest!(\"{name}\") in a test of crates/*/tests");
            findings.push(Finding::new(&format!("guests/src/{name}.c"), 1, message));
        }
    }
    Ok(())
}

fn is_test_file(path: &str) -> bool {
    path.starts_with("crates/") && path.contains("/tests/") && path.ends_with(".rs")
}

fn names_guest(tests: &str, name: &str) -> bool {
    ["guest", "family"].iter().any(|way| tests.contains(&format!("{way}!(\"{name}\")")))
        || tests.contains(&format!("\"{name}.wasm\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_named_by_the_macro_or_by_its_module() {
        assert!(names_guest("guest!(\"links\");", "links"));
        assert!(names_guest("run(\"links.wasm\")", "links"));
        assert!(!names_guest("guest!(\"hardlinks\"); // links", "links"));
    }

    #[test]
    fn only_integration_tests_count() {
        assert!(is_test_file("crates/cli/tests/guests.rs"));
        assert!(!is_test_file("crates/cli/src/tests.rs"));
        assert!(!is_test_file("xtask/tests/x.rs"));
    }

    #[test]
    fn a_finding_says_where() {
        assert_eq!(Finding::new("a/b.rs", 7, "do this").to_string(), "a/b.rs:7: do this");
    }
}
