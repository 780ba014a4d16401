//! The tables: kinds of mounts, the options that are short for them, and keys. The parser, the help, the completions
//! and the documentation are made from them.

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A directory of the host.
    Host,
    /// An empty memory filesystem.
    Tmpfs,
    /// A host tree or an archive, read into memory.
    Copy,
    /// An archive, where it lies.
    Image,
    /// Directories of the host, the changes kept elsewhere.
    Overlay,
}

/// A kind of mount: its name in `type=`, and what it does.
pub(crate) struct KindRow {
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
    /// What of the host it has to be given, if anything.
    pub(super) source: Option<&'static str>,
    /// How the full form starts: what a shell offers.
    pub(crate) start: &'static str,
    pub(crate) about: &'static str,
}

/// Every kind that is served.
pub(crate) static KINDS: &[KindRow] = &[
    KindRow {
        kind: Kind::Host,
        name: "host",
        source: Some("the host's directory"),
        start: "type=host,src=",
        about: "The host's directory HOST at GUEST; what the guest changes is changed there",
    },
    KindRow {
        kind: Kind::Tmpfs,
        name: "tmpfs",
        source: None,
        start: "type=tmpfs,dst=",
        about: "An empty filesystem in memory at GUEST; it is gone when the guest ends",
    },
    KindRow {
        kind: Kind::Copy,
        name: "copy",
        source: Some("the host's directory or archive"),
        start: "type=copy,src=",
        about: "The tree or archive HOST, read into memory at GUEST; nothing goes back",
    },
    KindRow {
        kind: Kind::Image,
        name: "image",
        source: Some("the host's archive"),
        start: "type=image,src=",
        about: "The archive HOST (tar, tar.gz, tar.zst or zip) at GUEST, read where it lies; nothing can change it",
    },
    KindRow {
        kind: Kind::Overlay,
        name: "overlay",
        source: Some("the host's directory, or image= for an archive, that stays as it is"),
        start: "type=overlay,lower=",
        about: "The host's directory HOST at GUEST; what the guest changes is kept elsewhere",
    },
];

/// Kinds that are decided on and not served yet: an error says so.
pub(super) const KINDS_TO_COME: &[&str] = &["bind"];

/// How the value of a short option is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `GUEST[:KEY,...]`
    Guest,
    /// `HOST::GUEST[::KEY,...]`
    HostGuest,
    /// `HOST[::GUEST[::KEY,...]]`
    HostOrBoth,
    /// `HOST[::GUEST[::KEY,...]]`, the guest's `/` if it says nothing.
    Image,
    /// `HOST[::GUEST[,KEY,...]]`
    Layers,
    /// `HOST:GUEST[:ro|rw]`
    Volume,
    /// `GUEST:HOST`
    Mapped,
}

/// An option that is short for a kind of mount.
pub(crate) struct ShortRow {
    pub(crate) option: &'static str,
    pub(crate) kind: Kind,
    pub(crate) form: Form,
    pub(crate) syntax: &'static str,
    pub(crate) about: &'static str,
    /// What the long help says behind that.
    notes: &'static str,
}

const HOST_NOTES: &str = "\
GUEST is HOST as spelled, if it is not given; . is the guest's /. The guest can't get out of the directory: a link in \
it leads where it leads in the guest's tree, an absolute one from the guest's /. FIFOs, sockets and devices are \
listed and can't be opened. What the guest makes belongs to vnode's own user, and the host's checks hold on top of \
the guest's. Nobody can set set-user-id on it. Names are compared as the host's filesystem does it, also where that \
takes a for A. /proc is nothing to give to a guest.";

const IMAGE_NOTES: &str = "\
GUEST is /, if it is not given. Links, hard links, modes, owners, times, user.* attributes and holes are those of the archive. A \
tar archive is read where it lies: it must stay as it is while the guest runs. Others are unpacked to a temporary file, a zip's \
files when they are opened; size= and inodes= bound what that may take (4G, 4M).";

const OVERLAY_NOTES: &str = "\
GUEST is HOST as spelled, if it is not given; . is the guest's /. Changes are kept in memory and gone when the guest ends; \
with upper=DIR they are kept in the host's directory DIR, and the next run with the same DIR goes on with them. DIR is made if \
it is not there; one run has it at a time. Each lower=HOST is one more directory, which shows through where those before it \
have nothing. image=FILE is an archive in place of a directory, as --image has it, also in the place of HOST \
(image=FILE::GUEST; GUEST is / then, if it is not given). With oci, names in archives that start with .wh. are whiteouts, as in \
the layers of container images; the last layer is given first.

DIR gets upper, work, index, meta and lock, in the format of Linux's overlayfs, and has to be on a filesystem with extended \
attributes (ext4, xfs, btrfs, tmpfs). Root's can be mounted: \
mount -t overlay -o redirect_dir=on,index=on,lowerdir=HOST,upperdir=DIR/upper,workdir=DIR/work overlay PLACE";

