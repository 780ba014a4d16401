//! esbuild, built by its authors for preview1, bundling a tree as package managers lay it out: the packages in
//! `node_modules` are links, relative and absolute ones, and links to links. Against the native esbuild.

use super::{Lab, On, Scratch, same_text};
use crate::process::{check, exists, output};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

const VERSION: &str = "0.27.2";
const MODULE: &str = "node_modules/@esbuild/wasi-preview1/esbuild.wasm";
const NATIVE: &str = "node_modules/.bin/esbuild";

/// What is bundled: each time the same, but for these options.
const RUNS: &[&[&str]] = &[
    &["--format=esm"],
    &["--format=cjs", "--minify", "--sourcemap=inline"],
    &["--format=esm", "--platform=node", "--tree-shaking=false", "--legal-comments=inline"],
];

pub(super) fn run(lab: &Lab) -> Result<String> {
    if !exists("npm") {
        bail!("no npm to fetch esbuild with: install it");
    }
    let dir = lab.fetched("esbuild", MODULE, fetch)?;
    let scratch = Scratch::new("esbuild")?;
    plant(&scratch.0).context("cannot make the tree to bundle")?;
    // The guest has the tree at the host's path, so that its absolute links and the bundles' comments agree.
    let tree = scratch.0.to_string_lossy().into_owned();
    let mut bytes = 0;
    for options in RUNS {
        let arguments = |command: &mut Command| {
            command
                .arg(format!("{tree}/app/main.ts"))
                .args(["--bundle", "--log-level=warning"])
                .args(*options);
        };
        let mut native = Command::new(dir.join(NATIVE));
        native.current_dir(&tree).env("PWD", &tree);
        arguments(&mut native);
        let kernel = output(&mut native)?;
        for expected in ["deep value", "shared", "absolute"] {
            if !String::from_utf8_lossy(&kernel).contains(expected) {
                bail!("the native bundle lacks {expected:?}: the tree is not what was meant");
            }
        }
        for on in On::ALL {
            let mut vnode = lab.vnode_run();
            // It lists the directories above, too: they are there, from the root on.
            vnode.args(["--preopen", "/", if on == On::Host { "--dir" } else { "--copy" }]);
            vnode.args([&format!("{tree}::{tree}"), "--cwd", &tree]);
            vnode.args(["--env", &format!("PWD={tree}")]).arg(dir.join(MODULE));
            arguments(&mut vnode);
            same_text(&format!("{} on {}", options.join(" "), on.name()), &output(&mut vnode)?, &kernel)?;
        }
        bytes += kernel.len();
    }
    Ok(format!("{} bundles, {bytes} bytes, the same on vnode and on the kernel", RUNS.len()))
}

fn fetch(dir: &Path) -> Result<()> {
    let mut npm = Command::new("npm");
    npm.current_dir(dir).args([
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        "--prefix",
        ".",
    ]);
    check(npm.arg(format!("esbuild@{VERSION}")).arg(format!("@esbuild/wasi-preview1@{VERSION}")))
}

/// An application of TypeScript with packages in a store, linked as pnpm does.
fn plant(tree: &Path) -> Result<()> {
    let store = tree.join("store");
    package(
        &store.join("left@1.0.0/node_modules/left"),
        "left",
        "import {shared} from 'shared'; export const left = ['left', shared];\n",
    )?;
    package(
        &store.join("right@2.0.0/node_modules/right"),
        "right",
        "import {shared} from 'shared'; export const right = ['right', shared];\n",
    )?;
    package(
        &store.join("shared@3.0.0/node_modules/shared"),
        "shared",
        "/*! shared */ export const shared = {name: 'shared'};\n",
    )?;
    package(&tree.join("workspace/absolute"), "absolute", "export const absolute = 'absolute';\n")?;
    package(&tree.join("workspace/deep"), "deep", "export {value} from './lib/alias';\n")?;
    fs::create_dir_all(tree.join("workspace/deep/lib/real"))?;
    fs::write(tree.join("workspace/deep/lib/real/value.js"), "export const value = 'deep value';\n")?;
    symlink("real/value.js", tree.join("workspace/deep/lib/alias.js"))?;
    // Both packages find the same `shared` through a link beside them.
    symlink("../../shared@3.0.0/node_modules/shared", store.join("left@1.0.0/node_modules/shared"))?;
    symlink("../../shared@3.0.0/node_modules/shared", store.join("right@2.0.0/node_modules/shared"))?;
    let modules = tree.join("app/node_modules");
    fs::create_dir_all(modules.join("@scope"))?;
    symlink("../../store/left@1.0.0/node_modules/left", modules.join("left"))?;
    symlink("../../store/right@2.0.0/node_modules/right", modules.join("right"))?;
    symlink(tree.join("workspace/absolute"), modules.join("absolute"))?;
    symlink("../../../workspace/deep", modules.join("@scope/deep"))?;
    symlink("left", modules.join("again"))?;
    symlink("nowhere", modules.join("dangling"))?;
    symlink("loop", modules.join("loop"))?;
    fs::write(
        tree.join("app/tsconfig.json"),
        "{\"compilerOptions\": {\"target\": \"es2020\", \"strict\": true}}\n",
    )?;
    fs::write(
        tree.join("app/main.ts"),
        "import {left} from 'left';\nimport {left as again} from 'again';\nimport {right} from 'right';\n\
         import {absolute} from 'absolute';\nimport {value} from '@scope/deep';\nimport data from './data.json';\n\
         const all: unknown[] = [left, again === left, right, absolute, value, data];\nconsole.log(all);\n",
    )?;
    fs::write(tree.join("app/data.json"), "{\"answer\": [1, 2, 3]}\n")?;
    Ok(())
}

fn package(dir: &Path, name: &str, code: &str) -> Result<()> {
    fs::create_dir_all(dir)?;
    let manifest = format!(
        "{{\"name\": \"{name}\", \"version\": \"1.0.0\", \"type\": \"module\", \"main\": \"index.js\"}}\n"
    );
    fs::write(dir.join("package.json"), manifest)?;
    fs::write(dir.join("index.js"), code)?;
    Ok(())
}
