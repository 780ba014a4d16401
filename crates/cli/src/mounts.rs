//! The mount options: one table of kinds and keys, from which the parser, the help, the completions and the
//! documentation are made.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use crate::quantity;

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An empty memory filesystem.
    Tmpfs,
    /// A host tree or a tar archive, read into memory.
    Copy,
}

/// A kind of mount: its name in `type=`, the option that is short for it, and what it does.
pub(crate) struct KindRow {
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
    pub(crate) option: &'static str,
    pub(crate) syntax: &'static str,
    /// How the full form starts: what a shell offers.
    pub(crate) start: &'static str,
    pub(crate) about: &'static str,
}

/// Every kind that is served.
pub(crate) static KINDS: &[KindRow] = &[
    KindRow {
        kind: Kind::Tmpfs,
        name: "tmpfs",
        option: "tmpfs",
        syntax: "GUEST[:KEY=VALUE,...]",
        start: "type=tmpfs,dst=",
        about: "An empty filesystem in memory at GUEST; it is gone when the guest ends",
    },
    KindRow {
        kind: Kind::Copy,
        name: "copy",
        option: "copy",
        syntax: "HOST::GUEST[::KEY=VALUE,...]",
        start: "type=copy,src=",
        about: "The tree or tar archive HOST, read into memory at GUEST; nothing goes back",
    },
];

/// Kinds that are decided on and not served yet: an error says so.
const KINDS_TO_COME: &[&str] = &["host", "overlay", "image", "bind"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyId {
    Type,
    Source,
    Target,
    Size,
    Inodes,
    Mode,
    Uid,
    Gid,
    ReadOnly,
    NoAtime,
}

/// A key of the full form.
pub(crate) struct KeyRow {
    id: KeyId,
    /// The name and other names that are taken as well.
    pub(crate) names: &'static [&'static str],
    /// What its value is, if it has one.
    pub(crate) value: Option<&'static str>,
    /// The kinds that have it.
    kinds: &'static [Kind],
    pub(crate) about: &'static str,
}

const ALL: &[Kind] = &[Kind::Tmpfs, Kind::Copy];

/// Every key.
pub(crate) static KEYS: &[KeyRow] = &[
    KeyRow {
        id: KeyId::Type,
        names: &["type"],
        value: Some("KIND"),
        kinds: ALL,
        about: "what is mounted; always first",
    },
    KeyRow {
        id: KeyId::Source,
        names: &["src", "source"],
        value: Some("HOST"),
        kinds: &[Kind::Copy],
        about: "the host's directory or tar archive",
    },
    KeyRow {
        id: KeyId::Target,
        names: &["dst", "target", "destination"],
        value: Some("GUEST"),
        kinds: ALL,
        about: "where the guest sees it",
    },
    KeyRow {
        id: KeyId::Size,
        names: &["size"],
        value: Some("SIZE"),
        kinds: ALL,
        about: "most bytes it may hold (64M, 50%; 0: no limit)",
    },
    KeyRow {
        id: KeyId::Inodes,
        names: &["inodes", "nr_inodes"],
        value: Some("COUNT"),
        kinds: ALL,
        about: "most files and directories it may hold (0: no limit)",
    },
    KeyRow {
        id: KeyId::Mode,
        names: &["mode"],
        value: Some("MODE"),
        kinds: &[Kind::Tmpfs],
        about: "permissions of its root directory, in octal (1777)",
    },
    KeyRow {
        id: KeyId::Uid,
        names: &["uid"],
        value: Some("UID"),
        kinds: ALL,
        about: "the owner of everything in it at first",
    },
    KeyRow {
        id: KeyId::Gid,
        names: &["gid"],
        value: Some("GID"),
        kinds: ALL,
        about: "the group of everything in it at first",
    },
    KeyRow {
        id: KeyId::ReadOnly,
        names: &["ro", "readonly"],
        value: None,
        kinds: ALL,
        about: "the guest can't change it",
    },
    KeyRow {
        id: KeyId::NoAtime,
        names: &["noatime"],
        value: None,
        kinds: ALL,
        about: "reading leaves access times",
    },
];

