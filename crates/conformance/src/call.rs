//! One line of a script is one call: a verb and its words, carried out on a [`Subject`].
//!
//! The same lines make up the conformance cases, the differential tester's sequences and its kept traces.
//! `%h` is an open handle, `%h:path` a path from it; `$n` is a number or attributes that `as n` kept.
//! The table of verbs is `VERBS`.

use std::collections::BTreeMap;

use vnode_core::{Attr, Errno, FileType, SetTime, Timespec};

use crate::subject::{
    Access, Allocate, At, Entry, Follow, Handle, Mount, Node, OpenFlags, RenameHow, Subject, Target, User,
    Whence, XattrHow,
};
use crate::text::BadText;
use crate::value::{self, Outcome, Value};

/// What a script has at hand: open handles, kept values, and who it runs as.
#[derive(Debug)]
pub struct Env {
    handles: BTreeMap<Vec<u8>, Handle>,
    numbers: BTreeMap<Vec<u8>, u64>,
    attributes: BTreeMap<Vec<u8>, Attr>,
    /// Whose credentials the subject has.
    pub user: User,
}

impl Default for Env {
    fn default() -> Self {
        Env {
            handles: BTreeMap::new(),
            numbers: BTreeMap::new(),
            attributes: BTreeMap::new(),
            user: User::root(),
        }
    }
}

/// The words of one line, read one after the other.
struct Words<'a> {
    all: &'a [Vec<u8>],
    at: usize,
    keep: Option<&'a [u8]>,
}

type Read<T> = Result<T, BadText>;

impl<'a> Words<'a> {
    fn of(line: &'a [Vec<u8>]) -> Self {
        match line {
            [body @ .., keyword, name] if keyword == b"as" && !body.is_empty() => {
                Words { all: body, at: 1, keep: Some(name) }
            }
            _ => Words { all: line, at: 1, keep: None },
        }
    }

    fn bad<T>(&self, why: &str) -> Read<T> {
        Err(BadText(format!("{why}: {}", show(self.all))))
    }

    fn next(&mut self) -> Read<&'a [u8]> {
        match self.all.get(self.at) {
            Some(word) => {
                self.at += 1;
                Ok(word)
            }
            None => self.bad("a word is missing"),
        }
    }

    fn text(&mut self) -> Read<&'a str> {
        match std::str::from_utf8(self.next()?) {
            Ok(text) => Ok(text),
            Err(_) => self.bad("not text"),
        }
    }

    fn is_empty(&self) -> bool {
        self.at >= self.all.len()
    }

    /// Takes the next word if it is `word`.
    fn has(&mut self, word: &str) -> bool {
        let found = self.all.get(self.at).is_some_and(|next| next == word.as_bytes());
        self.at += usize::from(found);
        found
    }

    fn follow(&mut self) -> Follow {
        if self.has("nofollow") { Follow::No } else { Follow::Yes }
    }

    fn mode(&mut self, default: u32) -> Read<u32> {
        if self.is_empty() {
            return Ok(default);
        }
        let text = self.text()?;
        u32::from_str_radix(text, 8).or_else(|_| self.bad("not a mode"))
    }

    /// A number: `12`, `-1`, `64k`, `2m`, `2^62`, `2^63-1`.
    fn number(&mut self) -> Read<i64> {
        let text = self.text()?;
        match read_number(text) {
            Some(number) => Ok(number),
            None => self.bad("not a number"),
        }
    }

    fn size(&mut self, default: usize) -> Read<usize> {
        if self.is_empty() {
            return Ok(default);
        }
        let number = self.number()?;
        usize::try_from(number).or_else(|_| self.bad("not a size"))
    }

    /// `-` for the owner that stays, or a number.
    fn owner(&mut self) -> Read<Option<u32>> {
        let text = self.text()?;
        if text == "-" {
            return Ok(None);
        }
        text.parse().map(Some).or_else(|_| self.bad("not an owner"))
    }

    fn time(&mut self) -> Read<Option<SetTime>> {
        let text = self.text()?;
        match value::read_time(text) {
            Some(time) => Ok(time),
            None => self.bad("not a time"),
        }
    }

    /// Whether the next word is a bare handle.
    fn is_handle(&self) -> bool {
        self.all.get(self.at).is_some_and(|word| word.first() == Some(&b'%') && !word.contains(&b':'))
    }

    fn handle(&mut self, env: &Env) -> Read<Handle> {
        match self.next()?.strip_prefix(b"%") {
            Some(name) => Ok(env.handle(name)),
            None => self.bad("not a handle"),
        }
    }

    fn path(&mut self, env: &Env) -> Read<At<'a>> {
        let word = self.next()?;
        let Some(rest) = word.strip_prefix(b"%") else { return Ok(At::cwd(word)) };
        match rest.iter().position(|byte| *byte == b':') {
            Some(colon) => Ok(At::dir(env.handle(&rest[..colon]), &rest[colon + 1..])),
            None => self.bad("a handle where a path belongs"),
        }
    }

    /// A path from the working directory, for calls that have no `*at` form.
    fn plain_path(&mut self) -> Read<&'a [u8]> {
        self.next()
    }

    fn target(&mut self, env: &Env) -> Read<Target<'a>> {
        if self.is_handle() {
            return self.handle(env).map(Target::Open);
        }
        self.path(env).map(|at| Target::Path(at, Follow::Yes))
    }

    fn cookie(&mut self, env: &Env) -> Read<u64> {
        let word = self.text()?;
        match word.strip_prefix('$') {
            Some(name) => Ok(env.numbers.get(name.as_bytes()).copied().unwrap_or(0)),
            None => word.parse().or_else(|_| self.bad("not a cookie")),
        }
    }

    fn end(&self) -> Read<()> {
        if self.is_empty() { Ok(()) } else { self.bad("a word too many") }
    }
}

