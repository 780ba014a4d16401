//! Sizes: a file has one subject and at most 600 lines, a function does one thing in at most 120.

use super::Finding;
use super::source::Source;

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 120;

/// What may be larger, and why. `function` is empty for a whole file.
struct Exception {
    path: &'static str,
    function: &'static str,
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[Exception {
    path: "crates/conformance/src/call.rs",
    function: "",
    reason: "the table of the script's verbs, one arm each",
}];

pub(crate) fn check(source: &Source, findings: &mut Vec<Finding>) {
    let lines = source.test.iter().filter(|test| !**test).count();
    let lines = if lines == 0 { source.test.len() } else { lines };
    if lines > FILE_LINES && !excepted(&source.path, "") {
        let message = format!("{lines} lines, {FILE_LINES} are the most: give its parts rooms of their own");
        findings.push(Finding::new(&source.path, 1, message));
    }
    for function in source.functions() {
        let lines = function.last + 1 - function.first;
        if lines > FUNCTION_LINES && !excepted(&source.path, &function.name) {
            let message =
                format!("`{}` has {lines} lines, {FUNCTION_LINES} are the most: split it", function.name);
            findings.push(Finding::new(&source.path, function.first + 1, message));
        }
    }
}

fn excepted(path: &str, function: &str) -> bool {
    EXCEPTIONS.iter().any(|exception| exception.path == path && exception.function == function)
}

/// An exception for a file that is gone, or without a reason, is a finding itself.
pub(crate) fn check_exceptions(files: &[String], findings: &mut Vec<Finding>) {
    for exception in EXCEPTIONS {
        if exception.reason.is_empty() || !files.iter().any(|path| path == exception.path) {
            let message = format!("the exception for {} has no reason or no file: drop it", exception.path);
            findings.push(Finding::new("xtask/src/tidy/budgets.rs", 1, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(content: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        check(&Source::new("crates/core/src/x.rs", content), &mut findings);
        findings
    }

    #[test]
    fn long_files_are_found() {
        assert!(findings(&"x\n".repeat(600)).is_empty());
        assert_eq!(findings(&"x\n".repeat(601)).len(), 1);
    }

    #[test]
    fn tests_inside_a_file_do_not_count() {
        let content = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "x\n".repeat(500), "y\n".repeat(500));
        assert!(findings(&content).is_empty());
    }

    #[test]
    fn long_functions_are_found() {
        assert!(findings(&format!("fn f() {{\n{}}}\n", "x;\n".repeat(118))).is_empty());
        let found = findings(&format!("\nfn f() {{\n{}}}\n", "x;\n".repeat(119)));
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2]);
    }
}