/// Every such option.
pub(crate) static SHORTS: &[ShortRow] = &[
    ShortRow {
        option: "dir",
        kind: Kind::Host,
        form: Form::HostOrBoth,
        syntax: "HOST[::GUEST[::KEY=VALUE,...]]",
        about: "The host's directory HOST at GUEST; what the guest changes is changed there",
        notes: HOST_NOTES,
    },
    ShortRow {
        option: "volume",
        kind: Kind::Host,
        form: Form::Volume,
        syntax: "HOST:GUEST[:ro|rw]",
        about: "As --dir, spelled with single colons",
        notes: "",
    },
    ShortRow {
        option: "mapdir",
        kind: Kind::Host,
        form: Form::Mapped,
        syntax: "GUEST:HOST",
        about: "As --dir, the guest's directory first",
        notes: "",
    },
    ShortRow {
        option: "tmpfs",
        kind: Kind::Tmpfs,
        form: Form::Guest,
        syntax: "GUEST[:KEY=VALUE,...]",
        about: "An empty filesystem in memory at GUEST; it is gone when the guest ends",
        notes: "",
    },
    ShortRow {
        option: "copy",
        kind: Kind::Copy,
        form: Form::HostGuest,
        syntax: "HOST::GUEST[::KEY=VALUE,...]",
        about: "The tree or archive HOST, read into memory at GUEST; nothing goes back",
        notes: "",
    },
    ShortRow {
        option: "image",
        kind: Kind::Image,
        form: Form::Image,
        syntax: "HOST[::GUEST[::KEY=VALUE,...]]",
        about: "The archive HOST (tar, tar.gz, tar.zst or zip) at GUEST, read where it lies; nothing can change it",
        notes: IMAGE_NOTES,
    },
    ShortRow {
        option: "overlay",
        kind: Kind::Overlay,
        form: Form::Layers,
        syntax: "HOST[::GUEST[,KEY=VALUE,...]]",
        about: "The host's directory HOST at GUEST; what the guest changes is kept elsewhere",
        notes: OVERLAY_NOTES,
    },
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyId {
    Type,
    Source,
    Lower,
    Image,
    Oci,
    Upper,
    UserXattr,
    Emulate,
    Target,
    Size,
    Inodes,
    Mode,
    Uid,
    Gid,
    ReadOnly,
    ReadWrite,
    NoAtime,
    Optional,
    OtherMounts,
}

/// A key of the full form.
pub(crate) struct KeyRow {
    pub(super) id: KeyId,
    /// The name and other names that are taken as well.
    pub(crate) names: &'static [&'static str],
    /// What its value is, if it has one.
    pub(crate) value: Option<&'static str>,
    /// The kinds that have it.
    pub(super) kinds: &'static [Kind],
    pub(crate) about: &'static str,
}

const ALL: &[Kind] = &[Kind::Host, Kind::Tmpfs, Kind::Copy, Kind::Image, Kind::Overlay];
const IN_MEMORY: &[Kind] = &[Kind::Tmpfs, Kind::Copy];
const LIMITED: &[Kind] = &[Kind::Tmpfs, Kind::Copy, Kind::Image, Kind::Overlay];

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
        kinds: &[Kind::Host, Kind::Copy, Kind::Image],
        about: "the host's directory, or archive",
    },
    KeyRow {
        id: KeyId::Lower,
        names: &["lower", "lowerdir"],
        value: Some("HOST"),
        kinds: &[Kind::Overlay],
        about: "a directory of the host that stays as it is; under those before it",
    },
    KeyRow {
        id: KeyId::Image,
        names: &["image"],
        value: Some("HOST"),
        kinds: &[Kind::Overlay],
        about: "an archive of the host's that stays as it is, in place of a directory",
    },
    KeyRow {
        id: KeyId::Oci,
        names: &["oci"],
        value: None,
        kinds: &[Kind::Overlay],
        about: "what starts with .wh. in image= is a whiteout, as in layers of container images",
    },
    KeyRow {
        id: KeyId::Upper,
        names: &["upper", "upperdir"],
        value: Some("DIR"),
        kinds: &[Kind::Overlay],
        about: "the host's directory that keeps the changes (memory)",
    },
    KeyRow {
        id: KeyId::Target,
        names: &["dst", "target", "destination"],
        value: Some("GUEST"),
        kinds: ALL,
        about: "where the guest sees it",
    },
    KeyRow {
        id: KeyId::ReadOnly,
        names: &["ro", "readonly"],
        value: None,
        kinds: ALL,
        about: "the guest can't change it",
    },
    KeyRow {
        id: KeyId::ReadWrite,
        names: &["rw"],
        value: None,
        kinds: ALL,
        about: "the guest can change it, as it can if nothing is said",
    },
    KeyRow {
        id: KeyId::NoAtime,
        names: &["noatime"],
        value: None,
        kinds: ALL,
        about: "reading leaves access times",
    },
    KeyRow {
        id: KeyId::Optional,
        names: &["optional"],
        value: None,
        kinds: &[Kind::Host],
        about: "if the directory is missing, the guest goes without",
    },
    KeyRow {
        id: KeyId::OtherMounts,
        names: &["xdev"],
        value: Some("deny|allow"),
        kinds: &[Kind::Host, Kind::Overlay],
        about: "what is mounted below the directory on the host (allow)",
    },
    KeyRow {
        id: KeyId::Size,
        names: &["size"],
        value: Some("SIZE"),
        kinds: LIMITED,
        about: "most bytes it may hold, an overlay of changes, an image unpacked (64M, 50%; 0: no limit)",
    },
    KeyRow {
        id: KeyId::Inodes,
        names: &["inodes", "nr_inodes"],
        value: Some("COUNT"),
        kinds: LIMITED,
        about: "most files and directories it may hold, an overlay of changed ones (1M; 0: no limit)",
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
        kinds: IN_MEMORY,
        about: "the owner of everything in it at first",
    },
    KeyRow {
        id: KeyId::Gid,
        names: &["gid"],
        value: Some("GID"),
        kinds: IN_MEMORY,
        about: "the group of everything in it at first",
    },
    KeyRow {
        id: KeyId::UserXattr,
        names: &["userxattr"],
        value: None,
        kinds: &[Kind::Overlay],
        about: "what the overlay must know goes into user.* attributes of upper=, also as root",
    },
    KeyRow {
        id: KeyId::Emulate,
        names: &["emulate"],
        value: Some("yes|memory|no"),
        kinds: &[Kind::Host, Kind::Overlay],
        about: "links where the host's filesystem has none, in hidden files or memory; shown by an overlay (no)",
    },
];