/// One mount as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) kind: Kind,
    /// The host's path; only a tmpfs has none.
    pub(crate) source: Option<PathBuf>,
    pub(crate) guest: GuestPath,
    /// Bytes; 0 is no limit.
    pub(crate) size: Option<u64>,
    /// Inodes; 0 is no limit.
    pub(crate) inodes: Option<u64>,
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) read_only: bool,
    pub(crate) no_atime: bool,
}

/// A directory of the guest's tree, as it was spelled and as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GuestPath {
    spelled: OsString,
    absolute: Vec<u8>,
}

impl GuestPath {
    /// Takes a path as spelled. A relative one starts from `/`.
    pub(crate) fn new(spelled: &OsStr) -> Result<GuestPath, String> {
        if spelled.is_empty() {
            return Err("the guest's directory is missing".to_owned());
        }
        let bytes = spelled.as_bytes();
        if bytes.len() > vnode_core::PATH_MAX {
            return Err(format!(
                "the guest's directory has {} bytes; {} are the most",
                bytes.len(),
                vnode_core::PATH_MAX
            ));
        }
        let mut absolute = Vec::new();
        for name in bytes.split(|&byte| byte == b'/').filter(|name| !matches!(name, [] | [b'.'])) {
            if name == b".." {
                return Err(format!(
                    "\"{}\" has \"..\"; write the guest's directory without it",
                    spelled.display()
                ));
            }
            if name.len() > vnode_core::NAME_MAX {
                return Err(format!(
                    "a name in the guest's directory has {} bytes; {} are the most",
                    name.len(),
                    vnode_core::NAME_MAX
                ));
            }
            absolute.push(b'/');
            absolute.extend_from_slice(name);
        }
        if absolute.is_empty() {
            absolute.push(b'/');
        }
        Ok(GuestPath { spelled: spelled.to_owned(), absolute })
    }

    /// The root directory.
    pub(crate) fn root() -> GuestPath {
        GuestPath { spelled: "/".into(), absolute: b"/".to_vec() }
    }

    /// As it was spelled: the name of the preopen.
    pub(crate) fn spelled(&self) -> &OsStr {
        &self.spelled
    }

    /// The absolute path without `.`, doubled and trailing slashes.
    pub(crate) fn absolute(&self) -> &[u8] {
        &self.absolute
    }
}

impl std::fmt::Display for GuestPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", OsStr::from_bytes(&self.absolute).display())
    }
}

impl Mount {
    fn new(kind: Kind, guest: GuestPath) -> Mount {
        Mount {
            kind,
            source: None,
            guest,
            size: None,
            inodes: None,
            mode: None,
            uid: None,
            gid: None,
            read_only: false,
            no_atime: false,
        }
    }

    /// Parses the value of the option that is short for `kind`.
    pub(crate) fn short(kind: Kind, value: &OsStr) -> Result<Mount, String> {
        let bytes = value.as_bytes();
        let (source, guest, keys) = match kind {
            Kind::Tmpfs => {
                let (guest, keys) = split_once(bytes, b":");
                (None, guest, keys)
            }
            Kind::Copy => {
                let (source, rest) = split_once(bytes, b"::");
                let Some(rest) = rest else {
                    return Err(format!(
                        "\"{0}\" doesn't say where the guest sees it; write HOST::GUEST ({0}::/data)",
                        value.display()
                    ));
                };
                let (guest, keys) = split_once(rest, b"::");
                if source.is_empty() {
                    return Err("the host's path is missing; write HOST::GUEST".to_owned());
                }
                (Some(PathBuf::from(OsStr::from_bytes(source))), guest, keys)
            }
        };
        let mut mount = Mount::new(kind, GuestPath::new(OsStr::from_bytes(guest))?);
        mount.source = source;
        for (key, value) in pairs(keys.unwrap_or_default()) {
            let row = find_key(key)?;
            if matches!(row.id, KeyId::Type | KeyId::Source | KeyId::Target) {
                return Err(format!("{}= belongs to --mount; here it is said already", row.names[0]));
            }
            mount.set(row, value)?;
        }
        Ok(mount)
    }

