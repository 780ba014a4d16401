//! Each operation is crossed with each error of its man page: some case expects it.

use std::collections::HashSet;

use vnode_conformance::differ::tally;
use vnode_conformance::suite;
use vnode_conformance::value::Expect;

/// What the sequences of the differential tester leave out and the cases have.
const MORE: &[(&str, &str)] = &[
    ("chown", "EROFS"),
    ("fallocate", "EFBIG"),
    ("fallocate", "ENOSPC"),
    ("file", "ENOSPC"),
    ("lseek", "ENXIO"),
    ("mkdir", "ENOSPC"),
    ("mknod", "ENOSPC"),
    ("setxattr", "E2BIG"),
    ("setxattr", "ERANGE"),
    ("symlink", "ENOSPC"),
    ("write", "ENOSPC"),
];

#[test]
fn every_error_of_every_operation_has_a_case() {
    let cases = suite::cases().expect("case files");
    let mut seen = HashSet::new();
    for step in cases.iter().flat_map(|case| &case.steps) {
        if let (Some(verb), Some(Expect::Error(errno))) = (step.words.first(), &step.expect) {
            seen.insert((String::from_utf8_lossy(verb).into_owned(), errno.clone()));
        }
    }
    println!("{} cases, {} pairs of an operation and an error", cases.len(), seen.len());
    let missing: Vec<_> = tally::expected()
        .chain(MORE.iter().copied())
        .filter(|(verb, errno)| !seen.contains(&((*verb).to_owned(), (*errno).to_owned())))
        .map(|(verb, errno)| format!("{verb}: {errno}"))
        .collect();
    assert!(missing.is_empty(), "no case expects\n{}", missing.join("\n"));
}

#[test]
fn there_are_cases_enough() {
    let cases = suite::cases().expect("case files");
    let unprivileged = cases.iter().filter(|case| case.is_unprivileged()).count();
    assert!(cases.len() >= 400, "{} cases", cases.len());
    assert!(unprivileged >= 60, "{unprivileged} cases as other users than root");
    let mut names = HashSet::new();
    for case in &cases {
        let row = case.steps.iter().map(|step| step.text.as_str()).collect::<Vec<_>>().join("\n");
        assert!(names.insert(row), "{} is there twice", case.name);
    }
}
