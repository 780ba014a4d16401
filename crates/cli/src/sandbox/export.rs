//! `vnode sandbox export`.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use vnode_cli::text::shown;
use vnode_sandbox::{
    Exclude, ExportError, ExportFormat, ExportOptions, ExportTimes, Exported, Lower, Mounted, Sandbox, Store,
    as_root,
};

use super::failure;
use super::options::{Export, Format};
use crate::failure::{Failure, say};

/// `vnode sandbox export`.
pub(super) fn export(store: &Store, asked: &Export) -> Result<(), Failure> {
    let options = options(asked)?;
    let sandbox = store.open(&asked.of.name).map_err(failure)?;
    let views = sandbox.views().map_err(failure)?;
    let mounted = chosen(&sandbox, &views, asked)?;
    let file = asked.output.as_deref().filter(|file| *file != Path::new("-"));
    let exported = match file {
        Some(file) => {
            if options.format == ExportFormat::Tree {
                check_apart(&sandbox, mounted, file)?;
            }
            to_file(&sandbox, mounted, &options, file)?
        }
        None if io::stdout().is_terminal() => {
            return Err(Failure::setup("an archive is nothing for a terminal; write it to a file: -o FILE"));
        }
        // Of a part of an archive nobody has read enough, also who closes the pipe.
        None => write(mounted, &options, &mut io::stdout().lock()).map_err(|trouble| trouble.of(&sandbox))?,
    };
    tell_left_out(&exported);
    Ok(())
}

fn options(asked: &Export) -> Result<ExportOptions, Failure> {
    const EPOCH: &str = "SOURCE_DATE_EPOCH";
    let exclude = Exclude::new(&asked.exclude).map_err(|error| {
        Failure::setup(format!("--exclude: {error}; write it as in .gitignore (*.o, target/)"))
    })?;
    let value = std::env::var_os(EPOCH);
    let value = value.as_deref().map(OsStr::to_string_lossy);
    let times = if asked.keep_times {
        ExportTimes::Keep
    } else {
        ExportTimes::source_date_epoch(value.as_deref()).ok_or_else(|| {
            let value = value.as_deref().unwrap_or_default().escape_debug().to_string();
            Failure::setup(format!("{EPOCH} is \"{value}\"; set it to seconds since 1970, or unset it"))
        })?
    };
    let format = match asked.format {
        Format::Oci => ExportFormat::Layer,
        Format::Tar => ExportFormat::Tar,
        Format::Tree => ExportFormat::Tree,
    };
    Ok(ExportOptions { format, exclude, times })
}

/// The mount that is meant.
fn chosen<'a>(sandbox: &Sandbox, views: &'a [Mounted], asked: &Export) -> Result<&'a Mounted, Failure> {
    let places = || {
        let places: Vec<String> = views.iter().map(|view| shown(OsStr::from_bytes(&view.guest))).collect();
        places.join(", ")
    };
    match (&asked.mount, views) {
        (None, [only]) => Ok(only),
        (None, _) => Err(Failure::setup(format!(
            "sandbox {} has several mounts ({}); say which: --mount GUEST",
            sandbox.name(),
            places()
        ))),
        (Some(guest), _) => views.iter().find(|view| view.guest == guest.absolute()).ok_or_else(|| {
            Failure::setup(format!(
                "sandbox {} has nothing at {guest}; its mounts are {}",
                sandbox.name(),
                places()
            ))
        }),
    }
}

/// Refuses to write what is there to a file that is there.
fn check_apart(sandbox: &Sandbox, mounted: &Mounted, file: &Path) -> Result<(), Failure> {
    let dir = std::fs::canonicalize(directory(file)).unwrap_or_default();
    let lowers =
        sandbox.mounts().filter(|mount| mount.guest == mounted.guest).flat_map(|mount| &mount.lowers);
    for lower in lowers {
        let Lower::Directory(lower) = lower else { continue };
        if std::fs::canonicalize(lower).is_ok_and(|lower| dir.starts_with(lower)) {
            let (file, lower) = (shown(file.as_os_str()), shown(lower.as_os_str()));
            return Err(Failure::setup(format!(
                "{file} is in {lower}, which the archive has; write it elsewhere"
            )));
        }
    }
    Ok(())
}

fn directory(file: &Path) -> &Path {
    file.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new("."))
}

/// What goes wrong.
enum Trouble {
    /// What was changed can't be told.
    Changes(vnode_core::Errno),
    Export(ExportError),
}

impl Trouble {
    fn of(self, sandbox: &Sandbox) -> Failure {
        let name = sandbox.name();
        Failure::setup(match self {
            Trouble::Changes(errno) => format!("sandbox {name}: can't tell what was changed: {errno}"),
            Trouble::Export(error) => format!("sandbox {name}: {error}"),
        })
    }
}

fn write(mounted: &Mounted, options: &ExportOptions, out: &mut dyn Write) -> Result<Exported, Trouble> {
    as_root(|cx| {
        // For everything it doesn't matter.
        let changes = match options.format {
            ExportFormat::Tree => Vec::new(),
            ExportFormat::Layer | ExportFormat::Tar => mounted.view.changes(cx).map_err(Trouble::Changes)?,
        };
        mounted.view.export(cx, &changes, options, out).map_err(Trouble::Export)
    })
}

/// Writes to a file, which is whole or as it was; to what is no file, a pipe say, as it comes.
fn to_file(
    sandbox: &Sandbox,
    mounted: &Mounted,
    options: &ExportOptions,
    file: &Path,
) -> Result<Exported, Failure> {
    let fails =
        |error: &io::Error| Failure::setup(format!("can't write {}: {error}", shown(file.as_os_str())));
    let written = |out: &mut File| write(mounted, options, out).map_err(|trouble| trouble.of(sandbox));
    if std::fs::metadata(file).is_ok_and(|meta| !meta.is_file()) {
        let mut out = OpenOptions::new().write(true).open(file).map_err(|error| fails(&error))?;
        return written(&mut out);
    }
    // A link stays one.
    let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let mut beside = Beside::new(&file).map_err(|error| fails(&error))?;
    let exported = written(&mut beside.file)?;
    beside.file.sync_all().and_then(|()| beside.becomes(&file)).map_err(|error| fails(&error))?;
    Ok(exported)
}

/// A file beside the one that it becomes. If it doesn't, it is removed.
struct Beside {
    file: File,
    path: Option<PathBuf>,
}

impl Beside {
    fn new(target: &Path) -> io::Result<Self> {
        let mut name = OsString::from(".");
        // The longest name has no room for more.
        let target_name = target.file_name().map(OsStr::as_bytes).unwrap_or_default();
        name.push(OsStr::from_bytes(target_name.get(..200).unwrap_or(target_name)));
        name.push(format!(".{}.vnode", std::process::id()));
        let path = directory(target).join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o666).open(&path)?;
        Ok(Beside { file, path: Some(path) })
    }

    fn becomes(&mut self, target: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            std::fs::rename(path, target)?;
            self.path = None;
        }
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What can't be removed is there to be seen.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn tell_left_out(exported: &Exported) {
    let Some(first) = exported.left_out.first() else { return };
    let first = shown(OsStr::from_bytes(first));
    match exported.left_out.len() {
        1 => say(format_args!("{first} is a socket, which no archive has; it is left out")),
        count => say(format_args!("{count} sockets are left out, {first} among them: no archive has such")),
    }
}
