//! Names and targets as git quotes them (`quote_c_style`): what remains is ASCII, on one line.

use std::fmt::Write as _;

/// A path as it stands in a patch: in quotes, with escapes, if it has anything but printable ASCII, or a quote or a
/// backslash.
pub(super) fn quoted(path: &[u8]) -> String {
    quote(path, false)
}

/// The same as it stands in a line with other words: in quotes also if it has a space, or nothing.
pub(crate) fn word(path: &[u8]) -> String {
    quote(path, true)
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn quote(path: &[u8], as_word: bool) -> String {
    let is_split = as_word && (path.is_empty() || path.contains(&b' '));
    let needs = is_split || !path.iter().copied().all(is_plain);
    let mut text = String::with_capacity(path.len() + 2);
    if needs {
        text.push('"');
    }
    for &byte in path {
        match byte {
            _ if is_plain(byte) => text.push(char::from(byte)),
            7..=13 => text.extend(['\\', char::from(b"abtnvfr"[usize::from(byte - 7)])]),
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            _ => {
                let _ = write!(text, "\\{byte:03o}");
            }
        }
    }
    if needs {
        text.push('"');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_git_does() {
        for (name, quoted_name) in [
            (&b"/a/b"[..], "/a/b"),
            (b"-n", "-n"),
            (b"nl\nx", r#""nl\nx""#),
            (b"q\"uo\\", r#""q\"uo\\""#),
            (b"\x07\x08\t\n\x0b\x0c\r", r#""\a\b\t\n\v\f\r""#),
            (b"\x1b[31m\x7f\xc3\xa9\xff\0", r#""\033[31m\177\303\251\377\000""#),
            (b"sp ace", "sp ace"),
        ] {
            assert_eq!(quoted(name), quoted_name);
        }
        assert_eq!(
            (word(b"sp ace"), word(b""), word(b"a")),
            ("\"sp ace\"".into(), "\"\"".into(), "a".into())
        );
    }
}
