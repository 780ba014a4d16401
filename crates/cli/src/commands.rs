//! `--bin` and `--bin-dir`: programs that the guest finds in `/bin`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use vnode_cli::text::shown;
use vnode_core::{FilesystemRef, MountFlags, Name, Namespace};
use vnode_kernel::commands::{CommandContent, Commands};

use crate::failure::Failure;
use crate::mounts::Mount;
use crate::options::Run;

/// Where they are.
const BIN: &str = "/bin";

/// A program with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bin {
    name: Vec<u8>,
    file: PathBuf,
}

impl Bin {
    /// Parses `NAME=FILE`.
    pub(crate) fn parse(text: &OsStr) -> Result<Bin, String> {
        let bytes = text.as_bytes();
        let cut = bytes.iter().position(|&byte| byte == b'=');
        let Some((name, file)) = cut.and_then(|at| Some((bytes.get(..at)?, bytes.get(at + 1..)?))) else {
            return Err(format!("\"{}\" has no name; write NAME=FILE (ls=ls.wasm)", shown(text)));
        };
        if file.is_empty() {
            return Err("the file behind = is missing".to_owned());
        }
        if Name::new(name).is_err() {
            let name = shown(OsStr::from_bytes(name));
            return Err(format!("\"{name}\" is no name for a file in {BIN}: no slash, not \".\" or \"..\""));
        }
        Ok(Bin { name: name.to_vec(), file: PathBuf::from(OsStr::from_bytes(file)) })
    }
}

/// The programs by name, each with the option that says it.
type Found = BTreeMap<Vec<u8>, (PathBuf, String)>;

/// Mounts the programs at `/bin`, over whatever the tree has there.
///
/// # Errors
/// A file or a directory can't be read; two have one name; a mount is at the same place.
pub(crate) fn mount(namespace: &Namespace, mounts: &[Mount], options: &Run) -> Result<(), Failure> {
    if !are_given(options) {
        return Ok(());
    }
    if let Some(other) = mounts.iter().find(|mount| mount.guest.absolute() == BIN.as_bytes()) {
        return Err(Failure::setup(format!(
            "{} is on {BIN}, where the commands of --bin and --bin-dir go; give it another place",
            other.option
        )));
    }
    let mut found = Found::new();
    for directory in &options.bin_dir {
        list(directory, &mut found)?;
    }
    let mut named = Found::new();
    for bin in &options.bin {
        let option = format!("--bin {}={}", shown(OsStr::from_bytes(&bin.name)), shown(bin.file.as_os_str()));
        check(&bin.file, &option)?;
        add(&mut named, bin.name.clone(), bin.file.clone(), option)?;
    }
    // What is named goes over what only lies in a directory.
    found.extend(named);
    let content = |path: PathBuf| CommandContent::HostFile(path.into_os_string().as_bytes().to_vec());
    let commands = Commands::new(found.into_iter().map(|(name, (path, _))| (name, content(path))));
    let mounted = commands.and_then(|commands| {
        namespace.mount_at(BIN.as_bytes(), &FilesystemRef::new(commands), MountFlags::empty())
    });
    mounted.map(drop).map_err(|errno| Failure::setup(format!("can't mount the commands on {BIN}: {errno}")))
}

/// Whether the guest has any.
pub(crate) fn are_given(options: &Run) -> bool {
    !options.bin.is_empty() || !options.bin_dir.is_empty()
}

fn add(found: &mut Found, name: Vec<u8>, path: PathBuf, option: String) -> Result<(), Failure> {
    match found.entry(name) {
        Entry::Vacant(entry) => {
            entry.insert((path, option));
            Ok(())
        }
        Entry::Occupied(entry) => Err(Failure::setup(format!(
            "two commands are named {}: {} and {option}",
            shown(OsStr::from_bytes(entry.key())),
            entry.get().1
        ))),
    }
}

/// Adds each `*.wasm` of a directory.
fn list(directory: &Path, found: &mut Found) -> Result<(), Failure> {
    let option = format!("--bin-dir {}", shown(directory.as_os_str()));
    let fails = |error: &dyn fmt::Display| Failure::setup(format!("{option}: can't read it: {error}"));
    let mut any = false;
    for entry in std::fs::read_dir(directory).map_err(|error| fails(&error))? {
        let path = entry.map_err(|error| fails(&error))?.path();
        let name = path.file_name().and_then(|name| name.as_bytes().strip_suffix(b".wasm"));
        let Some(name) = name.filter(|name| Name::new(name).is_ok()).map(<[u8]>::to_vec) else { continue };
        if path.is_file() {
            any = true;
            add(found, name, path, option.clone())?;
        }
    }
    if any { Ok(()) } else { Err(Failure::setup(format!("{option}: no .wasm file is there"))) }
}

/// That a program can be read when it is wanted.
fn check(file: &Path, option: &str) -> Result<(), Failure> {
    let found = std::fs::metadata(file);
    if found.as_ref().is_ok_and(|meta| !meta.is_file()) {
        return Err(Failure::setup(format!("{option}: that is no file")));
    }
    found
        .and_then(|_| File::open(file))
        .map(drop)
        .map_err(|error| Failure::setup(format!("{option}: can't read it: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_a_name_and_a_file() {
        let bin = Bin::parse(OsStr::new("ls=a=b.wasm")).unwrap();
        assert_eq!((bin.name.as_slice(), bin.file.as_path()), (&b"ls"[..], Path::new("a=b.wasm")));
        for bad in ["ls", "=x", "ls=", "a/b=x", ".=x", "..=x", ""] {
            assert!(Bin::parse(OsStr::new(bad)).is_err(), "{bad}");
        }
    }
}
