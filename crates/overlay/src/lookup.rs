//! What a name stands for in the layers.

use std::sync::Arc;

use vnode_core::fs::Filesystem;
use vnode_core::{Attr, Cx, Errno, FileType, NAME_MAX, Name, PATH_MAX, Result};

use crate::layers::{LayerNumber, Lower, Piece, Real, UPPER, at};
use crate::marks::{Opaque, Origin, Whose};
use crate::meta::Touched;
use crate::node::{Names, NewNode, Node, Place};
use crate::overlay::Shared;
use crate::unmarked;

/// What a directory of the upper has under a name.
pub(crate) enum InUpper {
    Nothing,
    Whiteout,
    There(Real),
}

/// How the lowers are asked.
pub(crate) enum Way {
    /// For a name in the directories that show through.
    Name(Box<[u8]>),
    /// For a path from each one's root: what is below was renamed.
    Path(Box<[u8]>),
}

impl Way {
    /// The way that a redirection tells.
    fn redirected(redirect: &[u8]) -> Way {
        if redirect.starts_with(b"/") { Way::Path(redirect.into()) } else { Way::Name(redirect.into()) }
    }

    /// Nothing: it is a name.
    pub(crate) fn into_path(self) -> Option<Vec<u8>> {
        match self {
            Way::Name(_) => None,
            Way::Path(path) => Some(path.into()),
        }
    }
}

/// What one lower has.
pub(crate) struct Step {
    piece: Piece,
    /// Nothing below it shows through.
    last: bool,
    pub(crate) redirect: Option<Way>,
}

/// What shows through a directory of the upper.
#[derive(Default)]
struct Below {
    lowers: Vec<Piece>,
    redirect: Option<Arc<[u8]>>,
}

/// What came of asking one lower.
pub(crate) enum Sought {
    Nothing,
    /// Nothing, but what is further down stands there.
    Elsewhere(Way),
    /// What is further down doesn't show through.
    End,
    There(Step),
}

impl Shared {
    /// What the upper has under a name. The directory's names are locked.
    pub(crate) fn in_upper(&self, cx: &Cx<'_>, dir: &Node, name: Name<'_>) -> Result<InUpper> {
        let Some(upper) = dir.upper() else { return Ok(InUpper::Nothing) };
        match self.layers.upper.fs.lookup(cx, at(upper, name)) {
            Ok(inode) if self.layers.is_device_whiteout(cx, UPPER, &inode)? => Ok(InUpper::Whiteout),
            Ok(inode) => Ok(InUpper::There(inode)),
            Err(Errno::NOENT) => Ok(InUpper::Nothing),
            Err(errno) => Err(errno),
        }
    }

    /// Whether something would show through if the upper had nothing under a name.
    pub(crate) fn shows_through(&self, cx: &Cx<'_>, dir: &Node, name: Name<'_>) -> Result<bool> {
        Ok(!self.below(cx, dir, name)?.is_empty())
    }

    /// Notes what the lowers have under a name, before the upper has something there for the first time.
    ///
    /// # Errors
    /// Those of the layers; nothing was changed then.
    pub(crate) fn touch(&self, own: &Cx<'_>, dir: &Arc<Node>, name: Name<'_>) -> Result<()> {
        let below = self.below(own, dir, name)?;
        let Some(Piece { layer, inode, .. }) = below.first() else { return Ok(()) };
        let attr = self.layers.fs(*layer).getattr(own, inode)?;
        self.touch_known(own, dir, name, (*layer, &attr))
    }

    /// The same where it is known what they have; but not at the end of a path that is longer than any system takes, nor
    /// what an upper of before has: that noted it.
    ///
    /// # Errors
    /// Those of the upper; nothing was changed then.
    pub(crate) fn touch_known(
        &self,
        own: &Cx<'_>,
        dir: &Arc<Node>,
        name: Name<'_>,
        (layer, attr): (LayerNumber, &Attr),
    ) -> Result<()> {
        let upper = &self.layers.upper;
        if self.layers.is_change(layer) {
            return upper.meta.begin(own, &upper.fs);
        }
        let path = self.path_in_base(own, dir, PATH_MAX - NAME_MAX)?;
        // Nobody goes by a longer one.
        let Some(mut path) = path else { return Ok(()) };
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
        upper.meta.touch(own, &upper.fs, &Touched::new(layer, path, attr))
    }

    /// What the lowers have under a name, where the upper has nothing.
    pub(crate) fn below(&self, cx: &Cx<'_>, dir: &Node, name: Name<'_>) -> Result<Vec<Piece>> {
        if dir.lowers.is_empty() {
            return Ok(Vec::new());
        }
        self.gather(cx, dir, Way::Name(name.as_bytes().into()))
    }