fn show(words: &[Vec<u8>]) -> String {
    words.iter().map(|word| crate::text::spell(word)).collect::<Vec<_>>().join(" ")
}

fn read_number(text: &str) -> Option<i64> {
    if let Some((base, power)) = text.split_once("^") {
        let (power, less) = power.split_once('-').unwrap_or((power, "0"));
        let value = i128::from(base.parse::<i64>().ok()?).checked_pow(power.parse().ok()?)?;
        return i64::try_from(value - i128::from(less.parse::<i64>().ok()?)).ok();
    }
    let scaled = |digits: &str, unit: i64| digits.parse::<i64>().ok()?.checked_mul(unit);
    if let Some(digits) = text.strip_suffix('k') {
        return scaled(digits, 1 << 10);
    }
    if let Some(digits) = text.strip_suffix('m') {
        return scaled(digits, 1 << 20);
    }
    text.parse().ok()
}

impl Env {
    /// Every open handle that has a name.
    pub fn handles(&self) -> impl Iterator<Item = (&[u8], Handle)> {
        self.handles.iter().map(|(name, handle)| (name.as_slice(), *handle))
    }

    fn handle(&self, name: &[u8]) -> Handle {
        self.handles.get(name).copied().unwrap_or(Handle::NONE)
    }
}

/// Which function carries a verb out.
#[derive(Clone, Copy)]
enum Family {
    Open,
    Io,
    Content,
    Names,
    Inspect,
    Change,
    Xattr,
    Process,
}

