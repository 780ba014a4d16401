//! The mount options: `table` has the kinds and keys, from which the parser here, the help, the completions and the
//! documentation are made; `guest_path` where they are mounted; `again` mounts that a sandbox keeps.

mod again;
mod guest_path;
mod table;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use vnode_cli::text::shown;

use crate::quantity;
use table::{KeyId, KeyRow};

pub(crate) use again::Given;
pub(crate) use guest_path::GuestPath;
pub(crate) use table::{Form, KINDS, Kind, SHORTS, ShortRow, full_form_help, short_form_help};

/// Something that an overlay shows and leaves as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lower {
    /// A directory of the host.
    Directory(PathBuf),
    /// An archive of the host's.
    Image(PathBuf),
}

/// How links are kept where the host's filesystem has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emulate {
    /// Not at all.
    No,
    /// In hidden files.
    Yes,
    /// In memory, for the run.
    Memory,
}

/// One mount as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) kind: Kind,
    /// The option and its value, to name it by.
    pub(crate) option: String,
    /// The same as they can be parsed again; nothing: no option gave it.
    pub(crate) given: Option<Given>,
    /// The host's path, of a kind that has one.
    pub(crate) source: Option<PathBuf>,
    /// What an overlay shows, each under those before it.
    pub(crate) lowers: Vec<Lower>,
    /// Whether what starts with `.wh.` in archives of those are whiteouts.
    pub(crate) oci: bool,
    /// Where changes are kept, if not in memory.
    pub(crate) upper: Option<PathBuf>,
    /// Where those are that were made before a sandbox was forked, the latest first.
    pub(crate) frozen: Vec<PathBuf>,
    /// Whether it is a sandbox's, whose paths were found when that was made.
    pub(crate) is_kept: bool,
    pub(crate) user_xattr: bool,
    /// Nothing said: as for all mounts.
    pub(crate) emulate: Option<Emulate>,
    pub(crate) guest: GuestPath,
    /// Bytes; 0 is no limit.
    pub(crate) size: Option<u64>,
    /// Inodes; 0 is no limit.
    pub(crate) inodes: Option<u64>,
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    /// Nothing said: it can be changed.
    read_only: Option<bool>,
    pub(crate) no_atime: bool,
    /// Whether the guest goes without it if the host has no such directory.
    pub(crate) optional: bool,
    /// Whether what is mounted below it on the host is refused.
    pub(crate) one_mount: bool,
}

/// What the value of a short option says.
struct Parts<'a> {
    source: Option<&'a [u8]>,
    /// Whether that is an archive.
    image: bool,
    guest: &'a [u8],
    keys: &'a [u8],
}

impl Mount {
    fn new(kind: Kind, option: &str, value: &OsStr, guest: GuestPath) -> Mount {
        Mount {
            kind,
            option: format!("--{option} {}", shown(value)),
            given: Some(Given { option: option.to_owned(), value: value.to_owned() }),
            source: None,
            lowers: Vec::new(),
            oci: false,
            upper: None,
            frozen: Vec::new(),
            is_kept: false,
            user_xattr: false,
            emulate: None,
            guest,
            size: None,
            inodes: None,
            mode: None,
            uid: None,
            gid: None,
            read_only: None,
            no_atime: false,
            optional: false,
            one_mount: false,
        }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only == Some(true)
    }

    /// Parses the value of an option that is short for a kind.
    pub(crate) fn short(row: &ShortRow, value: &OsStr) -> Result<Mount, String> {
        let parts = Parts::cut(row.form, value.as_bytes())?;
        if parts.source == Some(b"") {
            return Err(format!("the host's path is missing; write {}", row.syntax));
        }
        let guest = GuestPath::new(OsStr::from_bytes(parts.guest)).map_err(|error| {
            if parts.source == Some(parts.guest) {
                format!("{error}, behind the host's: {}::/data", value.display())
            } else {
                error
            }
        })?;
        let mut mount = Mount::new(row.kind, row.option, value, guest);
        let source = parts.source.map(|source| PathBuf::from(OsStr::from_bytes(source)));
        match (row.kind, parts.image) {
            (Kind::Overlay, true) => mount.lowers.extend(source.map(Lower::Image)),
            (Kind::Overlay, false) => mount.lowers.extend(source.map(Lower::Directory)),
            _ => mount.source = source,
        }
        for (key, value) in pairs(parts.keys) {
            let row = find_key(key, &table::keys_of_short_form(row.kind))?;
            if row.id.is_for_full_form() {
                return Err(format!("{}= belongs to --mount; here it is said already", row.names[0]));
            }
            mount.set(row, value)?;
        }
        Ok(mount)
    }

