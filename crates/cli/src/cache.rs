//! Where compiled modules are kept, and that no guest gets there: they are machine code, and are run as they are found.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Whether the cache of compiled modules lies in the host's directory, or the directory in the cache. It need not be
/// there yet.
pub(crate) fn meets(directory: &Path) -> bool {
    vnode_wasmtime::default_cache_directory().is_some_and(|cache| meet(directory, &cache))
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