/// Every verb of the language.
const VERBS: &[(&str, Family)] = &[
    ("open", Family::Open),
    ("close", Family::Io),
    ("read", Family::Io),
    ("write", Family::Io),
    ("pread", Family::Io),
    ("pwrite", Family::Io),
    ("lseek", Family::Io),
    ("fsync", Family::Io),
    ("ftruncate", Family::Io),
    ("fallocate", Family::Io),
    ("file", Family::Content),
    ("cat", Family::Content),
    ("ls", Family::Content),
    ("readdir", Family::Content),
    ("mkdir", Family::Names),
    ("mknod", Family::Names),
    ("symlink", Family::Names),
    ("link", Family::Names),
    ("unlink", Family::Names),
    ("rmdir", Family::Names),
    ("rename", Family::Names),
    ("readlink", Family::Names),
    ("stat", Family::Inspect),
    ("lstat", Family::Inspect),
    ("fstat", Family::Inspect),
    ("same", Family::Inspect),
    ("touched", Family::Inspect),
    ("statfs", Family::Inspect),
    ("access", Family::Inspect),
    ("utimens", Family::Change),
    ("chmod", Family::Change),
    ("chown", Family::Change),
    ("truncate", Family::Change),
    ("setxattr", Family::Xattr),
    ("getxattr", Family::Xattr),
    ("listxattr", Family::Xattr),
    ("removexattr", Family::Xattr),
    ("chdir", Family::Process),
    ("fchdir", Family::Process),
    ("getcwd", Family::Process),
    ("umask", Family::Process),
    ("user", Family::Process),
    ("mount", Family::Process),
    ("umount", Family::Process),
    ("tick", Family::Process),
    ("freeze", Family::Process),
    ("sink", Family::Process),
];

/// Every verb of the language.
pub fn verbs() -> impl Iterator<Item = &'static str> {
    VERBS.iter().map(|(verb, _)| *verb)
}

/// How often a call that ended in `ELOOP` is made again on a subject that miscounts links.
const RETRIES: usize = 10;

/// Carries out one line.
///
/// # Errors
/// [`BadText`]: the line is not one of the language, whatever the subject.
pub fn run(subject: &mut dyn Subject, env: &mut Env, line: &[Vec<u8>]) -> Result<Outcome, BadText> {
    let mut outcome = attempt(subject, env, line)?;
    for _ in 0..RETRIES {
        if outcome != Err(Errno::LOOP) || !subject.miscounts_links() {
            break;
        }
        outcome = attempt(subject, env, line)?;
    }
    Ok(outcome)
}

fn attempt(subject: &mut dyn Subject, env: &mut Env, line: &[Vec<u8>]) -> Result<Outcome, BadText> {
    let mut words = Words::of(line);
    let words = &mut words;
    let verb = line.first().map_or(&b""[..], Vec::as_slice);
    let Ok(verb) = std::str::from_utf8(verb) else { return words.bad("no verb") };
    let Some((_, family)) = VERBS.iter().find(|(known, _)| *known == verb) else {
        return words.bad("unknown verb");
    };
    let outcome = match family {
        Family::Open => open(subject, env, words)?,
        Family::Io => io(subject, env, words, verb)?,
        Family::Content => content(subject, env, words, verb)?,
        Family::Names => names(subject, env, words, verb)?,
        Family::Inspect => inspect(subject, env, words, verb)?,
        Family::Change => change(subject, env, words, verb)?,
        Family::Xattr => xattr(subject, env, words, verb)?,
        Family::Process => process(subject, env, words, verb)?,
    };
    words.end()?;
    Ok(outcome)
}

fn unit(result: vnode_core::Result<()>) -> Outcome {
    result.map(|()| Value::Done)
}

fn number(result: vnode_core::Result<impl TryInto<i64>>) -> Outcome {
    result.map(|number| Value::Number(number.try_into().unwrap_or(i64::MAX)))
}

/// `open PATH FLAGS [MODE] [as NAME]`; without a name it is closed at once.
fn open(subject: &mut dyn Subject, env: &mut Env, words: &mut Words<'_>) -> Read<Outcome> {
    let at = words.path(env)?;
    let mut flags = OpenFlags::empty();
    for flag in words.text()?.split(',') {
        flags |= match flag {
            "r" => OpenFlags::READ,
            "w" => OpenFlags::WRITE,
            "rw" => OpenFlags::READ | OpenFlags::WRITE,
            "creat" => OpenFlags::CREATE,
            "excl" => OpenFlags::EXCLUSIVE,
            "trunc" => OpenFlags::TRUNCATE,
            "append" => OpenFlags::APPEND,
            "dir" => OpenFlags::DIRECTORY,
            "nofollow" => OpenFlags::NOFOLLOW,
            "path" => OpenFlags::PATH,
            _ => return words.bad("unknown flag"),
        };
    }
    let mode = words.mode(0o666)?;
    let handle = match subject.openat(at, flags, mode) {
        Ok(handle) => handle,
        Err(errno) => return Ok(Err(errno)),
    };
    let to_close = match words.keep {
        Some(name) => env.handles.insert(name.to_vec(), handle),
        None => Some(handle),
    };
    match to_close {
        Some(handle) => Ok(unit(subject.close(handle))),
        None => Ok(Ok(Value::Done)),
    }
}

