//! `vnode sandbox export`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use vnode_cli::text::shown;
use vnode_core::Cx;
use vnode_sandbox::{
    Exclude, ExportError, ExportFormat, ExportOptions, ExportTimes, Mounted, Sandbox, Store,
};

use super::options::{Export, Format};
use super::{as_root, failure};
use crate::failure::{Failure, say};

/// `vnode sandbox export`.
pub(super) fn export(store: &Store, options: &Export) -> Result<(), Failure> {
    let choices = ExportOptions {
        format: match options.format {
            Format::Oci => ExportFormat::Layer,
            Format::Tar => ExportFormat::Tar,
            Format::Tree => ExportFormat::Tree,
        },
        exclude: Exclude::new(&options.exclude)
            .map_err(|error| Failure::setup(format!("--exclude: {error}")))?,
        times: if options.keep_times { ExportTimes::Keep } else { one_time()? },
    };
    let sandbox = store.open(&options.of.name).map_err(failure)?;
    let views = sandbox.views().map_err(failure)?;
    let mounted = chosen(&sandbox, &views, options)?;
    as_root(|cx| match options.output.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => to_file(cx, mounted, &choices, path),
        None if std::io::stdout().is_terminal() => {
            Err(Failure::setup("an archive is nothing for a terminal; give a file (-o FILE), or a pipe"))
        }
        None => match write(cx, mounted, &choices, &mut BufWriter::new(std::io::stdout().lock())) {
            // Whoever closes the pipe has read enough.
            Err(ExportError::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| Failure::setup(error.to_string())),
        },
    })
}

/// The members' time.
fn one_time() -> Result<ExportTimes, Failure> {
    let value = std::env::var_os("SOURCE_DATE_EPOCH");
    let text = value.as_ref().map(|value| value.to_string_lossy());
    ExportTimes::source_date_epoch(text.as_deref())
        .ok_or_else(|| Failure::setup("SOURCE_DATE_EPOCH is no number of seconds since 1970"))
}

/// The mount that is exported.
fn chosen<'a>(sandbox: &Sandbox, views: &'a [Mounted], options: &Export) -> Result<&'a Mounted, Failure> {
    let places = || {
        let places = views.iter().map(|mounted| shown(OsStr::from_bytes(&mounted.guest)));
        places.collect::<Vec<_>>().join(", ")
    };
    let name = sandbox.name();
    match (&options.mount, views) {
        (None, [one]) => Ok(one),
        (None, _) => Err(Failure::setup(format!(
            "sandbox {name} has several mounts; say which to export with --mount: {}",
            places()
        ))),
        (Some(mount), _) => {
            let found = views.iter().find(|mounted| mounted.guest == mount.absolute());
            found.ok_or_else(|| {
                Failure::setup(format!("sandbox {name} has no mount at {mount}; there are {}", places()))
            })
        }
    }
}

/// Writes to a file, which is there when all of it is.
fn to_file(cx: &Cx<'_>, mounted: &Mounted, choices: &ExportOptions, path: &Path) -> Result<(), Failure> {
    let mut name = path.file_name().map(OsStr::to_owned).unwrap_or_default();
    name.push(format!(".part{}", std::process::id()));
    let part = path.with_file_name(name);
    let fails = |error: std::io::Error| {
        let _ = std::fs::remove_file(&part);
        Failure::setup(format!("can't write {}: {error}", shown(path.as_os_str())))
    };
    let mut out = BufWriter::new(File::create(&part).map_err(fails)?);
    if let Err(error) = write(cx, mounted, choices, &mut out) {
        let _ = std::fs::remove_file(&part);
        return Err(Failure::setup(format!("{}: {error}", shown(path.as_os_str()))));
    }
    let file = out.into_inner().map_err(|error| fails(error.into_error()))?;
    file.sync_all().and_then(|()| std::fs::rename(&part, path)).map_err(fails)
}

fn write(
    cx: &Cx<'_>,
    Mounted { view, .. }: &Mounted,
    choices: &ExportOptions,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    let changes = match choices.format {
        ExportFormat::Tree => Vec::new(),
        _ => view.changes(cx).map_err(|errno| ExportError::Read { path: b"/".to_vec(), errno })?,
    };
    let exported = view.export(cx, &changes, choices, out)?;
    out.flush()?;
    for path in exported.left_out {
        say(format_args!("{} is a socket, which no archive has", shown(OsStr::from_bytes(&path))));
    }
    Ok(())
}