impl KeyRow {
    pub(super) fn is_named(&self, name: &[u8]) -> bool {
        self.names.iter().any(|known| known.as_bytes() == name)
    }
}

impl Kind {
    /// The kind's row.
    pub(super) fn row(self) -> Option<&'static KindRow> {
        KINDS.iter().find(|row| row.kind == self)
    }

    pub(crate) fn name(self) -> &'static str {
        self.row().map_or("", |row| row.name)
    }

    /// The key that says what of the host it is given.
    pub(super) fn source_key(self) -> &'static str {
        if self == Kind::Overlay { "lower" } else { "src" }
    }
}

impl KeyId {
    /// Whether it says what `--mount` has to be told and a short option has said already.
    pub(super) fn is_for_full_form(self) -> bool {
        matches!(self, KeyId::Type | KeyId::Source | KeyId::Target)
    }
}

impl Form {
    fn takes_keys(self) -> bool {
        matches!(self, Form::Guest | Form::HostGuest | Form::HostOrBoth | Form::Image | Form::Layers)
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
        text += &format!("  {spelled:<16} {}{only}\n", row.about);
    }
    text += "\nA value can't hold a comma.";
    text
}

/// The help of the option that is short for a kind.
pub(crate) fn short_form_help(row: &ShortRow) -> String {
    let mut text = row.about.to_owned();
    if !row.notes.is_empty() {
        text += &format!("\n\n{}", row.notes);
    }
    if row.form.takes_keys() {
        text += &format!("\n\nKeys, as --mount has them: {}.", keys_of_short_form(row.kind).join(", "));
    }
    text
}

/// The keys of a kind in the full form.
pub(super) fn keys_of(kind: Kind) -> Vec<&'static str> {
    KEYS.iter().filter(|key| key.kinds.contains(&kind)).map(|key| key.names[0]).collect()
}

/// The keys of a kind in the options that are short for it.
pub(super) fn keys_of_short_form(kind: Kind) -> Vec<&'static str> {
    let fits = |key: &&KeyRow| !key.id.is_for_full_form() && key.kinds.contains(&kind);
    KEYS.iter().filter(fits).map(|key| key.names[0]).collect()
}

fn only(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

/// The kinds' names in a sentence.
pub(super) fn kinds_listed() -> String {
    let names: Vec<&str> = KINDS.iter().map(|row| row.name).collect();
    match names.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => names.concat(),
    }
}

/// The kinds' names as alternatives.
pub(super) fn kinds_to_choose() -> String {
    KINDS.iter().map(|row| row.name).collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_there_once_and_in_the_help() {
        let mut names: Vec<&str> = KEYS.iter().flat_map(|row| row.names).copied().collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(KEYS.iter().all(|row| full_form_help().contains(row.about)));
    }

    #[test]
    fn every_kind_has_an_option_and_is_in_the_help() {
        assert!(KINDS.iter().all(|row| full_form_help().contains(row.about)));
        assert!(KINDS.iter().all(|row| SHORTS.iter().any(|short| short.kind == row.kind)));
        assert!(KINDS.iter().all(|row| row.start.contains(row.name)));
    }

    #[test]
    fn the_help_of_an_option_has_the_keys_that_it_takes() {
        let help = |option: &str| {
            SHORTS.iter().find(|row| row.option == option).map(short_form_help).unwrap_or_default()
        };
        assert!(
            help("dir").ends_with("Keys, as --mount has them: ro, rw, noatime, optional, xdev, emulate.")
        );
        assert!(help("tmpfs").contains("size, inodes, mode") && !help("tmpfs").contains("optional"));
        assert!(!help("volume").contains("Keys") && !help("mapdir").contains("Keys"));
    }
}
