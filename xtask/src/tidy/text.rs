//! What every text file looks like: ASCII, no blanks at the ends of lines, nothing left undone.

use super::Finding;

/// Words that mean that something is not finished, and where they may stand: nowhere but here.
const UNFINISHED: &[&str] = &["todo!(", "unimplemented!(", "#[ignore", "dbg!("];
const SELF: &str = "xtask/src/tidy/text.rs";

/// Whether a file is not text that somebody writes: programs made it.
pub(crate) fn is_binary(path: &str) -> bool {
    // What fuzzers are fed.
    path.starts_with("fuzz/seeds/")
        || path.starts_with("fuzz/regressions/")
        || [".wasm", ".snap", ".png", ".tar", ".gz", ".zip", ".db"]
            .iter()
            .any(|ending| path.ends_with(ending))
}

pub(crate) fn check(path: &str, bytes: &[u8], findings: &mut Vec<Finding>) {
    if path.ends_with("Cargo.lock") {
        return;
    }
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let mut find = |message: &str| findings.push(Finding::new(path, index + 1, message));
        if let Some(column) = line.iter().position(|byte| !byte.is_ascii()) {
            find(&format!("a byte that is not ASCII in column {}: spell it with an escape", column + 1));
        }
        // In a conformance script, the last word of a line may be an empty parameter.
        if !path.starts_with("crates/conformance/cases/")
            && (line.ends_with(b" ") || line.ends_with(b"\t") || line.ends_with(b"\r"))
        {
            find("blanks at the end of the line: remove them");
        }
        if path.ends_with(".rs") && path != SELF {
            let text = String::from_utf8_lossy(line);
            if let Some(word) = UNFINISHED.iter().find(|word| text.contains(**word)) {
                find(&format!("`{word}`: finish it or leave it out"));
            }
        }
    }
    if !bytes.is_empty() && !bytes.ends_with(b"\n") {
        let lines = bytes.split(|byte| *byte == b'\n').count();
        findings.push(Finding::new(path, lines, "no newline at the end of the file: add it"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, content: &str) -> Vec<usize> {
        let mut findings = Vec::new();
        check(path, content.as_bytes(), &mut findings);
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn sources_are_ascii() {
        assert_eq!(lines("a.md", "x\ncaf\u{e9}\n"), [2]);
        assert!(lines("a.md", "cafe\n").is_empty());
    }

    #[test]
    fn lines_end_cleanly() {
        assert_eq!(lines("a.c", "x \ny\t\nz\r\nw"), [1, 2, 3, 4]);
    }

    #[test]
    fn nothing_is_left_undone() {
        assert_eq!(lines("a.rs", "fn f() {\n    todo!()\n}\n"), [2]);
        assert_eq!(lines("a.rs", "#[ignore = \"slow\"]\n"), [1]);
        assert!(lines("a.md", "todo!()\n").is_empty());
    }
}
