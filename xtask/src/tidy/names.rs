//! Who may name what: reading links, the host's filesystem, `unsafe`, and files that are named for nothing.

use super::Finding;
use super::source::Source;

/// A word that only some files may use.
struct Rule {
    /// The words, as they stand in code.
    words: &'static [&'static str],
    /// Paths, or beginnings of paths, where they may stand.
    allowed: &'static [&'static str],
    /// What to do instead.
    advice: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        // A filesystem's operations take the context first; the operation over paths takes a place.
        words: &[
            ".readlink(cx",
            ".readlink(&cx",
            ".readlink(self.cx",
            ".readlink(&self.cx",
            "Filesystem::readlink",
        ],
        allowed: &[
            "crates/core/src/walk",
            "crates/core/src/ops/links.rs",
            "crates/core/src/erase.rs",
            "crates/adapt/src/",
            // Copying up, and forwarding.
            "crates/overlay/src/",
            // What links say is compared, and none is followed.
            "crates/sandbox/src/compare.rs",
            // A filesystem that forwards, without the walker's short cut.
            "crates/conformance/src/stepwise.rs",
            // A filesystem of an embedder's, which forwards.
            "crates/wasmtime/examples/custom_filesystem/stored.rs",
        ],
        advice: "a filesystem's readlink is called by the walker and the readlink operation only: resolve \
                 the name through the walker",
    },
    Rule {
        words: &["std::path", "std::fs", "std::os"],
        allowed: &[
            "crates/cli/",
            "crates/conformance/",
            "crates/host/",
            "crates/archive/",
            "crates/sandbox/",
            "crates/fuse/",
            // The cache of compiled modules.
            "crates/wasmtime/src/engine.rs",
            // What a program's memory and threads are, in an example that measures.
            "crates/wasmtime/examples/thousand_guests.rs",
            // What an agent's host does with a directory of the host.
            "crates/wasmtime/examples/agent.rs",
            // Layers of the host, and the kernel's overlayfs over such, to be measured.
            "benches/src/layers.rs",
            // Waiting for the descriptors of the command's own standard streams.
            "crates/kernel/src/event.rs",
            "crates/kernel/src/wait.rs",
            "crates/kernel/src/reactor.rs",
            "crates/kernel/src/stream/host.rs",
            // Programs that an embedder gives, by files of the host.
            "crates/kernel/src/commands/content.rs",
            "xtask/",
        ],
        advice: "the host's paths and files are named only where the host is served: guest paths are VPath \
                 and Name",
    },
    Rule {
        words: &["unsafe ", "unsafe{", "unsafe_code"],
        allowed: &[
            "crates/archive/src/mapping.rs",
            // A mapping of the test's own, whose faults are not the archive's.
            "crates/archive/tests/archives/faults.rs",
            "crates/core/src/erase.rs",
            "crates/core/src/io.rs",
            "crates/host/src/sys/direct.rs",
            "crates/host/src/sys/apple/raw.rs",
            "crates/host/src/sys/linux/raw.rs",
            "crates/host/src/sys/raw.rs",
            "crates/kernel/tests/streams/twin.rs",
            "crates/memory/src/slab.rs",
            "crates/wasi/src/memory.rs",
            "crates/wasmtime/src/memory.rs",
            "crates/conformance/src/kernel/",
        ],
        advice: "unsafe code is confined to the files listed in xtask/src/tidy/names.rs: do without, or list \
                 the file there with the reason in its head",
    },
    Rule {
        words: &[
            "DefaultHasher::new",
            "BuildHasherDefault",
            "with_seeds",
            "with_seed",
            "FxHash",
            "fxhash",
            "fnv",
        ],
        allowed: &[],
        advice: "a guest's bytes are hashed with a key that no guest knows: ahash::RandomState::new, or what std \
                 takes by itself",
    },
    Rule {
        words: &["wasmtime::", "tokio::"],
        allowed: &["crates/wasmtime/"],
        advice: "the engine is named in crates/wasmtime only",
    },
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "misc", "helper", "helpers", "stuff"];

pub(crate) fn check(source: &Source, findings: &mut Vec<Finding>) {
    for rule in RULES {
        if rule.allowed.iter().any(|allowed| source.path.starts_with(allowed)) {
            continue;
        }
        for (number, line) in source.lines() {
            if let Some(word) = rule.words.iter().find(|word| names(line, word)) {
                let message = format!("`{}` here: {}", word.trim(), rule.advice);
                findings.push(Finding::new(&source.path, number, message));
            }
        }
    }
}

/// Whether the word stands in the line, not as the end of a longer one.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        word.starts_with('.') || !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

pub(crate) fn check_file_name(path: &str, findings: &mut Vec<Finding>) {
    let mut parts = path.split('/').map(|part| part.split('.').next().unwrap_or(part));
    if let Some(part) = parts.find(|part| EMPTY_NAMES.contains(part)) {
        let message = format!("nothing is called {part:?} here: name what it holds");
        findings.push(Finding::new(path, 1, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, content: &str) -> Vec<usize> {
        let mut findings = Vec::new();
        check(&Source::new(path, content), &mut findings);
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn links_are_read_by_the_walker_only() {
        assert_eq!(findings("crates/core/src/ops/stat.rs", "a\nfs.readlink(cx, x)"), [2]);
        assert!(findings("crates/core/src/walk/step.rs", "fs.readlink(cx, x)").is_empty());
        assert!(findings("crates/core/src/ops/stat.rs", "// fs.readlink(cx, x)").is_empty());
        assert!(findings("crates/memory/src/fs.rs", "fn readlink(&self)").is_empty());
        assert!(findings("crates/kernel/src/calls.rs", "caller.readlink(base, path)").is_empty());
    }

    #[test]
    fn the_host_is_named_where_it_is_served() {
        assert_eq!(findings("crates/core/src/path.rs", "use std::path::Path;"), [1]);
        assert_eq!(findings("crates/wasmtime/src/run.rs", "std::fs::read(x)"), [1]);
        assert!(findings("crates/cli/src/main.rs", "std::fs::read(x)").is_empty());
        assert!(findings("crates/core/tests/x.rs", "std::fs::read(x)").is_empty());
    }

    #[test]
    fn unsafe_code_is_listed() {
        assert_eq!(findings("crates/memory/src/data.rs", "unsafe { x }"), [1]);
        assert!(findings("crates/core/src/erase.rs", "unsafe { x }").is_empty());
        assert!(findings("crates/memory/src/data.rs", "let not_unsafe = 1;").is_empty());
    }

    #[test]
    fn the_engine_is_named_in_one_crate() {
        assert_eq!(findings("crates/cli/src/main.rs", "wasmtime::Engine"), [1]);
        assert!(findings("crates/cli/src/main.rs", "vnode_wasmtime::Module").is_empty());
    }

    #[test]
    fn files_are_named_for_what_they_hold() {
        let mut findings = Vec::new();
        check_file_name("crates/core/src/utils.rs", &mut findings);
        check_file_name("crates/common/src/x.rs", &mut findings);
        check_file_name("crates/core/src/path.rs", &mut findings);
        assert_eq!(findings.len(), 2);
    }
}