    /// How `--dir HOST:GUEST`, as other programs spell it, is spelled here; nothing if this is another option or says
    /// the guest's directory.
    pub(crate) fn with_double_colons(&self) -> Option<String> {
        let directory = match self.lowers.first() {
            Some(Lower::Directory(path)) => Some(path),
            _ => self.source.as_ref(),
        };
        let value = directory?.as_os_str();
        let option = ["--dir", "--overlay"].into_iter().find(|option| self.option.starts_with(option))?;
        if value != self.guest.spelled() {
            return None;
        }
        let parts = Parts::cut_volume(value.as_bytes()).ok()?;
        let spelled = [parts.source?, b"::", parts.guest].concat();
        let how = if parts.keys.is_empty() { Vec::new() } else { [b"::", parts.keys].concat() };
        Some(format!("{option} {}", shown(OsStr::from_bytes(&[spelled, how].concat()))))
    }

    /// Parses the full form, `type=KIND,KEY=VALUE,...`.
    pub(crate) fn full(value: &OsStr) -> Result<Mount, String> {
        let pairs: Vec<_> = pairs(value.as_bytes()).collect();
        let kind = match pairs.iter().find(|(key, _)| *key == b"type") {
            Some((_, Some(name))) => find_kind(name)?,
            _ => return Err(format!("type= is missing; write type={}", table::kinds_to_choose())),
        };
        let mut mount = Mount::new(kind, "mount", value, GuestPath::root());
        let mut has_target = false;
        for (key, value) in pairs {
            let row = find_key(key, &table::keys_of(kind))?;
            has_target |= row.id == KeyId::Target;
            mount.set(row, value)?;
        }
        if !has_target {
            return Err("dst= is missing: where the guest sees it".to_owned());
        }
        match kind.row().and_then(|row| row.source) {
            Some(what) if mount.source.is_none() && mount.lowers.is_empty() => {
                Err(format!("{}= is missing: {what}", kind.source_key()))
            }
            _ => Ok(mount),
        }
    }

    fn set(&mut self, row: &KeyRow, value: Option<&[u8]>) -> Result<(), String> {
        let key = row.names[0];
        if !row.kinds.contains(&self.kind) {
            return Err(format!("{key} is not for {}", self.kind.name()));
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
            KeyId::Source => self.source = Some(PathBuf::from(OsStr::from_bytes(value))),
            KeyId::Lower => self.lowers.push(Lower::Directory(PathBuf::from(OsStr::from_bytes(value)))),
            KeyId::Image => self.lowers.push(Lower::Image(PathBuf::from(OsStr::from_bytes(value)))),
            KeyId::Oci => self.oci = true,
            KeyId::Upper => {
                if self.upper.replace(PathBuf::from(OsStr::from_bytes(value))).is_some() {
                    return Err(format!("{key}= is there twice; changes are kept in one place"));
                }
            }
            KeyId::UserXattr => self.user_xattr = true,
            KeyId::Emulate => {
                self.emulate = Some(match value {
                    b"yes" => Emulate::Yes,
                    b"memory" if self.kind == Kind::Overlay => {
                        return Err(format!(
                            "{key}=memory is for directories; changes of an overlay are its own"
                        ));
                    }
                    b"memory" => Emulate::Memory,
                    b"no" => Emulate::No,
                    _ => return Err(format!("{key}= is yes, memory or no")),
                });
            }
            KeyId::Target => self.guest = GuestPath::new(OsStr::from_bytes(value))?,
            KeyId::Size => self.size = Some(quantity::bytes(text()?)?),
            KeyId::Inodes => self.inodes = Some(quantity::count(text()?)?),
            KeyId::Mode => self.mode = Some(quantity::mode(text()?)?),
            KeyId::Uid => self.uid = Some(id()?),
            KeyId::Gid => self.gid = Some(id()?),
            KeyId::ReadOnly => self.set_read_only(true)?,
            KeyId::ReadWrite => self.set_read_only(false)?,
            KeyId::NoAtime => self.no_atime = true,
            KeyId::Optional => self.optional = true,
            KeyId::OtherMounts => {
                self.one_mount = match value {
                    b"deny" => true,
                    b"allow" => false,
                    _ => return Err(format!("{key}= is deny or allow")),
                }
            }
        }
        Ok(())
    }

