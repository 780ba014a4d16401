//! What a call answered, as text, and what a script expects of it.

use std::fmt;

use vnode_core::{Attr, Errno, FileType, SetTime, StatFs, Timespec};

use crate::text::{self, BadText};

/// The answer of a call that succeeded.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing but success.
    Done,
    /// A count, an offset, a yes (1) or no (0).
    Number(i64),
    /// Content, a link's text, a path.
    Bytes(Vec<u8>),
    /// Names, in the order of the answer.
    Names(Vec<Vec<u8>>),
    /// Attributes.
    Attr(Box<Attr>),
    /// Figures of a filesystem.
    Space(Box<StatFs>),
}

/// What a call came to.
pub type Outcome = Result<Value, Errno>;

/// One word for an outcome, the same on every subject: no inode numbers, no times.
pub fn describe(outcome: &Outcome) -> String {
    match outcome {
        Ok(value) => value.to_string(),
        Err(errno) => format!("{errno:?}"),
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Done => f.write_str("ok"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Bytes(bytes) => f.write_str(&text::quote(bytes)),
            Value::Names(names) => {
                let names: Vec<String> = names.iter().map(|name| text::spell(name)).collect();
                write!(f, "[{}]", names.join(" "))
            }
            Value::Attr(attr) => {
                let shown =
                    if attr.kind == FileType::Directory { &ATTRIBUTES[..5] } else { &ATTRIBUTES[..6] };
                let fields: Vec<String> =
                    shown.iter().map(|key| format!("{key}={}", field(attr, key))).collect();
                write!(f, "{{{}}}", fields.join(" "))
            }
            Value::Space(space) => {
                write!(f, "{{namemax={} readonly={}}}", space.name_max, u8::from(space.read_only))
            }
        }
    }
}

/// The attributes that [`Value`]'s text shows; the size of a directory is each filesystem's own affair.
const ATTRIBUTES: [&str; 6] = ["type", "mode", "nlink", "uid", "gid", "size"];

fn field(attr: &Attr, key: &str) -> String {
    match key {
        "type" => kind_word(attr.kind).into(),
        "mode" => format!("{:o}", attr.mode.raw()),
        "nlink" => attr.nlink.to_string(),
        "uid" => attr.uid.to_string(),
        "gid" => attr.gid.to_string(),
        "size" => attr.size.to_string(),
        "blocks" => attr.blocks.to_string(),
        "rdev" => format!("{}:{}", rdev_major(attr.rdev), rdev_minor(attr.rdev)),
        "atime" => time_word(attr.atime),
        "mtime" => time_word(attr.mtime),
        _ => "?".into(),
    }
}

fn space_field(space: &StatFs, key: &str) -> String {
    match key {
        "namemax" => space.name_max.to_string(),
        "readonly" => u8::from(space.read_only).to_string(),
        "bytes" => (space.blocks * u64::from(space.block_size)).to_string(),
        "free" => (space.blocks_free * u64::from(space.block_size)).to_string(),
        "files" => space.files.to_string(),
        "filesfree" => space.files_free.to_string(),
        _ => "?".into(),
    }
}

/// The major number of a device, as `makedev(3)` packs it.
pub fn rdev_major(rdev: u32) -> u32 {
    (rdev >> 8) & 0xfff
}

/// The minor number of a device, as `makedev(3)` packs it.
pub fn rdev_minor(rdev: u32) -> u32 {
    ((rdev >> 12) & 0xf_ff00) | (rdev & 0xff)
}

/// A file type's word in scripts.
pub fn kind_word(kind: FileType) -> &'static str {
    match kind {
        FileType::Regular => "file",
        FileType::Directory => "dir",
        FileType::Symlink => "link",
        FileType::Fifo => "fifo",
        FileType::Socket => "sock",
        FileType::CharDevice => "chr",
        FileType::BlockDevice => "blk",
    }
}

fn time_word(time: Timespec) -> String {
    if time.nsec == 0 { time.sec.to_string() } else { format!("{}.{:09}", time.sec, time.nsec) }
}

/// Reads `now`, `omit` or `seconds[.nanoseconds]`.
pub fn read_time(word: &str) -> Option<Option<SetTime>> {
    match word {
        "now" => return Some(Some(SetTime::Now)),
        "omit" => return Some(None),
        _ => {}
    }
    let (sec, nsec) = match word.split_once('.') {
        Some((sec, nsec)) => (sec.parse().ok()?, nsec.parse().ok()?),
        None => (word.parse().ok()?, 0),
    };
    Some(Some(SetTime::To(Timespec { sec, nsec })))
}

/// What a script expects of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Expect {
    /// Any success.
    Ok,
    /// `?`: not written yet. No outcome fits, so the kernel's answer is reported and can be filled in.
    Unwritten,
    /// This error, by name.
    Error(String),
    /// This number.
    Number(i64),
    /// These bytes.
    Bytes(Vec<u8>),
    /// These names in this order.
    Names(Vec<Vec<u8>>),
    /// These fields of attributes or figures.
    Fields(Vec<(String, String)>),
}

impl Expect {
    /// Reads the text behind `=>`.
    ///
    /// # Errors
    /// [`BadText`]: it is none of the forms.
    pub fn parse(source: &str) -> Result<Expect, BadText> {
        let source = source.trim();
        let no = || BadText(format!("no expectation: {source}"));
        if source == "ok" {
            return Ok(Expect::Ok);
        }
        if source == "?" {
            return Ok(Expect::Unwritten);
        }
        if let Some(inside) = source.strip_prefix('[') {
            return Ok(Expect::Names(text::words(inside.strip_suffix(']').ok_or_else(no)?)?));
        }
        if let Some(inside) = source.strip_prefix('{') {
            let inside = inside.strip_suffix('}').ok_or_else(no)?;
            let pairs = inside.split_whitespace().map(|pair| pair.split_once('=').ok_or_else(no));
            let pairs = pairs.map(|pair| pair.map(|(key, value)| (key.to_owned(), value.to_owned())));
            return Ok(Expect::Fields(pairs.collect::<Result<_, _>>()?));
        }
        if source.starts_with(['"', '<']) {
            return match text::words(source)?.as_slice() {
                [word] => Ok(Expect::Bytes(word.clone())),
                _ => Err(no()),
            };
        }
        if let Ok(number) = source.parse() {
            return Ok(Expect::Number(number));
        }
        if Errno::ALL.iter().any(|errno| errno.name() == source) {
            return Ok(Expect::Error(source.into()));
        }
        Err(no())
    }

    /// Whether the call is expected to fail.
    pub fn is_error(&self) -> bool {
        matches!(self, Expect::Error(_))
    }

    /// Whether `outcome` is what is expected.
    pub fn fits(&self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Expect::Ok, Ok(_)) => true,
            (Expect::Error(name), Err(errno)) => name == errno.name(),
            (Expect::Number(want), Ok(Value::Number(got))) => want == got,
            (Expect::Bytes(want), Ok(Value::Bytes(got))) => want == got,
            (Expect::Names(want), Ok(Value::Names(got))) => want == got,
            (Expect::Fields(want), Ok(Value::Attr(got))) => {
                want.iter().all(|(key, value)| field(got, key) == *value)
            }
            (Expect::Fields(want), Ok(Value::Space(got))) => {
                want.iter().all(|(key, value)| space_field(got, key) == *value)
            }
            _ => false,
        }
    }
}
