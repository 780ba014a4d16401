//! Names and messages from outside, made fit for a terminal: no character of theirs drives it.

use std::ffi::OsStr;

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
}
