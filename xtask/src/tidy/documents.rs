//! Links in the documents lead to files that exist.

use super::Finding;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

pub(crate) fn check_links(root: &Path, files: &[String], findings: &mut Vec<Finding>) -> Result<()> {
    for path in files.iter().filter(|path| path.ends_with(".md")) {
        let content = fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        let dir = Path::new(path).parent().unwrap_or(Path::new(""));
        for (line, target) in links(&content) {
            if !root.join(dir).join(&target).exists() {
                let message = format!("links to {target}, which is not there: correct the link");
                findings.push(Finding::new(path, line, message));
            }
        }
    }
    Ok(())
}

/// The relative targets of `[text](target)`, with their lines from 1; code blocks are left out.
fn links(content: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (index, line) in content.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        if in_block {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            let target = rest.split([')', ' ', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push((index + 1, target.to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_links_are_found() {
        let content = "see [a](docs/a.md) and [b](b.md#part)\n[web](https://x.org/) [here](#part)\n";
        assert_eq!(links(content), [(1, "docs/a.md".to_owned()), (1, "b.md".to_owned())]);
    }

    #[test]
    fn code_is_no_document() {
        assert!(links("```\n[a](b)\n```\n").is_empty());
    }
}
