//! The trace, the figures, the help, completions: what vnode says itself, and where.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use support::{CREATE, Module, PRINT_ARGS, exits_with, guest, run, vnode};

/// The lines of a trace with the times taken out.
fn without_times(trace: &str) -> Vec<&str> {
    trace
        .lines()
        .filter(|line| *line != "+++ exited with 20 +++" && *line != "+++ exited with 0 +++")
        .map(|line| {
            let (call, time) = line.rsplit_once(" <").unwrap();
            let time = time.strip_suffix('>').unwrap();
            assert!(time.parse::<f64>().is_ok_and(|seconds| (0.0..10.0).contains(&seconds)), "{line}");
            call
        })
        .collect()
}

#[test]
fn a_trace_has_a_line_for_each_call_with_paths_and_names_of_errors() {
    let twice = exits_with(&format!("(i32.add {CREATE} {CREATE})"));
    let expected = [
        "path_open(3</>, \"f\", CREAT|EXCL, FD_WRITE) = 4",
        "path_open(3</>, \"f\", CREAT|EXCL, FD_WRITE) = -1 EEXIST (file exists)",
    ];
    let to_stderr = twice.run(&["--trace"], &[]);
    assert_eq!((to_stderr.code, to_stderr.stdout.as_str()), (Some(20), ""));
    let lines = without_times(&to_stderr.stderr);
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, expected) in lines.iter().zip(expected) {
        let (call, result) = line.split_once(" = ").unwrap();
        assert_eq!(result, expected.split_once(" = ").unwrap().1);
        assert!(call.starts_with("path_open(3</>, ") && call.contains("\"f\""), "{call}");
    }
    let file = twice.directory.path().join("trace");
    let to_file = twice.run(&[&format!("--trace={}", file.display())], &[]);
    assert_eq!((to_file.code, to_file.stderr.as_str()), (Some(20), ""));
    assert_eq!(without_times(&std::fs::read_to_string(&file).unwrap()), lines);
}

#[test]
fn a_trace_shows_what_was_done_to_where() {
    let ran = run(["run", "--trace", &guest("tour")]);
    assert_eq!(ran.code, Some(0));
    let calls = without_times(&ran.stderr);
    let has = |call: &str, text: &str| calls.iter().any(|line| line.starts_with(call) && line.contains(text));
    assert!(has("path_symlink(", "\"/etc/motd\""), "{calls:#?}");
    assert!(has("path_filestat_get(", "-1 ELOOP (too many levels of symbolic links)"), "{calls:#?}");
    assert!(has("path_rename(", " = 0"), "{calls:#?}");
    assert!(has("fd_write(", "1<stdout>"), "{calls:#?}");
}

#[test]
fn figures_for_people_go_to_stderr_behind_the_guests_own() {
    let module = Module::new(PRINT_ARGS);
    let ran = module.run(&["--stats", "--argv0", "x", "--tmpfs", "/tmp"], &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "x\0"));
    assert!(ran.stderr.starts_with("vnode: ran "), "{}", ran.stderr);
    for text in ["calls: 1, failed: 0; module ", "\n  /tmp: 0 bytes in 1 inodes\n", " bytes ", "  fd_write\n"]
    {
        assert!(ran.stderr.contains(text), "{text}: {}", ran.stderr);
    }
}

#[test]
fn figures_for_programs_are_one_object() {
    let module = exits_with(&format!("(i32.add {CREATE} {CREATE})"));
    let ran = module.run(&["--stats=json"], &[]);
    assert_eq!(ran.code, Some(20));
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    let report: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((&report["calls"], &report["errors"]), (&2.into(), &1.into()));
    assert_eq!(report["by_call"][0]["call"], "path_open");
    assert_eq!(report["filesystems"][0]["at"], "/");
    assert_eq!(report["filesystems"][0]["type"], "tmpfs");
    assert_eq!(report["filesystems"][0]["inodes"], 2);
    assert!(report["seconds"]["run"].as_f64().unwrap() > 0.0);
}

#[test]
fn quiet_leaves_errors() {
    let spin = Module::new(r#"(func (export "_start") (loop $again (br $again)))"#);
    let ran = spin.run(&["--quiet", "--timeout", "10ms"], &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(124), ""));
    run(["run", "--quiet", "/no/such"]).fails(127, "no such module");
    let trap = Module::new(r#"(func (export "_start") unreachable)"#);
    assert!(trap.run(&["--quiet"], &[]).stderr.contains("wasm trap"));
}

#[test]
fn the_version_is_on_stdout() {
    run(["--version"]).prints(&format!("vnode {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn nothing_is_coloured_that_goes_to_no_terminal() {
    for words in [&["--help"][..], &["run", "--help"], &["run", "--bogus"]] {
        let ran = run(words);
        assert!(!ran.stdout.contains('\x1b') && !ran.stderr.contains('\x1b'));
    }
}

#[test]
fn completions_are_made_for_each_shell_from_the_same_table() {
    for (shell, marks) in [
        ("bash", &["_vnode", "--dir", "--volume", "--mapdir", "--tmpfs", "--copy", "--mount"][..]),
        ("zsh", &["#compdef vnode", "--timeout"]),
        ("fish", &["complete -c vnode", "tmpfs"]),
        ("elvish", &["vnode"]),
        ("powershell", &["Register-ArgumentCompleter"]),
    ] {
        let ran = run(["completions", shell]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        for mark in marks {
            assert!(ran.stdout.contains(mark), "{shell}: {mark}");
        }
    }
    let bash = run(["completions", "bash"]).stdout;
    assert!(
        bash.contains("type=host,src= type=tmpfs,dst= type=copy,src="),
        "the full form's beginnings are offered"
    );
    let checked = vnode_shell_check(&bash);
    assert!(checked, "bash takes the script");
}

fn vnode_shell_check(script: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("completions.bash");
    std::fs::write(&path, script).unwrap();
    std::process::Command::new("bash").arg("-n").arg(path).status().is_ok_and(|status| status.success())
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    for words in [&["completions", "bash"][..], &["run", "--help"], &["--version"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = vnode().args(words).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{words:?}");
    }
}

#[test]
fn help_teaches() {
    let help = |words: &[&str]| {
        let output = vnode().args(words).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        String::from_utf8(output.stdout).unwrap()
    };
    insta::assert_snapshot!("vnode", help(&["--help"]));
    insta::assert_snapshot!("run_short", help(&["run", "-h"]));
    insta::assert_snapshot!("run", help(&["run", "--help"]));
    insta::assert_snapshot!("completions", help(&["completions", "--help"]));
    insta::assert_snapshot!("sandbox", help(&["help", "sandbox"]));
    let commands = [
        "list", "show", "diff", "apply", "discard", "fork", "export", "unmount", "rename", "delete", "prune",
    ];
    let all = commands.map(|name| help(&["sandbox", name, "--help"]));
    insta::assert_snapshot!("sandbox_commands", all.join("\n----\n\n"));
}

#[test]
fn help_fits_the_terminal() {
    for words in [
        &["--help"][..],
        &["run", "-h"],
        &["run", "--help"],
        &["sandbox", "--help"],
        &["sandbox", "apply", "--help"],
    ] {
        let text = run(words).stdout;
        let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 100).collect();
        assert!(long.is_empty(), "{long:#?}");
    }
}
