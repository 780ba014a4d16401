//! The guest's environment: what `--env` and `--env-file` say, and nothing else.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use vnode_cli::text::shown;

use crate::failure::Failure;
use crate::options::{Run, Variable};

/// The variables to set, in order; a later one goes over an earlier one.
///
/// # Errors
/// A file can't be read, or a line of it is no variable.
pub(crate) fn collect(options: &Run) -> Result<Vec<(OsString, OsString)>, Failure> {
    let mut variables = Vec::new();
    for file in &options.env_file {
        variables.extend(read(file)?);
    }
    variables.extend(options.env.iter().cloned());
    Ok(variables.into_iter().filter_map(with_value).collect())
}

/// The value given, or vnode's own; nothing if it has none either.
fn with_value(variable: Variable) -> Option<(OsString, OsString)> {
    let value = variable.value.or_else(|| std::env::var_os(&variable.name))?;
    Some((variable.name, value))
}

fn read(file: &Path) -> Result<Vec<Variable>, Failure> {
    let name = shown(file.as_os_str());
    let bytes = std::fs::read(file).map_err(|error| Failure::setup(format!("can't read {name}: {error}")))?;
    lines(&bytes).map_err(|(line, problem)| Failure::setup(format!("{name}:{line}: {problem}")))
}

/// The variables that lines say; else the number of the line that is wrong, and how.
fn lines(bytes: &[u8]) -> Result<Vec<Variable>, (usize, String)> {
    let mut variables = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii_start().is_empty() || line.trim_ascii_start().starts_with(b"#") {
            continue;
        }
        if line.contains(&0) {
            return Err((number, "the line has a NUL byte".to_owned()));
        }
        if let Some(rest) = line.trim_ascii_start().strip_prefix(b"export")
            && rest.first().is_some_and(u8::is_ascii_whitespace)
        {
            return Err((number, "this is no shell script: write NAME=VALUE without \"export\"".to_owned()));
        }
        variables.push(Variable::parse(OsStr::from_bytes(line)).map_err(|problem| (number, problem))?);
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_a_variable_on_each_line() {
        let variables = lines(b"# a comment\n\nA=1 # not a comment\r\n  \nB=\nC\nD==x").unwrap();
        let expected = [("A", Some("1 # not a comment")), ("B", Some("")), ("C", None), ("D", Some("=x"))];
        assert_eq!(variables.len(), expected.len());
        for (variable, (name, value)) in variables.iter().zip(expected) {
            assert_eq!(
                (variable.name.to_str(), variable.value.as_deref()),
                (Some(name), value.map(OsStr::new))
            );
        }
        assert_eq!(lines(b"A=1\n=2").unwrap_err().0, 2);
        assert_eq!(lines(b"A=\0").unwrap_err().0, 1);
        let (line, problem) = lines(b"A=\"1\"\n export\tX=1").unwrap_err();
        assert!(line == 2 && problem.contains("without \"export\""), "{problem}");
        assert_eq!(lines(b"exported=1\nexport=2").unwrap().len(), 2);
        assert_eq!(lines(b"A=\"1\"").unwrap()[0].value.as_deref(), Some(OsStr::new("\"1\"")));
    }
}
