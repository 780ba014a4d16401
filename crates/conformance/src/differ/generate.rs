//! Makes random calls that mostly succeed: it looks at what is there and aims at it, but not always.

use super::known::{Known, Theme};
use super::path_text;
use crate::random::Random;
/// Where handles point, as far as it matters for aiming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    /// A regular file for reading and writing.
    File,
    /// A regular file for one of them, or a place only.
    Limited,
    Directory,
    Closed,
}

const HANDLES: [&str; 3] = ["h", "i", "j"];
const NEVER_OPEN: &str = "k";

/// Makes the calls of one sequence.
pub struct Generator<'a> {
    random: &'a mut Random,
    theme: Theme,
    handles: [Opened; 3],
    tagged: Vec<Vec<u8>>,
    /// The path that was last changed to.
    cwd: Option<Vec<u8>>,
    /// Whether that path was just removed.
    cwd_gone: bool,
    root: bool,
}

type Line = Vec<Vec<u8>>;

fn line(words: &[&[u8]]) -> Line {
    words.iter().map(|word| word.to_vec()).collect()
}

impl<'a> Generator<'a> {
    /// A generator for one sequence.
    pub fn new(random: &'a mut Random, theme: Theme) -> Self {
        let handles = [Opened::File, Opened::Directory, Opened::Closed];
        Generator {
            random,
            theme,
            handles,
            tagged: vec![theme.tagged().to_vec()],
            cwd: None,
            cwd_gone: false,
            root: true,
        }
    }

    /// The next call.
    pub fn next(&mut self, known: &Known) -> Line {
        if self.theme == Theme::Users && self.random.percent(8) {
            return self.user();
        }
        if std::mem::take(&mut self.cwd_gone) && self.random.percent(60) {
            return line(&[b"getcwd"]);
        }
        match self.random.below(100) {
            0..40 => self.naming(known),
            40..58 => self.opening(known),
            58..76 => self.content(known),
            76..88 => self.looking(known),
            _ => self.changing(known),
        }
    }

    /// Learns from what the last call did.
    pub fn learn(&mut self, words: &[Vec<u8>], success: bool) {
        let word = |at: usize| words.get(at).map(Vec::as_slice).unwrap_or_default();
        match word(0) {
            b"open" if success => {
                if let [.., keyword, name] = words
                    && keyword == b"as"
                    && let Some(slot) = HANDLES.iter().position(|handle| handle.as_bytes() == name)
                {
                    let has = |flag: &[u8]| word(2).split(|byte| *byte == b',').any(|part| part == flag);
                    self.handles[slot] = if has(b"path") && !has(b"dir") {
                        Opened::Limited
                    } else if has(b"dir") {
                        Opened::Directory
                    } else if has(b"rw") {
                        Opened::File
                    } else {
                        Opened::Limited
                    };
                }
            }
            b"close" if success => {
                let slot =
                    HANDLES.iter().position(|handle| Some(handle.as_bytes()) == word(1).strip_prefix(b"%"));
                if let Some(slot) = slot {
                    self.handles[slot] = Opened::Closed;
                }
            }
            b"setxattr" if success => self.tagged.push(word(1).to_vec()),
            b"removexattr" => self.tagged.retain(|path| path != word(1)),
            b"rmdir" if success => self.cwd_gone = self.cwd.as_deref() == Some(word(1)),
            b"chdir" if success => self.cwd = word(1).starts_with(b"/").then(|| word(1).to_vec()),
            b"user" if success => self.root = word(1) == b"0",
            b"freeze" | b"sink" => {
                self.handles = [Opened::Closed; 3];
                (self.cwd, self.root) = (None, true);
            }
            _ => {}
        }
    }

    fn user(&mut self) -> Line {
        let root: &[&[u8]] = &[b"0", b"0"];
        let others: [&[&[u8]]; 3] = [&[b"1000", b"1000"], &[b"1000", b"1000", b"50"], &[b"1001", b"50"]];
        let who = if self.root { self.random.of(others) } else { root };
        let mut words = vec![&b"user"[..]];
        words.extend_from_slice(who);
        line(&words)
    }

