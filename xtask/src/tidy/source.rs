//! A Rust source as the rules see it: lines whose comments and string contents are blanked, whether a line
//! belongs to tests, and where functions begin and end.

/// A Rust source file.
pub(crate) struct Source {
    /// Its path from the root of the repository.
    pub(crate) path: String,
    /// Its lines, with comments and the contents of strings replaced by spaces.
    pub(crate) code: Vec<String>,
    /// For each line, whether it is inside `#[cfg(test)] mod ...`, or the whole file is tests.
    pub(crate) test: Vec<bool>,
}

/// A function: its name and its lines, counted from 0, the last one included.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// The name after `fn`.
    pub(crate) name: String,
    /// The line of `fn`.
    pub(crate) first: usize,
    /// The line of the closing brace.
    pub(crate) last: usize,
}

/// Where the scan is.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Code,
    Block(usize),
    Text,
    Raw(usize),
}

impl Source {
    pub(crate) fn new(path: &str, content: &str) -> Self {
        let code = blank(content);
        let test = if is_test_path(path) { vec![true; code.len()] } else { test_lines(&code) };
        Self { path: path.to_owned(), code, test }
    }

    /// The lines that are not tests, with their numbers from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.iter().zip(&self.test).enumerate();
        lines.filter(|(_, (_, test))| !**test).map(|(index, (line, _))| (index + 1, line.as_str()))
    }

    /// Every function that has a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for (index, line) in self.code.iter().enumerate() {
            let Some(name) = function_name(line) else { continue };
            if let Some(last) = body_end(&self.code, index, line.find("fn ").unwrap_or(0)) {
                functions.push(Function { name, first: index, last });
            }
        }
        functions
    }
}

/// Whether the whole file is tests, or helps them only.
fn is_test_path(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// Replaces comments and what strings hold by spaces, line by line.
fn blank(content: &str) -> Vec<String> {
    let mut state = State::Code;
    content.lines().map(|line| blank_line(line, &mut state)).collect()
}

fn blank_line(line: &str, state: &mut State) -> String {
    let bytes = line.as_bytes();
    let mut out = vec![b' '; bytes.len()];
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        match *state {
            State::Code if rest.starts_with(b"//") => break,
            State::Code if rest.starts_with(b"/*") => (*state, at) = (State::Block(1), at + 2),
            State::Code => at = blank_code(bytes, at, &mut out, state),
            State::Block(depth) if rest.starts_with(b"*/") => {
                *state = if depth == 1 { State::Code } else { State::Block(depth - 1) };
                at += 2;
            }
            State::Block(depth) if rest.starts_with(b"/*") => {
                (*state, at) = (State::Block(depth + 1), at + 2)
            }
            State::Text if rest[0] == b'\\' => at += 2,
            State::Text if rest[0] == b'"' => {
                out[at] = b'"';
                (*state, at) = (State::Code, at + 1);
            }
            State::Raw(hashes) if rest[0] == b'"' && count_hashes(&rest[1..]) >= hashes => {
                out[at] = b'"';
                (*state, at) = (State::Code, at + 1 + hashes);
            }
            State::Block(_) | State::Text | State::Raw(_) => at += 1,
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// One step through code: a string begins, a character literal is skipped, anything else is kept.
fn blank_code(bytes: &[u8], at: usize, out: &mut [u8], state: &mut State) -> usize {
    let rest = &bytes[at..];
    let after_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest[0] == b'r' && (!after_word || bytes[at - 1] == b'b') {
        let hashes = count_hashes(&rest[1..]);
        if rest.get(1 + hashes) == Some(&b'"') {
            *state = State::Raw(hashes);
            return at + 2 + hashes;
        }
    }
    out[at] = rest[0];
    match rest {
        [b'"', ..] => *state = State::Text,
        [b'\'', b'\\', _, tail @ ..] => {
            return at + 4 + tail.iter().position(|byte| *byte == b'\'').unwrap_or(tail.len());
        }
        [b'\'', _, b'\'', ..] => return at + 3,
        _ => {}
    }
    at + 1
}

fn count_hashes(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| **byte == b'#').count()
}

/// For each line, whether it is inside an item marked `#[cfg(test)]` (a `mod tests;` line counts alone).
fn test_lines(code: &[String]) -> Vec<bool> {
    let mut test = vec![false; code.len()];
    for (index, line) in code.iter().enumerate() {
        if !line.trim_start().starts_with("#[cfg(test)]") || test[index] {
            continue;
        }
        let last = body_end(code, index, 0).unwrap_or(index + 1).min(code.len() - 1);
        test[index..=last].fill(true);
    }
    test
}

/// The line where the braces that open at or after `(line, column)` close again; none for what ends with `;`.
fn body_end(code: &[String], line: usize, column: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut brackets = 0usize;
    for (index, text) in code.iter().enumerate().skip(line) {
        let from = if index == line { column } else { 0 };
        for byte in text.bytes().skip(from) {
            match byte {
                b'{' => depth += 1,
                b'}' => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(index);
                    }
                }
                b'(' | b'[' => brackets += 1,
                b')' | b']' => brackets = brackets.saturating_sub(1),
                b';' if depth == 0 && brackets == 0 => return None,
                _ => {}
            }
        }
    }
    None
}

/// The name of the function that a line declares.
fn function_name(line: &str) -> Option<String> {
    let at = line.find("fn ")?;
    let before = line[..at].trim();
    let words = before.split_whitespace();
    let only_qualifiers = words.into_iter().all(|word| {
        matches!(word, "pub" | "const" | "async" | "unsafe" | "extern" | "\"\"" | "default")
            || word.starts_with("pub(")
    });
    let name: String =
        line[at + 3..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    (only_qualifiers && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(content: &str) -> String {
        Source::new("crates/core/src/x.rs", content).code.join("\n")
    }

    #[test]
    fn comments_and_strings_are_blanked() {
        assert_eq!(code("a // b").trim(), "a");
        assert_eq!(code("a /* b\nc */ d"), "a     \n     d");
        assert_eq!(code("f(\"unsafe \\\" x\") y"), "f(\"           \") y");
        assert_eq!(code("r#\"un\"safe\"# z").trim(), "\"  z");
        assert_eq!(code("'\"' + '\\'' + x"), "'   + '    + x");
        assert_eq!(code("&'a str"), "&'a str");
    }

    #[test]
    fn tests_are_told_from_code() {
        let content = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}";
        let source = Source::new("crates/core/src/x.rs", content);
        assert_eq!(source.test, [false, true, true, true, true, false]);
        assert!(Source::new("crates/core/tests/x.rs", "a").test[0]);
    }

    #[test]
    fn functions_have_their_lines() {
        let content = "pub(crate) fn a(\n    x: [u8; 3],\n) -> u8 {\n    { 1 }\n}\ntrait T {\n    fn b();\n}\nfn c() { }";
        let found = Source::new("crates/core/src/x.rs", content).functions();
        let expected = [("a", 0, 4), ("c", 8, 8)];
        assert_eq!(found.len(), 2);
        for (function, (name, first, last)) in found.iter().zip(expected) {
            assert_eq!((function.name.as_str(), function.first, function.last), (name, first, last));
        }
    }

    #[test]
    fn a_function_type_is_no_function() {
        assert_eq!(function_name("let f: fn (u8) = g;"), None);
        assert_eq!(function_name("    pub const fn new() -> Self {"), Some("new".to_owned()));
    }
}