    /// Asks one lower after the other.
    fn gather(&self, cx: &Cx<'_>, dir: &Node, mut way: Way) -> Result<Vec<Piece>> {
        let mut found = Vec::new();
        self.gather_from(cx, dir, self.layers.lowers(), &mut way, &mut found)?;
        Ok(found)
    }

    /// What the lowers that never were uppers have under a name.
    pub(crate) fn in_base(&self, cx: &Cx<'_>, dir: &Node, name: Name<'_>) -> Result<Vec<Piece>> {
        let base = self.layers.lowers().skip(self.layers.frozen.into());
        let (mut way, mut found) = (Way::Name(name.as_bytes().into()), Vec::new());
        self.gather_from(cx, dir, base, &mut way, &mut found)?;
        Ok(found)
    }

    /// How the lowers that never were uppers are asked for what is below a directory of this name, `redirect` being what
    /// the upper says; nothing: they aren't.
    pub(crate) fn way_to_base(
        &self,
        cx: &Cx<'_>,
        dir: &Node,
        name: Name<'_>,
        redirect: Option<&[u8]>,
    ) -> Result<Option<Way>> {
        let mut way = match redirect {
            Some(redirect) => Way::redirected(redirect),
            None => Way::Name(name.as_bytes().into()),
        };
        let frozen = self.layers.lowers().take(self.layers.frozen.into());
        let goes_on = self.gather_from(cx, dir, frozen, &mut way, &mut Vec::new())?;
        Ok(goes_on.then_some(way))
    }

    /// Asks some lowers; tells whether those further down are to be asked too.
    fn gather_from<'l>(
        &self,
        cx: &Cx<'_>,
        dir: &Node,
        lowers: impl Iterator<Item = (LayerNumber, &'l Lower)>,
        way: &mut Way,
        found: &mut Vec<Piece>,
    ) -> Result<bool> {
        for (layer, lower) in lowers {
            let step = match &*way {
                Way::Name(name) => {
                    let Some(piece) = dir.lowers.iter().find(|piece| piece.layer == layer) else { continue };
                    self.one_name(cx, piece, Name::new(name)?)?
                }
                Way::Path(path) => self.by_path(cx, layer, &lower.root, path)?,
            };
            let step = match step {
                Sought::Nothing => continue,
                Sought::Elsewhere(other) => {
                    *way = other;
                    continue;
                }
                Sought::End => return Ok(false),
                Sought::There(step) => step,
            };
            let is_dir = step.piece.inode.kind().is_dir();
            if is_dir || found.is_empty() {
                found.push(step.piece);
            }
            if step.last || !is_dir {
                return Ok(false);
            }
            if let Some(redirect) = step.redirect {
                *way = redirect;
            }
        }
        Ok(true)
    }

    /// What a lower's directory has under a name: nothing, an end of the search, or something.
    fn one_name(&self, cx: &Cx<'_>, dir: &Piece, name: Name<'_>) -> Result<Sought> {
        let layer = dir.layer;
        let fs = self.layers.fs(layer);
        let inode = match fs.lookup(cx, at(&dir.inode, name)) {
            Ok(inode) => inode,
            Err(Errno::NOENT) => return Ok(Sought::Nothing),
            Err(errno) => return Err(errno),
        };
        if self.is_lower_whiteout(cx, dir, &inode)? {
            return Ok(Sought::End);
        }
        let mut step = Step { piece: Piece::plain(layer, inode), last: false, redirect: None };
        if step.piece.inode.kind().is_dir() {
            let (marks, whose) = (self.layers.marks, self.layers.whose(layer));
            let opaque = marks.opaque(cx, whose, fs, &step.piece.inode)?;
            step.last = opaque == Opaque::Yes;
            step.piece.has_xattr_whiteouts = opaque == Opaque::XattrWhiteouts;
            if !step.last && usize::from(layer) < self.layers.lowers.len() {
                let redirect = marks.redirect(cx, whose, fs, &step.piece.inode)?;
                step.redirect = redirect.map(|redirect| Way::redirected(&redirect));
            }
        }
        Ok(Sought::There(step))
    }

    /// Whether what a lower's directory has is a whiteout.
    pub(crate) fn is_lower_whiteout(&self, cx: &Cx<'_>, dir: &Piece, inode: &Real) -> Result<bool> {
        if dir.has_xattr_whiteouts && inode.kind() == FileType::Regular {
            return self.layers.marks.is_whiteout(cx, self.layers.fs(dir.layer), inode);
        }
        self.layers.is_device_whiteout(cx, dir.layer, inode)
    }