    fn set_read_only(&mut self, read_only: bool) -> Result<(), String> {
        match self.read_only.replace(read_only) {
            Some(before) if before != read_only => Err("ro and rw exclude each other".to_owned()),
            _ => Ok(()),
        }
    }
}

impl<'a> Parts<'a> {
    fn cut(form: Form, value: &'a [u8]) -> Result<Self, String> {
        match form {
            Form::Guest => {
                let (guest, keys) = split_once(value, b":");
                Ok(Parts { source: None, image: false, guest, keys: keys.unwrap_or_default() })
            }
            Form::HostGuest | Form::HostOrBoth => Parts::cut_at_double_colons(form, value),
            Form::Image => Parts::cut_image(value),
            Form::Layers => Parts::cut_layers(value),
            Form::Volume => Parts::cut_volume(value),
            Form::Mapped => match split_once(value, b":") {
                (guest, Some(source)) if !source.starts_with(b":") => {
                    Ok(Parts { source: Some(source), image: false, guest, keys: b"" })
                }
                _ => Err(format!("\"{}\" is not GUEST:HOST", OsStr::from_bytes(value).display())),
            },
        }
    }

    fn cut_at_double_colons(form: Form, value: &'a [u8]) -> Result<Self, String> {
        let (source, rest) = split_once(value, b"::");
        match rest {
            Some(rest) => {
                let (guest, keys) = split_once(rest, b"::");
                Ok(Parts { source: Some(source), image: false, guest, keys: keys.unwrap_or_default() })
            }
            None if form == Form::HostOrBoth => {
                Ok(Parts { source: Some(source), image: false, guest: source, keys: b"" })
            }
            None => Err(format!(
                "\"{0}\" doesn't say where the guest sees it; write HOST::GUEST ({0}::/data)",
                OsStr::from_bytes(value).display()
            )),
        }
    }

    /// A directory that is named as an archive would be of no use to the guest.
    fn cut_image(value: &'a [u8]) -> Result<Self, String> {
        let parts = Parts::cut_at_double_colons(Form::HostOrBoth, value)?;
        let guest = if parts.source == Some(parts.guest) { b"/" } else { parts.guest };
        Ok(Parts { image: true, guest, ..parts })
    }

    /// Keys may follow a comma here: none is needed to tell a host's path from the guest's.
    fn cut_layers(value: &'a [u8]) -> Result<Self, String> {
        let (parts, says_where) = match value.strip_prefix(b"image=") {
            Some(image) => (Parts::cut_image(image)?, split_once(image, b"::").1.is_some()),
            None => {
                let parts = Parts::cut_at_double_colons(Form::HostOrBoth, value)?;
                let says_where = parts.source != Some(parts.guest);
                (parts, says_where)
            }
        };
        if !says_where {
            let (source, keys) = split_once(value, b",");
            let first = pairs(keys.unwrap_or_default()).next();
            let is_key = |&(key, value): &(&[u8], Option<&[u8]>)| {
                table::KEYS.iter().any(|row| row.is_named(key) && row.value.is_some() == value.is_some())
            };
            return match first.filter(is_key) {
                Some(_) => Err(format!(
                    "where the guest sees it comes before keys; write {}::GUEST,{}",
                    OsStr::from_bytes(source).display(),
                    OsStr::from_bytes(keys.unwrap_or_default()).display()
                )),
                None => Ok(parts),
            };
        }
        match split_once(parts.guest, b",") {
            (guest, Some(keys)) if parts.keys.is_empty() => Ok(Parts { guest, keys, ..parts }),
            _ => Ok(parts),
        }
    }

