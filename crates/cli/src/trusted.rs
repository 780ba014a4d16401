//! Where vnode keeps what no guest may write to: compiled modules are machine code, and are run as they are found; what a
//! sandbox shows, and where it is applied to, is as its record says.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use vnode_sandbox::Store;

/// Something that vnode trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trusted {
    Modules,
    Sandboxes,
}

/// Where compiled modules are kept; nowhere if sandboxes are kept in there: what is no module is removed from time to time.
pub(crate) fn cache() -> Option<PathBuf> {
    let cache = vnode_wasmtime::default_cache_directory()?;
    let store = Store::of_user().ok();
    let has_store = store.is_some_and(|store| {
        let store = store.directory();
        store.starts_with(&cache) || id(&cache).is_some_and(|cache| is_below(store, cache))
    });
    (!has_store).then_some(cache)
}

/// What of that lies in the host's directory, or has the directory in it. It need not be there yet.
pub(crate) fn meets(directory: &Path) -> Option<Trusted> {
    let modules = cache().map(|cache| (cache, Trusted::Modules));
    let sandboxes = Store::of_user().ok().map(|store| (store.directory().to_owned(), Trusted::Sandboxes));
    let all = [modules, sandboxes].into_iter().flatten();
    all.into_iter().find(|(place, _)| meet(directory, place)).map(|(_, trusted)| trusted)
}

/// By what a directory is known whatever way leads to it.
fn id(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok()
}

/// Whether a path, which need not be there yet, is a directory's or in it.
fn is_below(path: &Path, directory: (u64, u64)) -> bool {
    let there = path.ancestors().find_map(|above| above.canonicalize().ok());
    there.is_some_and(|there| there.ancestors().any(|above| id(above) == Some(directory)))
}

fn meet(directory: &Path, place: &Path) -> bool {
    let Some(wanted) = id(directory) else { return false };
    is_below(place, wanted) || id(place).is_some_and(|place| is_below(directory, place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_directory_with_the_cache_or_in_it_is_found() {
        let top = tempfile::tempdir().unwrap();
        let home = top.path().join("home");
        let cache = home.join("c/vnode");
        fs::create_dir_all(home.join("other")).unwrap();
        symlink(&home, top.path().join("link")).unwrap();
        // Before it is there, too.
        for _ in 0..2 {
            assert!(
                meet(&home, &cache) && meet(top.path(), &cache) && meet(&top.path().join("link"), &cache)
            );
            assert!(meet(&home, &top.path().join("link/c/vnode")) && meet(&home.join("other/.."), &cache));
            assert!(!meet(&home.join("other"), &cache) && !meet(&home.join("missing"), &cache));
            fs::create_dir_all(cache.join("modules")).unwrap();
        }
        assert!(
            meet(&cache, &cache) && meet(&cache.join("modules"), &cache) && meet(&home.join("c"), &cache)
        );
    }
}
