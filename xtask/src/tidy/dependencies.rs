//! Which crate may depend on which: only on those below it.

use super::Finding;
use anyhow::{Context, Result};

/// Each crate with the crates of ours that it may depend on. A crate that is not here may not exist.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("vnode-core", &[]),
    ("vnode-memory", &["core"]),
    ("vnode-host", &["core"]),
    ("vnode-overlay", &["core"]),
    ("vnode-archive", &["core"]),
    ("vnode-adapt", &["core"]),
    ("vnode-kernel", &["core"]),
    ("vnode-wasi", &["core", "kernel"]),
    ("vnode-wasmtime", &["core", "kernel", "wasi"]),
    ("vnode-sandbox", &["core", "overlay", "host", "archive", "adapt", "memory"]),
    ("vnode-fuse", &["core"]),
    (
        "vnode-cli",
        &[
            "core", "memory", "host", "overlay", "archive", "adapt", "kernel", "wasi", "wasmtime", "sandbox",
            "fuse",
        ],
    ),
    (
        "vnode-conformance",
        &["core", "memory", "host", "overlay", "archive", "adapt", "kernel", "wasi", "wasmtime"],
    ),
    ("vnode-fuzz", &["core", "archive", "memory", "kernel", "wasi", "cli", "conformance"]),
    ("vnode-fuzzers", &["fuzz"]),
    ("vnode-benches", &["core", "memory", "host", "overlay", "archive", "kernel", "wasi", "wasmtime"]),
    ("xtask", &[]),
];

/// Crates of others that only one crate of ours may use.
const ENGINES: &[&str] = &["wasmtime", "tokio"];
const ENGINE_HOME: &str = "vnode-wasmtime";

pub(crate) fn check(path: &str, content: &str, findings: &mut Vec<Finding>) -> Result<()> {
    let manifest: toml::Table = content.parse().with_context(|| format!("cannot read {path}"))?;
    let package =
        manifest.get("package").and_then(|package| package.get("name")).and_then(|name| name.as_str());
    let Some(package) = package else { return Ok(()) };
    let Some((_, allowed)) = DIRECTIONS.iter().find(|(name, _)| *name == package) else {
        let message =
            format!("the crate {package} has no place: give it one in xtask/src/tidy/dependencies.rs");
        findings.push(Finding::new(path, 1, message));
        return Ok(());
    };
    // What only tests use may point anywhere below the command: a backend is the kernel's test subject.
    let development = manifest.get("dev-dependencies").and_then(toml::Value::as_table);
    let names = |table: Option<&toml::Table>| {
        table.map(|t| t.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
    };
    for name in names(manifest.get("dependencies").and_then(toml::Value::as_table)) {
        if let Some(ours) = name.strip_prefix("vnode-")
            && !allowed.contains(&ours)
        {
            let message = format!("{package} may not depend on {name}: dependencies go down only");
            findings.push(Finding::new(path, line_of(content, &name), message));
        }
    }
    for name in
        [names(manifest.get("dependencies").and_then(toml::Value::as_table)), names(development)].concat()
    {
        if ENGINES.contains(&name.as_str()) && package != ENGINE_HOME {
            let message = format!("{package} may not depend on {name}: only {ENGINE_HOME} names the engine");
            findings.push(Finding::new(path, line_of(content, &name), message));
        }
    }
    Ok(())
}

/// The line, from 1, that begins with `key`.
fn line_of(content: &str, key: &str) -> usize {
    content.lines().position(|line| line.trim_start().starts_with(key)).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(content: &str) -> Vec<usize> {
        let mut findings = Vec::new();
        check("Cargo.toml", content, &mut findings).unwrap();
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn dependencies_go_down() {
        assert!(
            lines("[package]\nname = \"vnode-wasi\"\n[dependencies]\nvnode-kernel.workspace = true\n")
                .is_empty()
        );
        assert_eq!(lines("[package]\nname = \"vnode-core\"\n[dependencies]\nvnode-memory = \"1\"\n"), [4]);
        assert!(
            lines("[package]\nname = \"vnode-kernel\"\n[dev-dependencies]\nvnode-memory = \"1\"\n")
                .is_empty()
        );
    }

    #[test]
    fn one_crate_names_the_engine() {
        assert_eq!(lines("[package]\nname = \"vnode-cli\"\n[dependencies]\nwasmtime = \"48\"\n"), [4]);
        assert!(
            lines("[package]\nname = \"vnode-wasmtime\"\n[dependencies]\nwasmtime = \"48\"\n").is_empty()
        );
        assert_eq!(lines("[package]\nname = \"vnode-wasi\"\n[dev-dependencies]\ntokio = \"1\"\n"), [4]);
    }

    #[test]
    fn every_crate_has_a_place() {
        assert_eq!(lines("[package]\nname = \"vnode-new\"\n"), [1]);
        assert!(lines("[workspace]\nmembers = []\n").is_empty());
    }
}
