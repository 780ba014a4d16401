//! The examples, run for what they say.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "a test may fail")]

#[path = "../examples/agent.rs"]
mod agent;
#[path = "../examples/captured_stdio.rs"]
mod captured_stdio;
#[path = "../examples/custom_filesystem/main.rs"]
mod custom_filesystem;
#[path = "../examples/limits.rs"]
mod limits;
#[path = "../examples/own_filesystem/main.rs"]
mod own_filesystem;
#[path = "../examples/plugin.rs"]
mod plugin;
#[path = "../examples/swap.rs"]
mod swap;
#[path = "../examples/thousand_guests.rs"]
mod thousand_guests;

use std::error::Error;
use std::io::Write;

fn said(run: impl FnOnce(&mut dyn Write) -> Result<(), Box<dyn Error>>) -> String {
    let mut out = Vec::new();
    run(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_plugin_is_given_files_and_its_files_are_read() {
    assert_eq!(said(plugin::run), "the plugin wrote 13 bytes: Hello, world\nand then: Hello, vnode\n");
}

#[test]
fn an_agents_attempts_are_looked_at_and_applied() {
    let expected = "deletes-the-tests:\n\
        \x20 A /plan\n\
        \x20 M /src/main: return-2 -> return-1\n\
        \x20 D /tests/check\n\
        \x20 dropped\n\
        fixes-the-program:\n\
        \x20 A /plan\n\
        \x20 M /src/main: return-2 -> return-0\n\
        \x20 A /src/notes\n\
        \x20 applied\n\
        plants-a-link:\n\
        \x20 A /plan\n\
        \x20 A /src/data\n\
        \x20 dropped\n\
        the program is return-0\n\
        the tests are thorough\n\
        there is a plan: false\n";
    assert_eq!(said(agent::run), expected);
}

#[test]
fn standard_streams_are_captured() {
    let expected = "short: \"one line\\n\", truncated: false\n\
        long: \"a line that is l\", truncated: true\n\
        log: short: copied\n\
        log: long: copied\n";
    assert_eq!(said(captured_stdio::run), expected);
}

#[test]
fn a_filesystem_of_ones_own_is_as_linux() {
    // That it passes the conformance suite is tested there (`crates/conformance/tests/custom.rs`).
    let said = said(custom_filesystem::run);
    assert!(said.trim_end().ends_with("checks as on Linux."), "{said}");
}

#[test]
fn what_a_guest_writes_is_in_the_embedders_table() {
    let expected = "note: inode 3, mode 644, 16 bytes: a guest was here\n";
    assert_eq!(said(own_filesystem::run), expected);
}

#[test]
fn limits_are_reached() {
    let expected = "1 MiB of memory: grows 15 times, then error 1\n\
        64 KiB of storage: writes 4 KiB 16 times, then error 51\n\
        10 inodes: makes a directory 8 times, then error 51\n\
        20 descriptors: opens 15 times, then error 33\n\
        50 ms: its time was over\n";
    assert_eq!(said(limits::run), expected);
}

#[test]
fn another_wasi_is_swapped_in() {
    let expected = "on a thread: request  7\n\
        the embedder's data: 7; its fuel: true\n\
        without fuel: Some(OutOfFuel)\n\
        on an executor: request  7\n";
    assert_eq!(said(swap::run), expected);
}

#[test]
fn a_thousand_guests_run_at_once() {
    let said = said(thousand_guests::run);
    assert!(said.contains("1000 guests went on and ended well"), "{said}");
    assert!(said.ends_with("0 directories are left\n"), "{said}");
    println!("{said}");
}
