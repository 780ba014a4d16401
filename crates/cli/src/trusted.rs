//! Where vnode keeps what no guest may write to: compiled modules are machine code, and are run as they are found; what a
//! sandbox shows, and where it is applied to, is as its record says.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use vnode_sandbox::Store;

/// Something that vnode trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trusted {
    Modules,
    Sandboxes,
}

/// What of that lies in the host's directory, or has the directory in it. It need not be there yet.
pub(crate) fn meets(directory: &Path) -> Option<Trusted> {
    let modules = vnode_wasmtime::default_cache_directory().map(|cache| (cache, Trusted::Modules));
    let sandboxes = Store::of_user().ok().map(|store| (store.directory().to_owned(), Trusted::Sandboxes));
    let all = [modules, sandboxes].into_iter().flatten();
    all.into_iter().find(|(place, _)| meet(directory, place)).map(|(_, trusted)| trusted)
}

fn meet(directory: &Path, cache: &Path) -> bool {
    // Found by what it is, so that another way to it is no way around.
    let id = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let Some(wanted) = id(directory) else { return false };
    let below = |path: &Path, id_above| path.ancestors().any(|above| id(above) == Some(id_above));
    let there = cache.ancestors().find_map(|above| above.canonicalize().ok());
    let holds_cache = there.is_some_and(|there| below(&there, wanted));
    let in_cache =
        id(cache).is_some_and(|cache| directory.canonicalize().is_ok_and(|path| below(&path, cache)));
    holds_cache || in_cache
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