    fn cut_volume(value: &'a [u8]) -> Result<Self, String> {
        let parts: Vec<&[u8]> = value.split(|&byte| byte == b':').collect();
        let shown = OsStr::from_bytes(value).display();
        match *parts.as_slice() {
            // That is more likely how than where.
            [_, b"ro" | b"rw"] | [_] => Err(format!(
                "\"{shown}\" doesn't say where the guest sees it; write HOST:GUEST or HOST:GUEST:ro"
            )),
            [source, guest] => Ok(Parts { source: Some(source), image: false, guest, keys: b"" }),
            [source, guest, keys @ (b"ro" | b"rw")] => {
                Ok(Parts { source: Some(source), image: false, guest, keys })
            }
            _ => Err(format!(
                "\"{shown}\" is neither HOST:GUEST nor HOST:GUEST:ro; --dir HOST::GUEST takes paths with colons"
            )),
        }
    }
}

fn find_kind(name: &[u8]) -> Result<Kind, String> {
    if let Some(row) = KINDS.iter().find(|row| row.name.as_bytes() == name) {
        return Ok(row.kind);
    }
    let name = String::from_utf8_lossy(name);
    if table::KINDS_TO_COME.contains(&&*name) {
        return Err(format!("type={name} is not there yet; there are {}", table::kinds_listed()));
    }
    Err(format!("type={name} is unknown; there are {}", table::kinds_listed()))
}