    /// Parses the full form, `type=KIND,KEY=VALUE,...`.
    pub(crate) fn full(value: &OsStr) -> Result<Mount, String> {
        let pairs: Vec<_> = pairs(value.as_bytes()).collect();
        let kind = match pairs.iter().find(|(key, _)| *key == b"type") {
            Some((_, Some(name))) => find_kind(name)?,
            _ => return Err(format!("type= is missing; write type={}", kind_names("|"))),
        };
        let mut mount = Mount::new(kind, GuestPath::root());
        let mut has_target = false;
        for (key, value) in pairs {
            let row = find_key(key)?;
            has_target |= row.id == KeyId::Target;
            mount.set(row, value)?;
        }
        if !has_target {
            return Err("dst= is missing: where the guest sees it".to_owned());
        }
        if kind == Kind::Copy && mount.source.is_none() {
            return Err("src= is missing: the host's directory or tar archive".to_owned());
        }
        Ok(mount)
    }

    fn set(&mut self, row: &KeyRow, value: Option<&[u8]>) -> Result<(), String> {
        let key = row.names[0];
        if !row.kinds.contains(&self.kind) {
            return Err(format!("{key} is not for {}", name_of(self.kind)));
        }
        let value = match (row.value, value) {
            (Some(_), Some(value)) if !value.is_empty() => value,
            (None, None) => b"",
            (Some(meta), _) => return Err(format!("{key} needs a value: {key}={meta}")),
            (None, Some(_)) => return Err(format!("{key} takes no value")),
        };
        let text = || std::str::from_utf8(value).map_err(|_| format!("{key}= is not text"));
        let id = || text()?.parse().map_err(|_| format!("{key}= needs a number"));
        match row.id {
            KeyId::Type => {}
            KeyId::Source => self.source = Some(PathBuf::from(OsString::from_vec(value.to_vec()))),
            KeyId::Target => self.guest = GuestPath::new(OsStr::from_bytes(value))?,
            KeyId::Size => self.size = Some(quantity::bytes(text()?)?),
            KeyId::Inodes => self.inodes = Some(quantity::count(text()?)?),
            KeyId::Mode => self.mode = Some(quantity::mode(text()?)?),
            KeyId::Uid => self.uid = Some(id()?),
            KeyId::Gid => self.gid = Some(id()?),
            KeyId::ReadOnly => self.read_only = true,
            KeyId::NoAtime => self.no_atime = true,
        }
        Ok(())
    }
}

/// The full form's help: every kind and every key.
pub(crate) fn full_form_help() -> String {
    let mut text = String::from("A mount in the full form, type=KIND,KEY=VALUE,...\n\nKinds:\n");
    for row in KINDS {
        text += &format!("  {:<7} {}\n", row.name, row.about);
    }
    text += "\nKeys:\n";
    for row in KEYS {
        let spelled = match row.value {
            Some(value) => format!("{}={value}", row.names[0]),
            None => row.names[0].to_owned(),
        };
        let only =
            if row.kinds.len() == KINDS.len() { String::new() } else { format!(" ({})", only(row.kinds)) };
        text += &format!("  {spelled:<13} {}{only}\n", row.about);
    }
    text += "\nA value can't hold a comma.";
    text
}

/// The help of the option that is short for a kind.
pub(crate) fn short_form_help(row: &KindRow) -> String {
    let keys: Vec<String> = KEYS
        .iter()
        .filter(|key| {
            !matches!(key.id, KeyId::Type | KeyId::Source | KeyId::Target) && key.kinds.contains(&row.kind)
        })
        .map(|key| key.names[0].to_owned())
        .collect();
    format!("{}\n\nKeys, as --mount has them: {}.", row.about, keys.join(", "))
}

fn only(kinds: &[Kind]) -> String {
    kinds.iter().map(|&kind| name_of(kind)).collect::<Vec<_>>().join(", ")
}

fn name_of(kind: Kind) -> &'static str {
    KINDS.iter().find(|row| row.kind == kind).map_or("", |row| row.name)
}

fn kind_names(between: &str) -> String {
    KINDS.iter().map(|row| row.name).collect::<Vec<_>>().join(between)
}

