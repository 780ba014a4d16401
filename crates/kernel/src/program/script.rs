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

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn ends_word(byte: u8) -> bool {
    is_blank(byte) || byte == 0
}

/// What the first bytes of a file are; 256 of them, unless it has fewer.
///
/// Linux looks at a buffer whose rest is NUL bytes, and takes the bytes at both ends of what it searches: so a path can be
/// empty, and an argument, too.
pub(super) fn head(bytes: &[u8]) -> Head<'_> {
    if !bytes.starts_with(b"#!") {
        return Head::Other;
    }
    let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
    let first = |from: usize, to: usize, wanted: fn(u8) -> bool| (from..=to).find(|&index| wanted(at(index)));
    let is_word = |byte: u8| !is_blank(byte);
    let mut end = match bytes.iter().take(HEAD).position(|&byte| byte == b'\n') {
        Some(newline) => newline,
        // Where the path may be cut, nothing is executed.
        None => match first(2, HEAD - 1, is_word).and_then(|path| first(path, HEAD - 1, ends_word)) {
            Some(_) => HEAD - 1,
            None => return Head::Unusable,
        },
    };
    while is_blank(at(end - 1)) {
        end -= 1;
    }
    let Some(path) = first(2, end, is_word).filter(|&path| path != end) else { return Head::Unusable };
    let behind = first(path, end, ends_word);
    let argument = behind.filter(|&behind| at(behind) != 0).and_then(|behind| first(behind, end, is_word));
    let text = |from: usize, to: usize| {
        let text = bytes.get(from..to.min(bytes.len())).unwrap_or_default();
        text.split(|&byte| byte == 0).next().unwrap_or_default()
    };
    Head::Script(Interpreter {
        path: text(path, behind.unwrap_or(end)),
        argument: argument.map(|argument| text(argument, end)),
    })
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
        assert_eq!(head(b"#! \t\n/bin/sh"), Head::Unusable);
        assert_eq!(head(b"#!\n/bin/sh"), Head::Unusable);
    }

    #[test]
    fn what_is_missing_is_nul_bytes() {
        assert_eq!(script(b"#!"), Some((&b""[..], None)));
        assert_eq!(script(b"#!\0/bin/sh\n"), Some((&b""[..], None)));
        assert_eq!(script(b"#!/bin/sh \n"), Some((&b"/bin/sh"[..], None)));
        assert_eq!(script(b"#!/bin/sh "), Some((&b"/bin/sh"[..], Some(&b""[..]))));
        assert_eq!(script(b"#!/bin/sh x "), Some((&b"/bin/sh"[..], Some(&b"x "[..]))));
    }

    #[test]
    fn a_path_that_may_be_cut_is_not_taken() {
        let mut long = b"#!/".to_vec();
        long.resize(HEAD, b'x');
        assert_eq!(head(&long), Head::Unusable);
        long[100] = b' ';
        assert_eq!(script(&long).map(|(path, _)| path.len()), Some(98), "only the argument is cut");
        assert_eq!(script(&long).and_then(|(_, argument)| argument).map(<[u8]>::len), Some(154));
        long[101..].fill(b' ');
        assert_eq!(script(&long).map(|(path, argument)| (path.len(), argument)), Some((98, None)));
    }
}