    /// What one lower has at the end of a redirection's path.
    pub(crate) fn by_path(
        &self,
        cx: &Cx<'_>,
        layer: LayerNumber,
        root: &Real,
        path: &[u8],
    ) -> Result<Sought> {
        let (marks, whose) = (self.layers.marks, self.layers.whose(layer));
        let opaque = marks.opaque(cx, whose, self.layers.fs(layer), root)?;
        let mut here = Step {
            piece: Piece {
                layer,
                inode: Arc::clone(root),
                has_xattr_whiteouts: opaque == Opaque::XattrWhiteouts,
            },
            last: opaque == Opaque::Yes,
            redirect: None,
        };
        // The way so far as the lowers further down have it, and whether that is another one.
        let (mut below, mut moved): (Vec<u8>, bool) = (Vec::new(), false);
        let mut names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        while let Some(name) = names.next() {
            if !here.piece.inode.kind().is_dir() {
                return Ok(Sought::End);
            }
            // No filesystem has such names; whoever wrote the path meant nothing that is here.
            let Ok(name) = Name::new(name) else { return Ok(Sought::Nothing) };
            let step = match self.one_name(cx, &here.piece, name)? {
                Sought::There(step) => step,
                Sought::Nothing if here.last => return Ok(Sought::End),
                Sought::Nothing if moved => {
                    for name in [name.as_bytes()].into_iter().chain(names) {
                        below.push(b'/');
                        below.extend_from_slice(name);
                    }
                    return Ok(Sought::Elsewhere(Way::Path(below.into())));
                }
                other => return Ok(other),
            };
            let mut last = here.last || step.last;
            moved |= step.redirect.is_some();
            match step.redirect {
                Some(Way::Path(path)) => {
                    below = path.into();
                    // What hides those above it doesn't hide what is somewhere else.
                    last = step.last;
                }
                Some(Way::Name(other)) => {
                    below.push(b'/');
                    below.extend_from_slice(&other);
                }
                None => {
                    below.push(b'/');
                    below.extend_from_slice(name.as_bytes());
                }
            }
            here = Step { last, redirect: None, piece: step.piece };
        }
        here.redirect = moved.then(|| Way::Path(below.into()));
        Ok(Sought::There(here))
    }

    /// The inode that a name stands for. The directory's names are locked.
    pub(crate) fn find(
        &self,
        cx: &Cx<'_>,
        dir: &Arc<Node>,
        names: &Names,
        name: Name<'_>,
    ) -> Result<Arc<Node>> {
        if names.removed {
            return Err(Errno::NOENT);
        }
        let known = &self.table.known;
        if let Some(known) = known.get(names.dir, name) {
            return known.ok_or(Errno::NOENT);
        }
        let found = self.look_for(cx, dir, name);
        match &found {
            Ok(node) => known.put(names.dir, name, Some(Arc::clone(node))),
            Err(Errno::NOENT) => known.put(names.dir, name, None),
            Err(_) => {}
        }
        found
    }

    /// Asks the layers what a name stands for.
    fn look_for(&self, cx: &Cx<'_>, dir: &Arc<Node>, name: Name<'_>) -> Result<Arc<Node>> {
        match self.in_upper(cx, dir, name)? {
            InUpper::Whiteout => Err(Errno::NOENT),
            InUpper::There(inode) => self.node_of_upper(cx, dir, name, inode),
            InUpper::Nothing => {
                let pieces = self.below(cx, dir, name)?;
                self.node_of_lowers(cx, dir, name, pieces)
            }
        }
    }

    /// The node of what is in the upper.
    pub(crate) fn node_of_upper(
        &self,
        cx: &Cx<'_>,
        dir: &Arc<Node>,
        name: Name<'_>,
        inode: Real,
    ) -> Result<Arc<Node>> {
        let id = inode.id();
        if let Some(node) = self.table.get(UPPER, id) {
            return Ok(node);
        }
        let kind = inode.kind();
        let (mut lowers, mut redirect, mut more_names) = (Vec::new(), None, None);
        let (mut origin, mut linux_name, mut unmarked) = (None, None, None);
        if kind.is_dir() {
            Below { lowers, redirect } = self.below_upper(cx, dir, name, &inode)?;
            if let Some(piece) = self.layers.piece_of_number(&lowers) {
                let attr = self.layers.fs(piece.layer).getattr(cx, &piece.inode)?;
                origin = Some(Origin::of(piece.layer, &attr));
            }
        } else {
            let (marks, fs) = (self.layers.marks, &self.layers.upper.fs);
            let mark = marks.origin(cx, Whose::Upper, fs, &inode)?;
            if let Some(bytes) = &mark.linux {
                linux_name = self.layers.upper.linux.name_of(cx, fs, &inode, bytes)?;
            }
            origin = mark.origin;
            more_names = match linux_name {
                Some(_) => Some(marks.more_names_of_linux(cx, Whose::Upper, fs, &inode)?),
                None if origin.is_some() => marks.more_names(cx, Whose::Upper, fs, &inode)?,
                None => None,
            };
        }
        let ino = match origin {
            Some(Origin { layer, dev, ino, .. }) => self.layers.shown_ino(layer, dev, ino),
            None => {
                let attr = self.layers.upper_attr(cx, &inode)?;
                match self.unmarked.get(&attr) {
                    Some(copied) => {
                        unmarked = Some(unmarked::key(&attr));
                        (origin, more_names) = (Some(copied.origin), copied.more_names);
                        let Origin { layer, dev, ino, .. } = copied.origin;
                        self.layers.shown_ino(layer, dev, ino)
                    }
                    None => self.layers.shown_ino(UPPER, attr.dev, attr.ino),
                }
            }
        };
        let place = Place { parent: Some(Arc::clone(dir)), name: name.as_bytes().into() };
        let btime = origin.map(|origin| origin.btime);
        let new =
            NewNode { ino, kind, upper: Some(inode), lowers, place, redirect, more_names, linux_name, btime };
        let new = Node::new(new, &self.table);
        new.state.lock().unmarked = unmarked;
        let node = self.table.get_or_add(UPPER, id, Arc::new(new));
        if let Some(ctime) = self.table.take_ctime(id) {
            node.state.lock().ctime = Some(ctime);
        }
        Ok(node)
    }

