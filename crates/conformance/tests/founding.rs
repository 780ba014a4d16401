//! What vnode was begun for: symbolic links that are the same to resolution, persistence and mutation.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "helpers of tests")]

use std::path::Path;
use std::process;

use vnode_conformance::founding::{self, Backend, Command, Found, Kept, Way};
use vnode_conformance::kernel::{Kernel, Remote};
use vnode_conformance::suite;
use vnode_conformance::vnode::Layout;

const TMPFS: &str = "/dev/shm";
const LAYOUTS: [Layout; 3] = [Layout::Root, Layout::SubMount, Layout::Below];

fn check(backend: Backend, scenes: &[Found]) {
    let run = |kernel: &mut Remote| {
        let mut failed = Vec::new();
        for &found in scenes {
            for layout in LAYOUTS {
                for kept in [Kept::Cold, Kept::Warm] {
                    let way = Way { backend, found, layout, kept };
                    match founding::run(Path::new(TMPFS), way, kernel) {
                        Ok(count) => println!("{way}: {count} cases"),
                        Err(why) => failed.extend(why),
                    }
                }
            }
        }
        failed
    };
    let failed = Kernel::beside(run).expect("an oracle");
    assert!(failed.is_empty(), "{} failed\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn the_kernel_does_it() {
    let cases = suite::founding_cases("").expect("the case file");
    let report = Kernel::on_thread(|kernel| suite::run(kernel, None, &cases)).expect("an oracle");
    assert!(report.failed.is_empty(), "{report}");
    assert!(report.skipped.is_empty() && report.passed > 100, "{report}");
}

#[test]
fn in_memory() {
    check(Backend::Memory, &[Found::Above]);
}

#[test]
fn in_a_directory_of_the_host() {
    check(Backend::Host, &[Found::Above]);
}

#[test]
fn in_memory_over_a_directory_of_the_host() {
    check(Backend::MemoryOverHost, &[Found::Above, Found::Below]);
}

#[test]
fn in_directories_of_the_host_over_one_another() {
    check(Backend::HostOverHost, &[Found::Above, Found::Below]);
}

#[test]
fn in_memory_over_an_archive() {
    check(Backend::MemoryOverArchive, &[Found::Above, Found::Below]);
}

#[test]
fn where_there_are_no_links() {
    check(Backend::EmulatedInMemory, &[Found::Above]);
    check(Backend::Emulated, &[Found::Above]);
}

#[test]
fn in_a_directory_of_the_host_without_links() {
    check(Backend::EmulatedOnHost, &[Found::Above]);
}

/// Tells a process that it is to be one of two commands: the backend, the layout, the directory, whether it fills.
const COMMAND: &str = "VNODE_TEST_FOUNDING";

/// The backends that another process finds.
const STORED: [Backend; 3] = [Backend::Host, Backend::HostOverHost, Backend::EmulatedOnHost];

/// The process itself, as one of two commands; as a test it is nothing.
#[test]
fn one_of_two_commands() {
    let Ok(text) = std::env::var(COMMAND) else { return };
    let [backend, layout, part, directory] =
        text.splitn(4, ' ').collect::<Vec<_>>().try_into().expect("four words");
    let command = Command {
        backend: STORED.into_iter().find(|known| format!("{known:?}") == backend).expect("a backend"),
        layout: LAYOUTS.into_iter().find(|known| format!("{known:?}") == layout).expect("a layout"),
        directory: directory.into(),
        fills: part == "fills",
    };
    match command.run() {
        Ok(count) => println!("{count} cases"),
        Err(why) => {
            println!("{}", why.join("\n"));
            process::exit(1);
        }
    }
}

/// Has a process of its own be one of two commands; answers what it says if that fails.
fn spawn(backend: Backend, layout: Layout, part: &str, directory: &Path) -> Result<(), String> {
    let text = format!("{backend:?} {layout:?} {part} {}", directory.display());
    let output = process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "one_of_two_commands", "--nocapture"])
        .env(COMMAND, text)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let ran = output.status.success() && said.contains(" cases\n") && said.contains("1 passed");
    if ran { Ok(()) } else { Err(said.into_owned()) }
}

#[test]
fn by_a_second_process() {
    let scratch = Path::new(TMPFS).join(format!("vnode-founding-{}", process::id()));
    for (backend, layout) in STORED.into_iter().flat_map(|backend| LAYOUTS.map(|layout| (backend, layout))) {
        std::fs::create_dir(&scratch).expect("a directory");
        let done = spawn(backend, layout, "fills", &scratch)
            .and_then(|()| spawn(backend, layout, "follows", &scratch));
        std::fs::remove_dir_all(&scratch).expect("it is there");
        assert_eq!(done, Ok(()), "{backend:?}, {layout:?}");
    }
}
