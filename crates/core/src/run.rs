//! Runs of plain names, which a filesystem may take at once.

use std::sync::Arc;

use crate::attr::Attr;
use crate::path::{Component, Name, next_component};

/// What a walk wants of its last name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Nothing: the last name is not looked up, only the directory that it is in.
    Parent,
    /// The inode.
    Inode,
    /// The inode; if the last name is missing, the directory that it would be in.
    Slot,
    /// The attributes; the inode if that is as easy.
    Attr,
}

/// How far a filesystem came with a run.
pub enum RunEnd<I: ?Sized> {
    /// Nowhere: no name was taken.
    Untaken,
    /// To this inode, by the names taken.
    At(Arc<I>),
    /// To the end: the last name was taken, and its attributes were given to [`Run::answer`].
    Answered,
    /// To a symbolic link that is the next name, and is the walker's to follow.
    Link {
        /// Where the names taken lead, if any were.
        dir: Option<Arc<I>>,
        /// The link.
        link: Arc<I>,
    },
}

impl<I: ?Sized> RunEnd<I> {
    /// The same with inodes of another type.
    pub fn map<J: ?Sized>(self, mut inode: impl FnMut(Arc<I>) -> Arc<J>) -> RunEnd<J> {
        match self {
            RunEnd::Untaken => RunEnd::Untaken,
            RunEnd::At(at) => RunEnd::At(inode(at)),
            RunEnd::Answered => RunEnd::Answered,
            RunEnd::Link { dir, link } => RunEnd::Link { dir: dir.map(&mut inode), link: inode(link) },
        }
    }
}

/// A run of plain names for [`Filesystem::resolve_run`](crate::fs::Filesystem::resolve_run).
///
/// The filesystem looks at the next name with [`Run::peek`], finds it, and takes it with [`Run::take`]. The
/// rules:
///
/// * Before it looks a name up it checks that the directory may be searched
///   ([`access::search`](crate::access::search)), and fails with `EACCES` if not.
/// * A name that is not there is `ENOENT`; but as the last one under [`Want::Slot`] it is not taken.
/// * A name that is not the last is only taken if it is a directory.
/// * The last name is not taken if it is a symbolic link and [`Run::follows`], or if it is no directory and
///   [`Run::must_be_dir`].
/// * Where a symbolic link is not taken, the end is best [`RunEnd::Link`]; the walker finds it again otherwise.
/// * Names of mount points, `.` and `..` never come up.
pub struct Run<'a> {
    text: &'a [u8],
    at: usize,
    next: Option<(Name<'a>, usize, bool)>,
    last_of_walk: bool,
    want: Want,
    follows: bool,
    must_be_dir: bool,
    /// Whether a run ends before a name; nothing if before none.
    cut: Option<&'a dyn Fn(&[u8]) -> bool>,
    answer: &'a mut Option<Attr>,
    took_last: bool,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        text: &'a [u8],
        at: usize,
        last_of_walk: bool,
        want: Want,
        follows: bool,
        must_be_dir: bool,
        cut: Option<&'a dyn Fn(&[u8]) -> bool>,
        answer: &'a mut Option<Attr>,
    ) -> Self {
        let took_last = false;
        let mut run =
            Run { text, at, next: None, last_of_walk, want, follows, must_be_dir, cut, answer, took_last };
        run.next = run.read();
        run
    }

    /// The next plain name, where it ends, and whether it is the walk's last.
    fn read(&self) -> Option<(Name<'a>, usize, bool)> {
        let (Component::Name(bytes), end) = next_component(self.text, self.at)? else { return None };
        let last = self.last_of_walk && self.text[end..].iter().all(|&byte| byte == b'/');
        if (last && self.want == Want::Parent) || self.cut.is_some_and(|cut| cut(bytes)) {
            return None;
        }
        Some((Name::of_component(bytes).ok()?, end, last))
    }

    /// The next name, and whether it is the walk's last, which is to be answered with what is wanted.
    #[inline]
    pub fn peek(&self) -> Option<(Name<'a>, bool)> {
        self.next.map(|(name, _, last)| (name, last))
    }

    /// Takes the name that [`Run::peek`] shows.
    #[inline]
    pub fn take(&mut self) {
        if let Some((_, end, last)) = self.next {
            self.at = end;
            self.took_last = last;
            self.next = if last { None } else { self.read() };
        }
    }

    /// Answers the last name, which was taken, with its attributes; the end is [`RunEnd::Answered`].
    #[inline]
    pub fn answer(&mut self, attr: Attr) {
        *self.answer = Some(attr);
    }

    /// Whether a symbolic link as the last name is to be followed, by the walker.
    #[inline]
    pub fn follows(&self) -> bool {
        self.follows
    }

    /// Whether the last name must be a directory.
    #[inline]
    pub fn must_be_dir(&self) -> bool {
        self.must_be_dir
    }

    /// Whether the walk's last name was taken.
    pub(crate) fn took_last(&self) -> bool {
        self.took_last
    }

    /// Where the next name ends in the text, and whether it is the walk's last.
    pub(crate) fn next_end(&self) -> Option<(usize, bool)> {
        self.next.map(|(_, end, last)| (end, last))
    }

    /// Where the names taken end in the text.
    pub(crate) fn position(&self) -> usize {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &[u8], last_of_walk: bool, want: Want) -> Vec<(String, bool)> {
        let mut answer = None;
        let cut = |name: &[u8]| name == b"mnt";
        let mut run = Run::new(text, 0, last_of_walk, want, true, false, Some(&cut), &mut answer);
        let mut names = Vec::new();
        while let Some((name, last)) = run.peek() {
            names.push((name.to_string(), last));
            run.take();
        }
        names
    }

    fn pairs(list: &[(&str, bool)]) -> Vec<(String, bool)> {
        list.iter().map(|&(name, last)| (name.to_owned(), last)).collect()
    }

    #[test]
    fn a_run_ends_before_anything_but_plain_names() {
        assert_eq!(names(b"/a//b/c/", true, Want::Inode), pairs(&[("a", false), ("b", false), ("c", true)]));
        assert_eq!(names(b"a/b", true, Want::Parent), pairs(&[("a", false)]));
        assert_eq!(names(b"a/b", false, Want::Parent), pairs(&[("a", false), ("b", false)]));
        assert_eq!(names(b"a/../b", true, Want::Attr), pairs(&[("a", false)]));
        assert_eq!(names(b"a/mnt/b", true, Want::Attr), pairs(&[("a", false)]));
        let long = [&b"a/"[..], &[b'x'; 256]].concat();
        assert_eq!(names(&long, true, Want::Attr), pairs(&[("a", false)]));
    }
}