    /// What shows through a directory of the upper, and its redirection.
    fn below_upper(&self, cx: &Cx<'_>, dir: &Node, name: Name<'_>, inode: &Real) -> Result<Below> {
        let (marks, fs) = (self.layers.marks, &self.layers.upper.fs);
        if marks.opaque(cx, Whose::Upper, fs, inode)? == Opaque::Yes {
            return Ok(Below::default());
        }
        let redirect = marks.redirect(cx, Whose::Upper, fs, inode)?;
        let way = match &redirect {
            Some(redirect) => Way::redirected(redirect),
            None => Way::Name(name.as_bytes().into()),
        };
        let mut lowers = self.gather(cx, dir, way)?;
        // Something else than a directory is hidden by one.
        lowers.retain(|piece| piece.inode.kind().is_dir());
        Ok(Below { lowers, redirect })
    }

    /// The node of what shows through.
    fn node_of_lowers(
        &self,
        cx: &Cx<'_>,
        dir: &Arc<Node>,
        name: Name<'_>,
        pieces: Vec<Piece>,
    ) -> Result<Arc<Node>> {
        let top = pieces.first().ok_or(Errno::NOENT)?;
        if let Some(node) = self.table.get(top.layer, top.inode.id()) {
            return Ok(node);
        }
        let fs = self.layers.fs(top.layer);
        let attr = fs.getattr(cx, &top.inode)?;
        self.layers.marks.check_content(cx, fs, &top.inode, &attr)?;
        if top.inode.kind().is_dir() || attr.nlink < 2 {
            return self.node_of_pieces(cx, dir, name, pieces, &attr);
        }
        let newest = self.layers.newest(cx, top, &attr)?;
        if newest.layer == UPPER {
            return self.node_of_upper(cx, dir, name, newest.inode);
        }
        if newest.layer == top.layer {
            return self.node_of_pieces(cx, dir, name, pieces, &attr);
        }
        if let Some(node) = self.table.get(newest.layer, newest.inode.id()) {
            return Ok(node);
        }
        let attr = self.layers.fs(newest.layer).getattr(cx, &newest.inode)?;
        self.node_of_pieces(cx, dir, name, vec![newest], &attr)
    }

    /// The node of these, the topmost having these attributes.
    fn node_of_pieces(
        &self,
        cx: &Cx<'_>,
        dir: &Arc<Node>,
        name: Name<'_>,
        pieces: Vec<Piece>,
        attr: &Attr,
    ) -> Result<Arc<Node>> {
        let top = pieces.first().ok_or(Errno::NOENT)?;
        let (layer, id, kind) = (top.layer, top.inode.id(), top.inode.kind());
        let numbered =
            self.layers.piece_of_number(&pieces).filter(|piece| kind.is_dir() && piece.layer != layer);
        let origin = match numbered {
            Some(piece) => Origin::of(piece.layer, &self.layers.fs(piece.layer).getattr(cx, &piece.inode)?),
            None => self.layers.origin(cx, top, attr)?,
        };
        let more_names = match kind {
            FileType::Directory => None,
            _ if self.layers.is_change(layer) => self.layers.more_names_of_frozen(cx, top, attr)?,
            _ => (attr.nlink > 1).then_some(0),
        };
        let new = NewNode {
            ino: self.layers.shown_ino(origin.layer, origin.dev, origin.ino),
            kind,
            upper: None,
            lowers: pieces,
            place: Place { parent: Some(Arc::clone(dir)), name: name.as_bytes().into() },
            redirect: None,
            more_names,
            linux_name: None,
            btime: Some(origin.btime),
        };
        Ok(self.table.get_or_add(layer, id, Arc::new(Node::new(new, &self.table))))
    }
}
