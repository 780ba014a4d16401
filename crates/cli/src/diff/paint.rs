//! Colours, and content that drives no terminal.

use std::io::{self, Write};

/// What is written in a colour: as git has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    /// What a patch says of a file.
    Header,
    /// Where a hunk is.
    Hunk,
    Added,
    Removed,
    Changed,
}

impl Style {
    /// `ECMA-48` SGR.
    fn begin(self) -> &'static str {
        match self {
            Style::Plain => "",
            Style::Header => "\x1b[1m",
            Style::Hunk => "\x1b[36m",
            Style::Added => "\x1b[32m",
            Style::Removed => "\x1b[31m",
            Style::Changed => "\x1b[33m",
        }
    }
}

/// How text is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) colour: bool,
    /// Content is shown so that it can't drive it.
    pub(super) is_terminal: bool,
}

impl Paint {
    /// Words of our own.
    pub(super) fn text(self, style: Style, text: &str) -> String {
        if self.colour && style != Style::Plain && !text.is_empty() {
            format!("{}{text}\x1b[m", style.begin())
        } else {
            text.to_owned()
        }
    }

    /// A line of our own.
    pub(super) fn line(self, out: &mut dyn Write, style: Style, text: &str) -> io::Result<()> {
        writeln!(out, "{}", self.text(style, text))
    }

    /// A line of a file with a mark before it; it ends with a newline unless it is the file's last.
    pub(super) fn content(self, out: &mut dyn Write, style: Style, mark: u8, line: &[u8]) -> io::Result<()> {
        let (text, ends) = match line.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (line, false),
        };
        let colour = self.colour && style != Style::Plain;
        if colour {
            out.write_all(style.begin().as_bytes())?;
        }
        out.write_all(&[mark])?;
        if self.is_terminal {
            write_visible(out, text)?
        } else {
            out.write_all(text)?
        }
        if colour {
            out.write_all(b"\x1b[m")?;
        }
        out.write_all(b"\n")?;
        if ends { Ok(()) } else { out.write_all(b"\\ No newline at end of file\n") }
    }
}

/// Writes text with everything that isn't seen shown: control characters as `^[`, what is no UTF-8 as `<FF>`, and what
/// changes the order of characters as `<U+202E>`.
fn write_visible(out: &mut dyn Write, text: &[u8]) -> io::Result<()> {
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => out.write_all(b"\t")?,
                '\0'..='\x1f' | '\x7f' => out.write_all(&[b'^', c as u8 ^ 0x40])?,
                _ if c.is_control() || is_unseen(c) => write!(out, "<U+{:04X}>", u32::from(c))?,
                _ => write!(out, "{c}")?,
            }
        }
        for byte in chunk.invalid() {
            write!(out, "<{byte:02X}>")?;
        }
    }
    Ok(())
}

/// Whether a character is one of Unicode's that reorder text or have no width, or of its ends of lines. All have four digits.
pub(super) fn is_unseen(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &[u8], colour: bool, is_terminal: bool) -> Vec<u8> {
        let mut out = Vec::new();
        Paint { colour, is_terminal }.content(&mut out, Style::Added, b'+', line).unwrap();
        out
    }

    #[test]
    fn content_drives_no_terminal() {
        let line = "a\x1b[2J\r\x7f\tb\u{9b}\u{202e}\u{e9}\n".as_bytes();
        let line = [&b"\xff\xc3"[..], line].concat();
        let seen = "+<FF><C3>a^[[2J^M^?\tb<U+009B><U+202E>\u{e9}\n";
        assert_eq!(shown(&line, false, true), seen.as_bytes());
        assert_eq!(shown(&line, false, false), [b"+", &line[..]].concat());
    }

    #[test]
    fn colours_go_around_lines() {
        assert_eq!(shown(b"x\n", true, true), b"\x1b[32m+x\x1b[m\n");
        assert_eq!(shown(b"x", true, true), b"\x1b[32m+x\x1b[m\n\\ No newline at end of file\n");
        let paint = Paint { colour: true, is_terminal: true };
        assert_eq!(paint.text(Style::Removed, "D"), "\x1b[31mD\x1b[m");
        assert_eq!(paint.text(Style::Plain, "D"), "D");
    }
}
