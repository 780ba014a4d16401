//! Runs of plain names, which a filesystem may take at once.

use std::sync::Arc;

use crate::attr::Attr;
use crate::fs::{File, LinkTarget};
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
    /// Where it leads, of a symbolic link, given to [`Run::leads_to`]; the inode if that is as easy.
    Target,
}

/// How far a filesystem came with a run.
pub enum RunEnd<I: ?Sized> {
    /// Nowhere: no name was taken.
    Untaken,
    /// To this inode, by the names taken.
    At(Arc<I>),
    /// To the end: the last name was taken, and what is wanted of it was given: by [`Run::answer`] its attributes, by
    /// [`Run::leads_to`] where it leads.
    Answered,
    /// To a symbolic link that is the next name and the walker's to follow, by the names taken, which lead to this
    /// inode if there are any. Where the link leads was given to [`Run::leads_to`].
    Link(Option<Arc<I>>),
}

impl<I: ?Sized> RunEnd<I> {
    /// The same with inodes of another type.
    pub fn map<J: ?Sized>(self, inode: impl FnOnce(Arc<I>) -> Arc<J>) -> RunEnd<J> {
        match self {
            RunEnd::Untaken => RunEnd::Untaken,
            RunEnd::At(at) => RunEnd::At(inode(at)),
            RunEnd::Answered => RunEnd::Answered,
            RunEnd::Link(dir) => RunEnd::Link(dir.map(inode)),
        }
    }
}

/// Whether a run ends before a name.
pub(crate) type Cut<'a> = dyn Fn(&[u8]) -> bool + 'a;

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
/// * Where a symbolic link is not taken, the end is best [`RunEnd::Link`]; the walker reads it itself otherwise.
/// * Names of mount points, `.` and `..` never come up.
pub struct Run<'a> {
    text: &'a [u8],
    at: usize,
    next: Option<(Name<'a>, usize, bool)>,
    last_of_walk: bool,
    want: Want,
    follows: bool,
    must_be_dir: bool,
    reads_links: bool,
    /// Nothing if it ends before no name.
    cut: Option<&'a Cut<'a>>,
    found: &'a mut Answer,
    took_last: bool,
}

/// How far a run has come ([`Run::mark`]).
pub struct Mark<'a> {
    at: usize,
    next: Option<(Name<'a>, usize, bool)>,
    took_last: bool,
}

/// What a filesystem has to say of the end of a run. It stands with the walk: attributes and targets are large to
/// be handed on from each layer to the next.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) attr: Option<Attr>,
    pub(crate) target: Option<LinkTarget>,
    pub(crate) file: Option<Arc<dyn File>>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        text: &'a [u8],
        at: usize,
        last_of_walk: bool,
        want: Want,
        follows: bool,
        must_be_dir: bool,
        reads_links: bool,
        cut: Option<&'a Cut<'a>>,
        found: &'a mut Answer,
    ) -> Self {
        let (next, took_last) = (None, false);
        let mut run = Run {
            text,
            at,
            next,
            last_of_walk,
            want,
            follows,
            must_be_dir,
            reads_links,
            cut,
            found,
            took_last,
        };
        run.next = run.read();
        run
    }

    /// The next plain name, where it ends, and whether it is the walk's last.
    fn read(&self) -> Option<(Name<'a>, usize, bool)> {
        self.read_at(self.at)
    }

    fn read_at(&self, at: usize) -> Option<(Name<'a>, usize, bool)> {
        let (Component::Name(bytes), end) = next_component(self.text, at)? else { return None };
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

    /// The names that may be taken, as one text with slashes between them, and whether the walk's last name is the last
    /// of them.
    pub fn ahead(&self) -> Option<(&'a [u8], bool)> {
        let (first, mut end, mut last) = self.next?;
        let start = end - first.as_bytes().len();
        while !last && let Some((_, further, is_last)) = self.read_at(end) {
            (end, last) = (further, is_last);
        }
        Some((&self.text[start..end], last))
    }

    /// Takes all the names that [`Run::ahead`] shows.
    pub fn take_all(&mut self) {
        while self.next.is_some() {
            self.take();
        }
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

    /// Where the run is now, to come back to.
    pub fn mark(&self) -> Mark<'a> {
        Mark { at: self.at, next: self.next, took_last: self.took_last }
    }

    /// Goes back to where the run was: the names taken since are not.
    pub fn rewind(&mut self, mark: Mark<'a>) {
        (self.at, self.next, self.took_last) = (mark.at, mark.next, mark.took_last);
        *self.found = Answer::default();
    }

    /// Answers the last name, which was taken, with its attributes; the end is [`RunEnd::Answered`].
    #[inline]
    pub fn answer(&mut self, attr: Attr) {
        self.found.attr = Some(attr);
    }

    /// Answers the last name, which was taken and is a regular file, with its content opened and its attributes; the
    /// end is [`RunEnd::At`]. Only under [`Filesystem::open_run`](crate::fs::Filesystem::open_run).
    pub fn opened(&mut self, file: Arc<dyn File>, attr: Attr) {
        self.found.file = Some(file);
        self.found.attr = Some(attr);
    }

    /// Puts something before the file that was opened.
    pub(crate) fn wrap_opened(&mut self, wrap: impl FnOnce(Arc<dyn File>) -> Arc<dyn File>) {
        self.found.file = self.found.file.take().map(wrap);
    }

    /// Tells where the next name leads, which is a symbolic link and not taken; the end is [`RunEnd::Link`]. Or, where
    /// that is wanted, where the last name leads, which is taken; the end is [`RunEnd::Answered`]. That
    /// counts as a read of it, as [`Filesystem::readlink`](crate::fs::Filesystem::readlink) does. Only if
    /// [`Run::reads_links`].
    #[inline]
    pub fn leads_to(&mut self, target: LinkTarget) {
        self.found.target = Some(target);
    }

    /// Whether a symbolic link as the last name is to be followed, by the walker.
    #[inline]
    pub fn follows(&self) -> bool {
        self.follows
    }

    /// Whether the walk may follow another link.
    #[inline]
    pub fn reads_links(&self) -> bool {
        self.reads_links
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
        let mut found = Answer::default();
        let cut = |name: &[u8]| name == b"mnt";
        let mut run = Run::new(text, 0, last_of_walk, want, true, false, true, Some(&cut), &mut found);
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
