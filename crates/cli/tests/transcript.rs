//! The README's transcripts: each of their commands is run, and must print what stands there. `VNODE_BLESS=1` writes what
//! they print.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const BEGIN: &str = "<!-- transcript";
const FENCE: &str = "```";

/// What the commands find where they are run.
const FILES: [(&str, &str); 3] = [
    ("README", "A program.\nIt is in main.c.\n"),
    ("main.c", "int main(void) { return 1; }\n"),
    ("old/notes", "Nothing of use.\n"),
];

/// The guest that is run: it does what it is told, in a shell's words.
const TIDY: &str = "\
cd /project
mkdir src
mv main.c src
echo 'int main(void) { return 0; }' > src/main.c
echo 'It is in src.' >> README
rm -r old
ln -s src/main.c main.c
";

/// Runs the lines after `$ `, one after the other in one shell; answers each with what it printed.
fn transcript(lines: &[&str], top: &Path) -> String {
    let project = top.join("project");
    for (name, text) in FILES {
        let file = project.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    fs::write(top.join("tidy.sh"), TIDY).unwrap();
    fs::create_dir(top.join("bin")).unwrap();
    for name in ["sh", "mkdir", "mv", "echo", "rm", "ln"] {
        fs::copy(support::guest("shell"), top.join(format!("bin/{name}.wasm"))).unwrap();
    }
    let mut script = String::new();
    for line in lines {
        let quoted = line.replace('\'', "'\\''");
        writeln!(script, "printf '%s\\n' '$ {quoted}'\n{line}").unwrap();
    }
    let mut shell = support::vnode_in(Command::new("sh"), &top.join("state"));
    let binaries = Path::new(env!("CARGO_BIN_EXE_vnode")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    shell.env("PATH", path).arg("-c").arg(format!("exec 2>&1\n{script}")).current_dir(project);
    let ran = shell.stdin(Stdio::null()).output().unwrap();
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn the_readme_shows_what_commands_print() {
    let readme = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = fs::read_to_string(&readme).unwrap();
    let mut told = String::new();
    let mut lines = text.lines();
    let mut transcripts = 0;
    while let Some(line) = lines.next() {
        told += &format!("{line}\n");
        if !line.starts_with(BEGIN) {
            continue;
        }
        told += &format!("{}\n", lines.next().unwrap());
        let shown: Vec<&str> = lines.by_ref().take_while(|line| *line != FENCE).collect();
        let commands: Vec<&str> = shown.iter().filter_map(|line| line.strip_prefix("$ ")).collect();
        let top = tempfile::tempdir().unwrap();
        let printed = transcript(&commands, top.path());
        told += &printed.replace(top.path().to_str().unwrap(), "/home/me");
        told += &format!("{FENCE}\n");
        transcripts += 1;
    }
    assert!(transcripts > 0, "there is no transcript in the README");
    if std::env::var_os("VNODE_BLESS").is_some() {
        fs::write(&readme, told).unwrap();
    } else {
        assert_same(&text, &told);
    }
}

/// Tells the first line that differs.
#[track_caller]
fn assert_same(stands: &str, printed: &str) {
    for (number, (stands, printed)) in stands.lines().zip(printed.lines()).enumerate() {
        assert_eq!(stands, printed, "README.md:{}; VNODE_BLESS=1 writes what is printed", number + 1);
    }
    assert_eq!(stands.lines().count(), printed.lines().count());
}