/// The row of a key; the error lists those that are `fitting`.
fn find_key(name: &[u8], fitting: &[&str]) -> Result<&'static KeyRow, String> {
    table::KEYS.iter().find(|row| row.is_named(name)).ok_or_else(|| {
        format!("unknown key \"{}\"; the keys are {}", String::from_utf8_lossy(name), fitting.join(", "))
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

    fn short(option: &str, text: &str) -> Result<Mount, String> {
        let row = SHORTS.iter().find(|row| row.option == option).unwrap();
        Mount::short(row, OsStr::new(text))
    }

    fn full(text: &str) -> Result<Mount, String> {
        Mount::full(OsStr::new(text))
    }

    /// That both say the same, each in its own words.
    #[track_caller]
    fn same(short: Result<Mount, String>, full_form: &str) {
        let full = full(full_form).unwrap();
        assert_eq!(full.option, format!("--mount {full_form}"));
        assert!(full.is_like(short.as_ref().unwrap()), "{full:?}\n{short:?}");
        // Both can be parsed again.
        for mount in [&full, &short.unwrap()] {
            assert_eq!(Mount::again(mount.given.as_ref().unwrap()).as_ref(), Ok(mount));
        }
    }

    #[test]
    fn short_and_full_forms_mean_the_same() {
        same(short("tmpfs", "/tmp:size=64M,mode=1777,ro"), "type=tmpfs,dst=/tmp,size=64M,mode=1777,ro");
        same(short("copy", "a:b::/data::noatime"), "type=copy,source=a:b,target=/data,noatime");
        let mount = short("tmpfs", "/tmp:size=64M,inodes=1k").unwrap();
        assert_eq!((mount.size, mount.inodes, mount.is_read_only()), (Some(64 << 20), Some(1000), false));
        assert_eq!(mount.option, "--tmpfs /tmp:size=64M,inodes=1k");
    }

    #[test]
    fn a_host_directory_has_many_spellings() {
        same(short("dir", "a"), "type=host,src=a,dst=a");
        same(short("dir", "a:b"), "type=host,src=a:b,dst=a:b");
        same(short("dir", "a:b::/data"), "type=host,src=a:b,dst=/data");
        same(short("dir", "a::/data::ro"), "type=host,src=a,dst=/data,ro");
        same(short("dir", "a::/data::rw,optional"), "type=host,src=a,dst=/data,rw,optional");
        same(short("dir", "a::b::xdev=deny,ro,noatime"), "type=host,src=a,dst=b,readonly,noatime,xdev=deny");
        same(short("dir", "a::b::xdev=allow"), "type=host,src=a,dst=b");
        same(short("volume", "a:/data"), "type=host,src=a,dst=/data");
        same(short("volume", "a:/data:ro"), "type=host,src=a,dst=/data,ro");
        same(short("volume", "a:ro:rw"), "type=host,src=a,dst=ro,rw");
        same(short("mapdir", "/data:a"), "type=host,src=a,dst=/data");
        same(short("mapdir", "/data:a:b"), "type=host,src=a:b,dst=/data");
        let mount = full("type=host,src=a,dst=b,ro,optional,xdev=deny").unwrap();
        assert!(mount.is_read_only() && mount.optional && mount.one_mount);
        assert!(!short("dir", "a::b::rw").unwrap().is_read_only());
    }

    #[test]
    fn an_overlay_has_layers() {
        same(short("overlay", "a"), "type=overlay,lower=a,dst=a");
        same(short("overlay", "a::/b"), "type=overlay,lower=a,dst=/b");
        same(short("overlay", "a::/b,upper=u"), "type=overlay,lower=a,upper=u,dst=/b");
        same(short("overlay", "a::/b::upper=u,ro"), "type=overlay,lowerdir=a,upperdir=u,dst=/b,ro");
        same(
            short("overlay", "a::/b,lower=c,lower=d,size=1M,inodes=9,xdev=deny,noatime,userxattr"),
            "type=overlay,lower=a,lower=c,lower=d,size=1M,inodes=9,xdev=deny,noatime,userxattr,dst=/b",
        );
        let mount = short("overlay", "a::/b,lower=c,lower=d").unwrap();
        let directories =
            |names: &[&str]| -> Vec<_> { names.iter().map(|name| Lower::Directory(name.into())).collect() };
        assert_eq!(mount.lowers, directories(&["a", "c", "d"]));
        // A comma in a name of the host's.
        assert_eq!(short("overlay", "a,b").unwrap().lowers, directories(&["a,b"]));
        assert_eq!(
            short("overlay", "a:/b").unwrap().with_double_colons().as_deref(),
            Some("--overlay a::/b")
        );
    }

    #[test]
    fn an_archive_is_the_root_unless_it_is_said_where() {
        same(short("image", "a.tar"), "type=image,src=a.tar,dst=/");
        same(short("image", "a.tar::/b"), "type=image,src=a.tar,dst=/b");
        same(short("image", "a:b.zip::/b::noatime,size=1G"), "type=image,src=a:b.zip,dst=/b,noatime,size=1G");
        same(short("overlay", "image=a.tar"), "type=overlay,image=a.tar,dst=/");
        same(short("overlay", "image=a.tar::/b"), "type=overlay,image=a.tar,dst=/b");
        same(
            short("overlay", "image=a.tar::/b,oci,image=b.tar,lower=c,upper=u"),
            "type=overlay,image=a.tar,image=b.tar,lower=c,oci,upper=u,dst=/b",
        );
        let mount = short("overlay", "c::/b,image=a.tar,emulate=yes").unwrap();
        assert_eq!(mount.lowers, [Lower::Directory("c".into()), Lower::Image("a.tar".into())]);
        assert_eq!((mount.oci, mount.emulate), (false, Some(Emulate::Yes)));
        assert_eq!(short("overlay", "./image=a").unwrap().lowers, [Lower::Directory("./image=a".into())]);
    }

    #[test]
    fn an_unknown_key_is_told_with_those_that_there_are() {
        for (result, keys) in [
            (short("dir", "a::b::x"), "ro, rw, noatime, optional, xdev, emulate"),
            (short("image", "a::b::x"), "ro, rw, noatime, size, inodes"),
            (short("tmpfs", "a:x=1"), "ro, rw, noatime, size, inodes, mode, uid, gid"),
            (short("copy", "a::b::x"), "ro, rw, noatime, size, inodes, uid, gid"),
            (full("type=host,x"), "type, src, dst, ro, rw, noatime, optional, xdev, emulate"),
            (full("type=tmpfs,x=1"), "type, dst, ro, rw, noatime, size, inodes, mode, uid, gid"),
        ] {
            assert_eq!(result.unwrap_err(), format!("unknown key \"x\"; the keys are {keys}"));
        }
    }

    #[test]
    fn single_colons_of_a_dir_are_told_doubled() {
        let doubled = |option, value| short(option, value).unwrap().with_double_colons();
        for (value, spelled) in [
            ("a:/b", Some("--dir a::/b")),
            ("a:b:ro", Some("--dir a::b::ro")),
            ("a", None),
            ("a:ro", None),
            ("a:b:c", None),
            ("a:b::c", None),
        ] {
            assert_eq!(doubled("dir", value).as_deref(), spelled, "{value}");
        }
        assert_eq!(doubled("volume", "a:b"), None);
        assert_eq!(doubled("mapdir", "a:b:a:b"), None);
        assert_eq!(full("type=host,src=a:b,dst=a:b").unwrap().with_double_colons(), None);
    }

    #[test]
    fn mistakes_are_told() {
        for (result, says) in [
            (short("copy", "dir"), "HOST::GUEST"),
            (short("copy", "::/x"), "host's path is missing"),
            (short("copy", "a::/x::mode=7"), "mode is not for copy"),
            (short("copy", "a::/x::optional"), "optional is not for copy"),
            (short("tmpfs", "/x:sise=1"), "unknown key \"sise\""),
            (short("tmpfs", "/x:dst=1"), "belongs to --mount"),
            (short("tmpfs", "/x:size"), "size=SIZE"),
            (short("tmpfs", "/x:ro=1"), "takes no value"),
            (short("tmpfs", "/x:uid=me"), "needs a number"),
            (short("dir", ""), "host's path is missing"),
            (short("dir", "::/x"), "host's path is missing"),
            (short("dir", "../a"), "without it, behind the host's: ../a::/data"),
            (short("dir", "a::../b"), "has \"..\""),
            (short("dir", "a::"), "guest's directory is missing"),
            (short("dir", "a::b::size=1"), "size is not for host"),
            (short("dir", "a::b::ro,rw"), "exclude each other"),
            (short("dir", "a::b::xdev=maybe"), "deny or allow"),
            (short("dir", "a::b::xdev"), "xdev=deny|allow"),
            (short("volume", "a"), "HOST:GUEST"),
            (short("volume", "a:ro"), "doesn't say where"),
            (short("volume", ":/x"), "host's path is missing"),
            (short("volume", "a:b:z"), "neither HOST:GUEST"),
            (short("volume", "a::b"), "--dir HOST::GUEST"),
            (short("mapdir", "/x"), "not GUEST:HOST"),
            (short("mapdir", "/x::a"), "not GUEST:HOST"),
            (short("mapdir", "/x:"), "host's path is missing"),
            (short("mapdir", ":a"), "guest's directory is missing"),
            (full("dst=/x"), "type= is missing; write type=host|tmpfs|copy"),
            (full("type=tmpfs"), "dst= is missing"),
            (full("type=tmpfs,src=/a,dst=/b"), "src is not for tmpfs"),
            (full("type=copy,dst=/b"), "src= is missing"),
            (full("type=host,dst=/b"), "src= is missing: the host's directory"),
            (
                full("type=bind,src=/a,dst=/b"),
                "not there yet; there are host, tmpfs, copy, image and overlay",
            ),
            (full("type=overlay,upper=/a,dst=/b"), "lower= is missing: the host's directory, or image="),
            (full("type=image,dst=/b"), "src= is missing: the host's archive"),
            (full("type=image,src=a,dst=/b,emulate=yes"), "emulate is not for image"),
            (short("image", "::/b"), "host's path is missing"),
            (short("image", "a::"), "guest's directory is missing"),
            (short("overlay", "image="), "host's path is missing"),
            (short("overlay", "image=a,oci"), "comes before keys; write image=a::GUEST,oci"),
            (short("overlay", "image=a,upper=u"), "comes before keys; write image=a::GUEST,upper=u"),
            (short("dir", "a::b::emulate=perhaps"), "yes, memory or no"),
            (short("overlay", "a::b,emulate=memory"), "is for directories"),
            (short("dir", "a::b::oci"), "oci is not for host"),
            (full("type=overlay,lower=a,upper=b,upper=c,dst=/b"), "upper= is there twice"),
            (full("type=overlay,src=a,dst=/b"), "src is not for overlay"),
            (short("overlay", "a,upper=u"), "comes before keys; write a::GUEST,upper=u"),
            (short("dir", "a::/b::upper=u"), "upper is not for host"),
            (full("type=nfs,dst=/b"), "unknown"),
        ] {
            let error = result.unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