    /// A path over the alphabet that may or may not be there, from the cwd or from a handle.
    fn any_path(&mut self) -> Vec<u8> {
        let mut path = path_text(self.random, self.theme.names());
        match self.random.below(100) {
            0..10 => path.extend_from_slice(&[b'n'; 256]),
            10..11 => path.clear(),
            _ => {}
        }
        if self.random.percent(30) {
            return [b"%", self.handle(Opened::Directory).as_bytes(), b":", &path].concat();
        }
        path
    }

    /// One of `all`, spelled in some way, in most cases.
    fn aimed(&mut self, all: &[Vec<u8>]) -> Vec<u8> {
        self.aimed_by(80, all)
    }

    fn aimed_by(&mut self, percent: usize, all: &[Vec<u8>]) -> Vec<u8> {
        let aims = self.random.percent(percent);
        match self.random.pick(all) {
            Some(path) if aims => self.respell(&path.clone()),
            _ => self.any_path(),
        }
    }

    fn respell(&mut self, path: &[u8]) -> Vec<u8> {
        match self.random.below(20) {
            0 => [b"/..", path].concat(),
            1 => [path, b"/."].concat(),
            2 => [path, b"/"].concat(),
            3 => [b"/.", path].concat(),
            4..8 => path.strip_prefix(b"/").filter(|rest| !rest.is_empty()).unwrap_or(path).to_vec(),
            _ => path.to_vec(),
        }
    }

    /// A name that is not there yet in most cases, in a directory that is.
    fn free(&mut self, known: &Known) -> Vec<u8> {
        let taken = known.inodes();
        for _ in 0..4 {
            let Some(dir) = self.random.pick(&known.dirs).cloned() else { break };
            let name = self.random.pick(self.theme.names()).copied().unwrap_or(b"a");
            let path = [dir.strip_suffix(b"/").unwrap_or(&dir), b"/", name].concat();
            if !taken.contains(&path) && path.len() < 20 && self.random.percent(90) {
                return if self.random.percent(30) {
                    path.strip_prefix(b"/").unwrap_or(&path).to_vec()
                } else {
                    path
                };
            }
        }
        self.any_path()
    }

