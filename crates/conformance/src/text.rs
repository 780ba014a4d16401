//! The words of a script's line: how bytes are spelled in case files and traces.
//!
//! Words stand apart by blanks. `"..."` holds blanks and the escapes `\n \t \" \\ \xNN`; `<text*n>` is `text`
//! n times over; `#` at a word's start ends the line.

use std::fmt::Write as _;

/// A line that can't be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadText(pub String);

fn bad<T>(why: &str, line: &str) -> Result<T, BadText> {
    Err(BadText(format!("{why}: {line}")))
}

/// Splits a line into words.
///
/// # Errors
/// [`BadText`]: a quote or `<` that doesn't end, an unknown escape, a count that is no number.
pub fn words(line: &str) -> Result<Vec<Vec<u8>>, BadText> {
    let mut out = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with('#') {
            return Ok(out);
        }
        let (word, behind) = word(rest, line)?;
        out.push(word);
        rest = behind;
    }
}

fn word<'a>(mut rest: &'a str, line: &str) -> Result<(Vec<u8>, &'a str), BadText> {
    let mut out = Vec::new();
    loop {
        let mut chars = rest.chars();
        match chars.next() {
            None | Some(' ' | '\t') => return Ok((out, rest)),
            Some('"') => rest = quoted(chars.as_str(), &mut out, line)?,
            Some('<') => rest = repeated(chars.as_str(), &mut out, line)?,
            Some(other) => {
                let mut buffer = [0; 4];
                out.extend_from_slice(other.encode_utf8(&mut buffer).as_bytes());
                rest = chars.as_str();
            }
        }
    }
}

fn quoted<'a>(text: &'a str, out: &mut Vec<u8>, line: &str) -> Result<&'a str, BadText> {
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        match next {
            '"' => return Ok(chars.as_str()),
            '\\' => match chars.next() {
                Some('n') => out.push(b'\n'),
                Some('t') => out.push(b'\t'),
                Some(same @ ('"' | '\\')) => out.push(same as u8),
                Some('x') => {
                    let digits: String = chars.by_ref().take(2).collect();
                    match u8::from_str_radix(&digits, 16) {
                        Ok(byte) => out.push(byte),
                        Err(_) => return bad("\\x without two digits", line),
                    }
                }
                _ => return bad("unknown escape", line),
            },
            other => {
                let mut buffer = [0; 4];
                out.extend_from_slice(other.encode_utf8(&mut buffer).as_bytes());
            }
        }
    }
    bad("a quote without end", line)
}

fn repeated<'a>(text: &'a str, out: &mut Vec<u8>, line: &str) -> Result<&'a str, BadText> {
    let Some((inside, behind)) = text.split_once('>') else { return bad("a < without end", line) };
    let Some((what, count)) = inside.rsplit_once('*') else { return bad("<text*n> without *", line) };
    let Ok(count) = count.parse::<usize>() else { return bad("<text*n> without a number", line) };
    out.extend_from_slice(&what.as_bytes().repeat(count));
    Ok(behind)
}

/// Spells bytes as one word that [`words`] reads back.
pub fn spell(bytes: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'#' | b'\\');
    if !bytes.is_empty() && bytes.iter().all(plain) && bytes.len() < 60 {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    quote(bytes)
}

/// Spells bytes in quotes, a long run of one byte as `<b*n>`.
pub fn quote(bytes: &[u8]) -> String {
    if let [first, .., last] = bytes
        && bytes.len() >= 20
        && first == last
        && first.is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte == first)
    {
        return format!("<{}*{}>", *first as char, bytes.len());
    }
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(byte as char);
            }
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            0x20..=0x7e => out.push(byte as char),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        assert_eq!(words("open f\tr,w  # no").unwrap(), [b"open".to_vec(), b"f".to_vec(), b"r,w".to_vec()]);
        assert_eq!(
            words(r#"a"b c"d "" "\x00\n\"""#).unwrap(),
            [b"ab cd".to_vec(), vec![], b"\0\n\"".to_vec()]
        );
        assert_eq!(words("<ab*3>/x").unwrap(), [b"ababab/x".to_vec()]);
        for wrong in ["\"a", "<a*3", "<a>", "<a*x>", r#""\q""#, r#""\x1""#] {
            assert!(words(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn spelling_is_read_back() {
        let all: Vec<u8> = (0..=255).collect();
        for bytes in [&b""[..], b"abc", b"a b", b"#", b"\"<\\", &all, &[b'x'; 300], b"%h:a"] {
            assert_eq!(words(&spell(bytes)).unwrap(), [bytes.to_vec()], "{}", spell(bytes));
        }
    }
}
