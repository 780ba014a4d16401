//! The first line of a script (`binfmt_script` in Linux).

/// Bytes of a file that are looked at (`BINPRM_BUF_SIZE`).
pub(super) const HEAD: usize = 256;

/// What a script's first line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Interpreter<'a> {
    pub(super) path: &'a [u8],
    /// Everything behind the path is one argument.
    pub(super) argument: Option<&'a [u8]>,
}

/// What the first bytes of a file are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head<'a> {
    Script(Interpreter<'a>),
    /// A script that nothing can interpret.
    Unusable,
    Other,
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

pub(super) fn head(bytes: &[u8]) -> Head<'_> {
    let Some(line) = bytes.strip_prefix(b"#!") else { return Head::Other };
    let (line, is_whole) = match line.iter().position(|&byte| byte == b'\n') {
        Some(end) => (line.get(..end).unwrap_or_default(), true),
        // A shorter file ends its line, too.
        None => (line, bytes.len() < HEAD),
    };
    // Linux ends strings at a NUL byte.
    let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
    let line = trim(line);
    let end = line.iter().position(|byte| is_blank(byte));
    let (path, rest) = match end {
        Some(end) => line.split_at(end),
        // The path itself may be cut.
        None if !is_whole => return Head::Unusable,
        None => (line, &b""[..]),
    };
    if path.is_empty() {
        return Head::Unusable;
    }
    let argument = trim(rest);
    Head::Script(Interpreter { path, argument: (!argument.is_empty()).then_some(argument) })
}

fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(bytes: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
        match head(bytes) {
            Head::Script(Interpreter { path, argument }) => Some((path, argument)),
            _ => None,
        }
    }

    #[test]
    fn lines_are_read_as_linux_does() {
        assert_eq!(head(b"\0asm"), Head::Other);
        assert_eq!(head(b""), Head::Other);
        assert_eq!(script(b"#!/bin/sh\necho"), Some((&b"/bin/sh"[..], None)));
        assert_eq!(script(b"#! \t/bin/sh \t -e  x \t\n"), Some((&b"/bin/sh"[..], Some(&b"-e  x"[..]))));
        assert_eq!(script(b"#!sh"), Some((&b"sh"[..], None)));
        assert_eq!(script(b"#!/bin/sh\0junk\n"), Some((&b"/bin/sh"[..], None)));
        assert_eq!(head(b"#!"), Head::Unusable);
        assert_eq!(head(b"#! \t\n/bin/sh"), Head::Unusable);
    }

    #[test]
    fn a_path_that_may_be_cut_is_not_taken() {
        let mut long = b"#!/".to_vec();
        long.resize(HEAD, b'x');
        assert_eq!(head(&long), Head::Unusable);
        long[100] = b' ';
        assert_eq!(script(&long).map(|(path, _)| path.len()), Some(98), "only the argument is cut");
    }
}