fn io(subject: &mut dyn Subject, env: &mut Env, words: &mut Words<'_>, verb: &str) -> Read<Outcome> {
    let handle = words.handle(env)?;
    Ok(match verb {
        "close" => {
            let closed = subject.close(handle);
            // The number may come again; the name stands for nothing from here on.
            env.handles.retain(|_, open| *open != handle);
            unit(closed)
        }
        "read" => subject.read(handle, words.size(4096)?).map(Value::Bytes),
        "write" => number(subject.write(handle, words.next()?)),
        "pread" => {
            let offset = words.number()?;
            subject.pread(handle, words.size(4096)?, offset).map(Value::Bytes)
        }
        "pwrite" => {
            let offset = words.number()?;
            number(subject.pwrite(handle, words.next()?, offset))
        }
        "lseek" => {
            let whence = match words.text()? {
                "set" => Whence::Set,
                "cur" => Whence::Current,
                "end" => Whence::End,
                "data" => Whence::Data,
                "hole" => Whence::Hole,
                _ => return words.bad("unknown whence"),
            };
            number(subject.lseek(handle, words.number()?, whence))
        }
        "fsync" => unit(subject.fsync(handle)),
        "ftruncate" => unit(subject.ftruncate(handle, words.number()?)),
        _ => {
            let how = match words.text()? {
                "extend" => Allocate::Extend,
                "keep" => Allocate::KeepSize,
                "punch" => Allocate::PunchHole,
                _ => return words.bad("unknown mode"),
            };
            let (offset, len) = (words.number()?, words.number()?);
            unit(subject.fallocate(handle, how, offset, len))
        }
    })
}

fn content(subject: &mut dyn Subject, env: &mut Env, words: &mut Words<'_>, verb: &str) -> Read<Outcome> {
    Ok(match verb {
        "file" => {
            let at = words.path(env)?;
            let bytes = if words.is_empty() { &b""[..] } else { words.next()? };
            unit(write_file(subject, at, bytes))
        }
        "cat" => read_file(subject, words.path(env)?).map(Value::Bytes),
        "ls" => {
            let listed = if words.is_handle() {
                let handle = words.handle(env)?;
                list(subject, handle)
            } else {
                list_path(subject, words.path(env)?)
            };
            let types = words.has("types");
            listed.map(|mut entries| {
                entries.retain(|entry| entry.name != b"." && entry.name != b"..");
                let mut names: Vec<_> = entries
                    .into_iter()
                    .map(|Entry { name, kind, .. }| if types { with_type(name, kind) } else { name })
                    .collect();
                names.sort();
                Value::Names(names)
            })
        }
        _ => {
            let (handle, cookie) = (words.handle(env)?, words.cookie(env)?);
            let max = words.size(usize::MAX)?;
            subject.readdir(handle, cookie, max).map(|entries| {
                if let (Some(name), Some(last)) = (words.keep, entries.last()) {
                    env.numbers.insert(name.to_vec(), last.next);
                }
                Value::Names(entries.into_iter().map(|entry| entry.name).collect())
            })
        }
    })
}

/// A name in a listing with what the listing says that it is, `l=link`.
fn with_type(name: Vec<u8>, kind: u8) -> Vec<u8> {
    let word = FileType::from_mode(u32::from(kind) << 12).map_or("unknown", value::kind_word);
    [&name[..], b"=", word.as_bytes()].concat()
}

