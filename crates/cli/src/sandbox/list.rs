//! `vnode sandbox list` and `show`.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use vnode_cli::text::shown;
use vnode_sandbox::{Kept, Lower, Mount, Store};

use super::failure;
use crate::diff::json::{Place, text, without_controls};
use crate::failure::{Failure, say};

/// What is told of a sandbox to programs.
#[derive(Serialize)]
struct Told {
    name: String,
    /// Seconds since the epoch.
    created: u64,
    used: u64,
    /// The process that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<u32>,
    /// Bytes on disk: its own, and those that it shares with forks.
    bytes: u64,
    shared_bytes: u64,
    mounts: Vec<ToldMount>,
}

#[derive(Serialize)]
struct ToldMount {
    guest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    guest_bytes: Option<Vec<u8>>,
    /// Each under those before it.
    shows: Vec<Place>,
}

impl Told {
    fn of(kept: &Kept) -> Told {
        let shown = |lower: &Lower| match lower {
            Lower::Directory(path) | Lower::Archive { path, .. } => Place::new(path.as_os_str().as_bytes()),
        };
        let mount = |mount: &Mount| {
            let (guest, guest_bytes) = text(&mount.guest);
            ToldMount { guest, guest_bytes, shows: mount.lowers.iter().map(shown).collect() }
        };
        Told {
            name: kept.name.clone(),
            created: kept.created.as_secs(),
            used: kept.used.as_secs(),
            process: kept.process,
            bytes: kept.storage.0,
            shared_bytes: kept.storage.1,
            mounts: kept.mounts.iter().map(mount).collect(),
        }
    }
}

/// `vnode sandbox list`.
pub(super) fn list(store: &Store, json: bool) -> Result<(), Failure> {
    let mut all = Vec::new();
    for name in store.names().map_err(failure)? {
        match store.look(&name) {
            Ok(kept) => all.push(kept),
            // The others are to be seen all the same.
            Err(error) => say(error),
        }
    }
    if json {
        return print_json(&all.iter().map(Told::of).collect::<Vec<_>>());
    }
    if all.is_empty() {
        say("there are no sandboxes; vnode run --sandbox NAME makes one");
        return Ok(());
    }
    let mut rows = vec![["NAME", "SIZE", "SHARED", "USED", "SHOWS"].map(str::to_owned)];
    rows.extend(all.iter().map(|kept| {
        let used = match kept.process {
            Some(_) => "now".to_owned(),
            None => format!("{} ago", age(kept.used)),
        };
        let (own, shared) = kept.storage;
        [kept.name.clone(), size(own), size(shared), used, brief(&kept.mounts)]
    }));
    print(&table(&rows))
}

/// `vnode sandbox show`.
pub(super) fn show(store: &Store, name: &str, json: bool) -> Result<(), Failure> {
    let kept = store.look(name).map_err(failure)?;
    if json {
        return print_json(&Told::of(&kept));
    }
    let (own, shared) = kept.storage;
    let mut lines = vec![
        format!("name     {}", kept.name),
        format!("created  {} ago", age(kept.created)),
        format!("used     {} ago", age(kept.used)),
    ];
    lines.extend(kept.process.map(|process| format!("in use   by process {process}")));
    lines.push(format!("size     {}", size(own)));
    if shared > 0 {
        lines.push(format!("shared   {} with forks", size(shared)));
    }
    for mount in &kept.mounts {
        let guest = shown(OsStr::from_bytes(&mount.guest));
        let all: Vec<String> = mount.lowers.iter().map(lower).collect();
        lines.push(format!("mount    {guest} shows {}", all.join(", then ")));
    }
    let others = super::session::other_mounts(&kept.note, &kept.mounts);
    lines.extend(others.iter().map(|other| format!("mount    {other}")));
    lines.push(String::new());
    print(&lines.join("\n"))
}

fn lower(lower: &Lower) -> String {
    match lower {
        Lower::Directory(path) | Lower::Archive { path, .. } => shown(path.as_os_str()),
    }
}

/// What a sandbox shows, in a few words: the first directory of each mount, and where it is if that is not the root.
fn brief(mounts: &[Mount]) -> String {
    let one = |mount: &Mount| {
        let first = mount.lowers.first().map(lower).unwrap_or_default();
        match mount.guest.as_slice() {
            b"/" => first,
            guest => format!("{first}::{}", shown(OsStr::from_bytes(guest))),
        }
    };
    mounts.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// How long ago, in the largest unit of which there is one.
pub(super) fn age(since: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = now.saturating_sub(since).as_secs();
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| seconds >= *unit).unwrap_or((1, "second"));
    let count = seconds / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// Bytes as `du -h` has them.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "K", "M", "G", "T"];
    let mut unit = 0;
    let mut scaled = bytes as f64;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 || scaled >= 10.0 { format!("{scaled:.0}{name}") } else { format!("{scaled:.1}{name}") }
}

/// Columns as wide as what is in them.
fn table(rows: &[[String; 5]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for [name, size, shared, used, shows] in rows {
        let [names, sizes, all_shared, uses] = widths;
        text += &format!("{name:<names$}  {size:>sizes$}  {shared:>all_shared$}  {used:<uses$}  {shows}\n");
    }
    text
}

pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value);
    let text = text.map_err(|error| Failure::setup(format!("can't write JSON: {error}")))?;
    print(&format!("{}\n", without_controls(&text)))
}

/// Writes to stdout. Whoever closes the pipe has read enough.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::setup(format!("can't write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