fn find_kind(name: &[u8]) -> Result<Kind, String> {
    if let Some(row) = KINDS.iter().find(|row| row.name.as_bytes() == name) {
        return Ok(row.kind);
    }
    let name = String::from_utf8_lossy(name);
    if KINDS_TO_COME.contains(&&*name) {
        return Err(format!("type={name} is not there yet; there are {}", kind_names(" and ")));
    }
    Err(format!("type={name} is unknown; there are {}", kind_names(" and ")))
}

fn find_key(name: &[u8]) -> Result<&'static KeyRow, String> {
    KEYS.iter().find(|row| row.names.iter().any(|known| known.as_bytes() == name)).ok_or_else(|| {
        let known: Vec<&str> = KEYS.iter().map(|row| row.names[0]).collect();
        format!("unknown key \"{}\"; the keys are {}", String::from_utf8_lossy(name), known.join(", "))
    })
}

/// Cuts `KEY=VALUE,KEY,...` into keys and their values.
fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    text.split(|&byte| byte == b',').filter(|pair| !pair.is_empty()).map(|pair| split_once(pair, b"="))
}

fn split_once<'a>(text: &'a [u8], by: &[u8]) -> (&'a [u8], Option<&'a [u8]>) {
    match text.windows(by.len()).position(|window| window == by) {
        Some(at) => (&text[..at], Some(&text[at + by.len()..])),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(kind: Kind, text: &str) -> Result<Mount, String> {
        Mount::short(kind, OsStr::new(text))
    }

    fn full(text: &str) -> Result<Mount, String> {
        Mount::full(OsStr::new(text))
    }

    #[test]
    fn short_and_full_forms_mean_the_same() {
        assert_eq!(
            short(Kind::Tmpfs, "/tmp:size=64M,mode=1777,ro"),
            full("type=tmpfs,dst=/tmp,size=64M,mode=1777,ro")
        );
        assert_eq!(
            short(Kind::Copy, "a:b::/data::noatime"),
            full("type=copy,source=a:b,target=/data,noatime")
        );
        let mount = short(Kind::Tmpfs, "/tmp:size=64M,inodes=1k").unwrap();
        assert_eq!((mount.size, mount.inodes, mount.read_only), (Some(64 << 20), Some(1000), false));
    }

    #[test]
    fn guest_paths_keep_their_spelling_and_are_found_absolute() {
        for (spelled, absolute) in
            [(".", "/"), ("/", "/"), ("foo", "/foo"), ("//a/./b//", "/a/b"), ("./x", "/x"), ("...", "/...")]
        {
            let path = GuestPath::new(OsStr::new(spelled)).unwrap();
            assert_eq!(path.absolute(), absolute.as_bytes());
            assert_eq!(path.spelled(), spelled);
        }
        for bad in ["", "a/..", "../b", &"x".repeat(256)] {
            assert!(GuestPath::new(OsStr::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (result, says) in [
            (short(Kind::Copy, "dir"), "HOST::GUEST"),
            (short(Kind::Copy, "::/x"), "host's path is missing"),
            (short(Kind::Copy, "a::/x::mode=7"), "mode is not for copy"),
            (short(Kind::Tmpfs, "/x:sise=1"), "unknown key \"sise\""),
            (short(Kind::Tmpfs, "/x:dst=1"), "belongs to --mount"),
            (short(Kind::Tmpfs, "/x:size"), "size=SIZE"),
            (short(Kind::Tmpfs, "/x:ro=1"), "takes no value"),
            (short(Kind::Tmpfs, "/x:uid=me"), "needs a number"),
            (full("dst=/x"), "type= is missing"),
            (full("type=tmpfs"), "dst= is missing"),
            (full("type=tmpfs,src=/a,dst=/b"), "src is not for tmpfs"),
            (full("type=copy,dst=/b"), "src= is missing"),
            (full("type=host,src=.,dst=/b"), "not there yet"),
            (full("type=nfs,dst=/b"), "unknown"),
        ] {
            let error = result.unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn the_table_has_every_key_once() {
        let mut names: Vec<&str> = KEYS.iter().flat_map(|row| row.names).copied().collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(KEYS.iter().all(|row| full_form_help().contains(row.about)));
    }
}
