//! What goes to a terminal: names and messages from outside, of which no character drives it, and progress.

use std::ffi::OsStr;
use std::io::IsTerminal as _;

/// A text of several lines with its control characters escaped, but for the ends of lines.
pub fn without_controls(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_control() && c != '\n' {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}

/// A name from outside, on one line.
pub fn shown(name: &OsStr) -> String {
    without_controls(&name.display().to_string()).replace('\n', "\\n")
}

/// Whether stderr is a terminal on which a line can be written again and again.
pub fn takes_progress() -> bool {
    std::io::stderr().is_terminal() && !is_dumb(std::env::var_os("TERM").as_deref())
}

/// Whether a terminal has no cursor to move, by the value of `TERM`.
fn is_dumb(term: Option<&OsStr>) -> bool {
    term.is_none_or(|term| term.is_empty() || term == "dumb")
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn nothing_drives_the_terminal() {
        let text = "a\x1b[31m\r\n\tb\u{9b}\u{7f}\u{e9}";
        assert_eq!(without_controls(text), "a\\u{1b}[31m\\r\n\\tb\\u{9b}\\u{7f}\u{e9}");
        assert_eq!(shown(OsStr::from_bytes(b"a\nvnode: \x1b\xff")), "a\\nvnode: \\u{1b}\u{fffd}");
    }

    #[test]
    fn terminals_without_a_cursor_are_dumb() {
        assert!(is_dumb(None) && is_dumb(Some(OsStr::new("dumb"))) && is_dumb(Some(OsStr::new(""))));
        assert!(!is_dumb(Some(OsStr::new("xterm-256color"))));
    }
}