fn write_file(subject: &mut dyn Subject, at: At<'_>, mut bytes: &[u8]) -> vnode_core::Result<()> {
    let handle = subject.openat(at, OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE, 0o666)?;
    while !bytes.is_empty() {
        let written = subject.write(handle, bytes)?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    subject.close(handle)
}

fn read_file(subject: &mut dyn Subject, at: At<'_>) -> vnode_core::Result<Vec<u8>> {
    let handle = subject.openat(at, OpenFlags::READ, 0)?;
    let bytes = subject.read(handle, 1 << 20);
    subject.close(handle)?;
    bytes
}

fn list_path(subject: &mut dyn Subject, at: At<'_>) -> vnode_core::Result<Vec<Entry>> {
    let handle = subject.openat(at, OpenFlags::READ | OpenFlags::DIRECTORY, 0)?;
    let entries = list(subject, handle);
    subject.close(handle)?;
    entries
}

/// Every entry of an open directory, `.` and `..` included.
pub fn list(subject: &mut dyn Subject, handle: Handle) -> vnode_core::Result<Vec<Entry>> {
    let mut entries = subject.readdir(handle, 0, usize::MAX)?;
    let mut last = entries.last().map(|entry| entry.next);
    while let Some(cookie) = last {
        let more = subject.readdir(handle, cookie, usize::MAX)?;
        last = more.last().map(|entry| entry.next);
        entries.extend(more);
    }
    Ok(entries)
}

fn names(subject: &mut dyn Subject, env: &mut Env, words: &mut Words<'_>, verb: &str) -> Read<Outcome> {
    Ok(match verb {
        "mkdir" => {
            let at = words.path(env)?;
            unit(subject.mkdirat(at, words.mode(0o777)?))
        }
        "mknod" => {
            let at = words.path(env)?;
            let node = node(words)?;
            unit(subject.mknodat(at, node, words.mode(0o666)?))
        }
        "symlink" => {
            let target = words.next()?;
            unit(subject.symlinkat(target, words.path(env)?))
        }
        "link" => {
            let (old, new) = (words.path(env)?, words.path(env)?);
            let follow = if words.has("follow") { Follow::Yes } else { Follow::No };
            unit(subject.linkat(old, new, follow))
        }
        "unlink" => unit(subject.unlinkat(words.path(env)?)),
        "rmdir" => unit(subject.rmdirat(words.path(env)?)),
        "rename" => {
            let (from, to) = (words.path(env)?, words.path(env)?);
            let how = if words.has("noreplace") {
                RenameHow::NoReplace
            } else if words.has("exchange") {
                RenameHow::Exchange
            } else {
                RenameHow::Replace
            };
            unit(subject.renameat2(from, to, how))
        }
        _ => {
            let at = words.path(env)?;
            subject.readlinkat(at, words.size(4096)?).map(Value::Bytes)
        }
    })
}

fn node(words: &mut Words<'_>) -> Read<Node> {
    let word = words.text()?;
    let device = |text: &str| {
        let (major, minor) = text.split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    Ok(match word {
        "file" => Node::Regular,
        "fifo" => Node::Fifo,
        "sock" => Node::Socket,
        "dir" => Node::Directory,
        _ => match (word.strip_prefix("chr:").and_then(device), word.strip_prefix("blk:").and_then(device)) {
            (Some((major, minor)), _) => Node::Char(major, minor),
            (_, Some((major, minor))) => Node::Block(major, minor),
            _ => return words.bad("unknown kind of node"),
        },
    })
}

fn inspect(subject: &mut dyn Subject, env: &mut Env, words: &mut Words<'_>, verb: &str) -> Read<Outcome> {
    let keep = words.keep;
    let attributes = |env: &mut Env, result: vnode_core::Result<Attr>| {
        if let (Some(name), Ok(attr)) = (keep, &result) {
            env.attributes.insert(name.to_vec(), *attr);
        }
        result.map(|attr| Value::Attr(Box::new(attr)))
    };
    Ok(match verb {
        "stat" => {
            let result = subject.fstatat(words.path(env)?, Follow::Yes);
            attributes(env, result)
        }
        "lstat" => {
            let result = subject.fstatat(words.path(env)?, Follow::No);
            attributes(env, result)
        }
        "fstat" => {
            let result = subject.fstat(words.handle(env)?);
            attributes(env, result)
        }
        "same" => {
            let (one, other) = (words.target(env)?, words.target(env)?);
            let mut identity = |of| status(subject, of).map(|attr| (attr.dev, attr.ino));
            identity(one).and_then(|one| Ok(Value::Number(i64::from(one == identity(other)?))))
        }
        "touched" => {
            let attr = status(subject, words.target(env)?);
            let Some(name) = words.text()?.strip_prefix('$') else {
                return words.bad("not the name of kept attributes");
            };
            // The call that should have kept them may have failed.
            let old = env.attributes.get(name.as_bytes());
            let letters = |new| old.map_or_else(|| "?".into(), |old| touched(old, &new));
            attr.map(|new| Value::Bytes(letters(new).into_bytes()))
        }
        "statfs" => subject.statfs(words.plain_path()?).map(|space| Value::Space(Box::new(space))),
        _ => {
            let at = words.path(env)?;
            let mut access = Access::empty();
            for letter in words.text()?.chars() {
                access |= match letter {
                    'r' => Access::READ,
                    'w' => Access::WRITE,
                    'x' => Access::EXECUTE,
                    'f' => Access::empty(),
                    _ => return words.bad("unknown access"),
                };
            }
            let follow = words.follow();
            unit(subject.faccessat(at, access, follow))
        }
    })
}

/// The attributes of what a handle or a path means, a final link not followed.
fn status(subject: &mut dyn Subject, of: Target<'_>) -> vnode_core::Result<Attr> {
    match of {
        Target::Open(handle) => subject.fstat(handle),
        Target::Path(at, _) => subject.fstatat(at, Follow::No),
    }
}

/// Which timestamps differ, as letters of `amc`.
fn touched(old: &Attr, new: &Attr) -> String {
    let differs = |time: fn(&Attr) -> Timespec| time(old) != time(new);
    let mut letters = String::new();
    for (letter, changed) in [
        ('a', differs(|attr| attr.atime)),
        ('m', differs(|attr| attr.mtime)),
        ('c', differs(|attr| attr.ctime)),
    ] {
        if changed {
            letters.push(letter);
        }
    }
    letters
}

fn change(subject: &mut dyn Subject, env: &mut Env, words: &mut Words<'_>, verb: &str) -> Read<Outcome> {
    Ok(match verb {
        "utimens" => {
            let mut on = words.target(env)?;
            let (atime, mtime) = (words.time()?, words.time()?);
            set_follow(&mut on, words);
            unit(subject.utimensat(on, atime, mtime))
        }
        "chmod" => match words.target(env)? {
            Target::Path(at, _) => unit(subject.fchmodat(at, words.mode(0)?)),
            Target::Open(handle) => unit(subject.fchmod(handle, words.mode(0)?)),
        },
        "chown" => {
            let mut on = words.target(env)?;
            let (uid, gid) = (words.owner()?, words.owner()?);
            set_follow(&mut on, words);
            unit(subject.fchownat(on, uid, gid))
        }
        _ => {
            let path = words.plain_path()?;
            unit(subject.truncate(path, words.number()?))
        }
    })
}

fn set_follow(on: &mut Target<'_>, words: &mut Words<'_>) {
    let said = words.follow();
    if let Target::Path(_, follow) = on {
        *follow = said;
    }
}

fn xattr(subject: &mut dyn Subject, env: &mut Env, words: &mut Words<'_>, verb: &str) -> Read<Outcome> {
    let mut on = words.target(env)?;
    Ok(match verb {
        "setxattr" => {
            let (name, value) = (words.next()?, words.next()?);
            let how = if words.has("create") {
                XattrHow::Create
            } else if words.has("replace") {
                XattrHow::Replace
            } else {
                XattrHow::Either
            };
            set_follow(&mut on, words);
            unit(subject.setxattr(on, name, value, how))
        }
        "getxattr" => {
            let name = words.next()?;
            set_follow(&mut on, words);
            subject.getxattr(on, name, words.size(65536)?).map(Value::Bytes)
        }
        "listxattr" => {
            set_follow(&mut on, words);
            subject.listxattr(on).map(|mut names| {
                names.sort();
                Value::Names(names)
            })
        }
        _ => {
            let name = words.next()?;
            set_follow(&mut on, words);
            unit(subject.removexattr(on, name))
        }
    })
}

fn process(subject: &mut dyn Subject, env: &mut Env, words: &mut Words<'_>, verb: &str) -> Read<Outcome> {
    Ok(match verb {
        "chdir" => unit(subject.chdir(words.plain_path()?)),
        "fchdir" => unit(subject.fchdir(words.handle(env)?)),
        "getcwd" => subject.getcwd().map(Value::Bytes),
        "umask" => {
            let mask = words.mode(0o022)?;
            Ok(Value::Number(i64::from(subject.umask(mask))))
        }
        "user" => {
            let user = user(words)?;
            let result = subject.become_user(&user);
            if result.is_ok() {
                env.user = user;
            }
            unit(result)
        }
        "mount" => mount(subject, words)?,
        "umount" => unit(subject.umount(words.plain_path()?)),
        "freeze" => {
            *env = Env::default();
            unit(subject.freeze())
        }
        "sink" => sink(subject, env),
        _ => {
            subject.tick();
            Ok(Value::Done)
        }
    })
}

/// `sink`: closes everything, and is root at `/` again.
fn sink(subject: &mut dyn Subject, env: &mut Env) -> Outcome {
    for handle in std::mem::take(env).handles.into_values() {
        subject.close(handle)?;
    }
    subject.become_user(&User::root())?;
    subject.umask(0o022);
    subject.chdir(b"/")?;
    subject.sink()?;
    Ok(Value::Done)
}

/// `user UID GID [GROUP,GROUP...]`.
fn user(words: &mut Words<'_>) -> Read<User> {
    let (Some(uid), Some(gid)) = (words.owner()?, words.owner()?) else { return words.bad("who?") };
    let mut groups = Vec::new();
    if !words.is_empty() {
        for group in words.text()?.split(',') {
            match group.parse() {
                Ok(group) => groups.push(group),
                Err(_) => return words.bad("not a group"),
            }
        }
    }
    Ok(User { uid, gid, groups })
}

/// `mount tmpfs PATH [size=N] [inodes=N] [ro]` or `mount bind SOURCE PATH [ro]`.
fn mount(subject: &mut dyn Subject, words: &mut Words<'_>) -> Read<Outcome> {
    let kind = words.text()?;
    let (mut size, mut inodes, mut read_only) = (0, 0, false);
    let source = if kind == "bind" { words.plain_path()? } else { b"" };
    let path = words.plain_path()?;
    while !words.is_empty() {
        let option = words.text()?;
        let value =
            option.split_once('=').and_then(|(_, value)| read_number(value)).unwrap_or(0).unsigned_abs();
        match option.split('=').next() {
            Some("size") => size = value,
            Some("inodes") => inodes = value,
            Some("ro") => read_only = true,
            _ => return words.bad("unknown option"),
        }
    }
    let what = match kind {
        "tmpfs" => Mount::Memory { size, inodes },
        "bind" => Mount::Bind(source),
        _ => return words.bad("unknown filesystem"),
    };
    Ok(unit(subject.mount(what, path, read_only)))
}

/// Carries out a line of text that must be right, for tests.
///
/// # Errors
/// [`BadText`]: the line is not one of the language.
pub fn run_text(subject: &mut dyn Subject, env: &mut Env, line: &str) -> Result<Outcome, BadText> {
    run(subject, env, &crate::text::words(line)?)
}