    /// A handle that is of the kind in most cases.
    fn handle(&mut self, kind: Opened) -> &'static str {
        if self.random.percent(5) {
            return NEVER_OPEN;
        }
        let slots: Vec<usize> = (0..HANDLES.len()).filter(|slot| self.handles[*slot] == kind).collect();
        let aims = self.random.percent(85);
        match self.random.pick(&slots) {
            Some(slot) if aims => HANDLES[*slot],
            _ => self.random.of(HANDLES),
        }
    }

    fn bare_handle(&mut self, kind: Opened) -> Vec<u8> {
        [b"%", self.handle(kind).as_bytes()].concat()
    }

    /// An inode by path, or at times by handle.
    fn inode(&mut self, all: &[Vec<u8>]) -> Vec<u8> {
        if self.random.percent(12) { self.bare_handle(Opened::File) } else { self.aimed(all) }
    }

    fn naming(&mut self, known: &Known) -> Line {
        match self.random.below(100) {
            0..16 => {
                let path = self.free(known);
                let mode = self.random.of([&b"777"[..], b"755", b"700", b"1777", b"2775"]);
                line(&[b"mkdir", &path, mode])
            }
            16..22 => {
                let path = if self.random.percent(15) { self.any_path() } else { self.free(known) };
                let kind = self.random.of([&b"sock"[..], b"file", b"file", b"sock", b"dir", b"chr:4000:3"]);
                line(&[b"mknod", &path, kind])
            }
            22..38 => {
                let target =
                    if self.random.percent(50) { self.aimed(&known.inodes()) } else { self.any_path() };
                let target = match target.iter().position(|byte| *byte == b':') {
                    Some(colon) if target.first() == Some(&b'%') => target[colon + 1..].to_vec(),
                    _ => target,
                };
                let target =
                    if target.is_empty() && self.random.percent(50) { b"a".to_vec() } else { target };
                let path = self.free(known);
                line(&[b"symlink", &target, &path])
            }
            38..50 => {
                let old = self.aimed(&Known::loose(&known.removable(), self.theme));
                let new = if self.random.percent(80) { self.free_near(known) } else { self.free(known) };
                if self.random.percent(25) {
                    line(&[b"link", &old, &new, b"follow"])
                } else {
                    line(&[b"link", &old, &new])
                }
            }
            50..60 => {
                let path = self.aimed(&known.removable());
                line(&[b"unlink", &path])
            }
            60..68 => {
                let cwd = self.cwd.clone().filter(|cwd| known.empty.contains(cwd) && self.random.percent(60));
                let path = match cwd {
                    Some(cwd) => cwd,
                    None => self.aimed(&Known::loose(&known.empty, self.theme)),
                };
                line(&[b"rmdir", &path])
            }
            68..72 => {
                let mut path = self.aimed(&known.links);
                if path.is_empty() || path.ends_with(b":") {
                    // readlinkat(2) alone takes an empty path for the descriptor itself.
                    path.push(b'a');
                }
                line(&[b"readlink", &path])
            }
            _ => self.rename(known),
        }
    }

    fn rename(&mut self, known: &Known) -> Line {
        let all =
            if self.random.percent(90) { Known::loose(&known.inodes(), self.theme) } else { known.inodes() };
        let removable = Known::loose(&known.removable(), self.theme);
        let (from, to) = match self.random.below(8) {
            0 => (self.aimed_by(92, &removable), self.near(&removable)),
            1 => (self.aimed_by(92, &Known::loose(&known.dirs, self.theme)), self.near(&known.empty)),
            2 => (self.aimed_by(92, &all), self.near(&all)),
            3..6 => (self.aimed_by(92, &removable), self.free_near(known)),
            _ => (self.aimed_by(92, &all), self.free_near(known)),
        };
        match self.random.below(10) {
            0 => {
                let other = self.near(&all);
                line(&[b"rename", &from, &other, b"exchange"])
            }
            1 => line(&[b"rename", &from, &to, b"noreplace"]),
            _ => line(&[b"rename", &from, &to]),
        }
    }

    /// One of `all` that is on the same mount as most are.
    fn near(&mut self, all: &[Vec<u8>]) -> Vec<u8> {
        let near: Vec<Vec<u8>> = all.iter().filter(|path| self.is_near(path)).cloned().collect();
        self.aimed_by(92, &near)
    }

    fn free_near(&mut self, known: &Known) -> Vec<u8> {
        let dirs: Vec<Vec<u8>> = known.dirs.iter().filter(|path| self.is_near(path)).cloned().collect();
        self.free(&Known { dirs, ..known.clone() })
    }

    fn is_near(&self, path: &[u8]) -> bool {
        self.theme != Theme::Mounts || !(path.starts_with(b"/m") || path.starts_with(b"/r"))
    }

    fn opening(&mut self, known: &Known) -> Line {
        let name = self.random.of(HANDLES).as_bytes();
        match self.random.below(100) {
            0..20 => {
                let path = self.aimed(&known.dirs);
                line(&[b"open", &path, b"r,dir", b"as", name])
            }
            20..45 => {
                let path = self.aimed(&known.files);
                let flags =
                    self.random.of([&b"r"[..], b"w", b"rw", b"rw,trunc", b"rw,append", b"r,nofollow"]);
                line(&[b"open", &path, flags, b"as", name])
            }
            45..70 => {
                let path = if self.random.percent(60) { self.free(known) } else { self.aimed(&known.links) };
                let flags = self.random.of([
                    &b"rw,creat"[..],
                    b"w,creat",
                    b"rw,creat,excl",
                    b"rw,creat,trunc",
                    b"r,creat",
                    b"w,creat,nofollow",
                    b"r,creat,dir",
                ]);
                let mode = self.random.of([&b"666"[..], b"600", b"444", b"000", b"6777"]);
                line(&[b"open", &path, flags, mode, b"as", name])
            }
            70..80 => {
                let path = self.aimed(&known.inodes());
                let flags = self.random.of([&b"path"[..], b"path,nofollow", b"path,dir"]);
                line(&[b"open", &path, flags, b"as", name])
            }
            80..84 => {
                let path = self.aimed(&known.others);
                line(&[b"open", &path, b"r", b"as", name])
            }
            84..95 => {
                let path = match self.random.below(20) {
                    0..10 => self.free(known),
                    10..12 => self.aimed(&known.others),
                    _ => self.aimed(&known.files),
                };
                let content = self.random.of([&b""[..], b"x", b"hello", b"0123456789"]);
                line(&[b"file", &path, content])
            }
            _ => {
                let handle = self.bare_handle(Opened::File);
                line(&[b"close", &handle])
            }
        }
    }

    fn content(&mut self, known: &Known) -> Line {
        if !self.handles.contains(&Opened::File) && self.random.percent(80) {
            let path = self.aimed(&known.files);
            return line(&[b"open", &path, b"rw", b"as", self.random.of(HANDLES).as_bytes()]);
        }
        let handle = if self.random.percent(8) {
            self.bare_handle(Opened::Directory)
        } else {
            self.bare_handle(Opened::File)
        };
        let offset = self.random.of([&b"0"[..], b"1", b"3", b"7", b"20", b"5000", b"-1", b"70000"]);
        let size = self.random.of([&b"0"[..], b"1", b"4", b"100", b"9000"]);
        let bytes = self.random.of([&b""[..], b"x", b"abc", b"0123456789abcdef"]);
        match self.random.below(9) {
            0 => line(&[b"read", &handle, size]),
            1 | 2 => line(&[b"write", &handle, bytes]),
            3 => line(&[b"pread", &handle, offset, size]),
            4 => line(&[b"pwrite", &handle, offset, bytes]),
            5 => {
                let whence = self.random.of([&b"set"[..], b"cur", b"end", b"data", b"hole"]);
                line(&[b"lseek", &handle, whence, offset])
            }
            6 => line(&[b"ftruncate", &handle, offset]),
            7 => {
                let how = self.random.of([&b"extend"[..], b"keep", b"punch"]);
                line(&[b"fallocate", &handle, how, offset, size])
            }
            _ => line(&[b"fsync", &handle]),
        }
    }

    fn looking(&mut self, known: &Known) -> Line {
        match self.random.below(100) {
            0..20 => {
                let path = self.aimed(&known.inodes());
                line(&[b"stat", &path])
            }
            20..35 => {
                let mut path = self.aimed(&known.inodes());
                if self.random.percent(10) {
                    path = self.aimed(&known.links);
                    path.extend_from_slice(b"/a");
                }
                line(&[b"lstat", &path])
            }
            35..42 => {
                let handle = self.bare_handle(Opened::File);
                line(&[b"fstat", &handle])
            }
            42..54 => {
                let path = if self.random.percent(20) {
                    self.bare_handle(Opened::Directory)
                } else {
                    self.aimed(&known.dirs)
                };
                line(&[b"ls", &path])
            }
            54..66 => {
                let path = if self.random.percent(10) {
                    self.aimed(&known.others)
                } else {
                    self.aimed(&known.files)
                };
                line(&[b"cat", &path])
            }
            66..74 => {
                let path = self.aimed(&known.inodes());
                let what = self.random.of([&b"f"[..], b"r", b"w", b"x", b"rw"]);
                line(&[b"access", &path, what])
            }
            74..80 => {
                let path = self.plain(&known.inodes());
                line(&[b"statfs", &path])
            }
            80..88 => {
                let path = if self.random.percent(20) { b"..".to_vec() } else { self.plain(&known.dirs) };
                line(&[b"chdir", &path])
            }
            88..92 => {
                let handle = self.bare_handle(Opened::Directory);
                line(&[b"fchdir", &handle])
            }
            _ => line(&[b"getcwd"]),
        }
    }

    /// A path for calls that have no `*at` form.
    fn plain(&mut self, all: &[Vec<u8>]) -> Vec<u8> {
        let path = self.aimed(all);
        match path.iter().position(|byte| *byte == b':') {
            Some(colon) if path.first() == Some(&b'%') => path[colon + 1..].to_vec(),
            _ => path,
        }
    }

    /// An inode by handle, or by a path for calls that have no `*at` form.
    fn plain_inode(&mut self, all: &[Vec<u8>]) -> Vec<u8> {
        if self.random.percent(12) { self.bare_handle(Opened::File) } else { self.plain(all) }
    }

    fn changing(&mut self, known: &Known) -> Line {
        match self.random.below(100) {
            0..16 => {
                let on = self.inode(&known.inodes());
                let mode = self.random.of([
                    &b"777"[..],
                    b"755",
                    b"644",
                    b"600",
                    b"000",
                    b"1777",
                    b"2775",
                    b"6755",
                    b"070",
                ]);
                line(&[b"chmod", &on, mode])
            }
            16..30 => {
                let on = self.inode(&known.inodes());
                let uid = self.random.of([&b"-"[..], b"0", b"1000", b"1001"]);
                let gid = self.random.of([&b"-"[..], b"0", b"50", b"1000"]);
                let by_path = on.first() != Some(&b'%') || on.contains(&b':');
                if by_path && self.random.percent(30) {
                    line(&[b"chown", &on, uid, gid, b"nofollow"])
                } else {
                    line(&[b"chown", &on, uid, gid])
                }
            }
            30..45 => {
                let on = self.inode(&known.inodes());
                let atime = self.random.of([&b"now"[..], b"omit", b"1", b"5.000000001", b"1.1000000000"]);
                let mtime = self.random.of([&b"now"[..], b"now", b"omit", b"2", b"7.999999999"]);
                line(&[b"utimens", &on, atime, mtime])
            }
            45..60 => {
                let path = if self.random.percent(12) {
                    self.plain(&known.inodes())
                } else {
                    self.plain(&known.files)
                };
                let len = self.random.of([&b"0"[..], b"1", b"5", b"5000", b"5", b"7", b"-1"]);
                line(&[b"truncate", &path, len])
            }
            60..75 => {
                let on = self.plain_inode(&known.inodes());
                let name = self.random.of([&b"user.a"[..], b"user.a", b"user.b", b"trusted.a", b"nothing.a"]);
                let how = self.random.of([&b""[..], b"", b"", b"", b"create", b"replace"]);
                let mut words = line(&[b"setxattr", &on, name, self.random.of([&b"v"[..], b"", b"longer"])]);
                if !how.is_empty() {
                    words.push(how.to_vec());
                }
                words
            }
            75..85 => {
                let on = self.tagged();
                let name = self.xattr_name();
                if self.random.percent(6) {
                    line(&[b"getxattr", &on, name, b"1"])
                } else {
                    line(&[b"getxattr", &on, name])
                }
            }
            85..91 => {
                let on = self.plain_inode(&known.inodes());
                line(&[b"listxattr", &on])
            }
            _ => {
                let on = self.tagged();
                let name = self.xattr_name();
                line(&[b"removexattr", &on, name])
            }
        }
    }

    fn xattr_name(&mut self) -> &'static [u8] {
        self.random.of([
            &b"user.a"[..],
            b"user.a",
            b"user.a",
            b"user.a",
            b"user.a",
            b"user.a",
            b"user.b",
            b"trusted.a",
            b"nothing.a",
        ])
    }

    /// Something that got an attribute, in most cases.
    fn tagged(&mut self) -> Vec<u8> {
        if self.random.percent(6) {
            return self.bare_handle(Opened::Closed);
        }
        let aims = self.random.percent(85);
        match self.random.pick(&self.tagged) {
            Some(path) if aims => path.clone(),
            _ => self.plain_inode(&[]),
        }
    }
}
