//! Guests as native programs on the kernel, and the empty roots that they and vnode's are run in.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// The twin; one that is run in an empty root brings all it needs.
pub(crate) fn compile(name: &str, alone: bool) -> Result<PathBuf, String> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-twin-{}", std::process::id()));
    let guests = repository().join("guests");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-D_GNU_SOURCE", "-w", "-I"]).arg(guests.join("include"));
    if alone {
        compiler.arg("-static");
    }
    let output = compiler.arg(guests.join(format!("src/{name}.c"))).arg("-o").arg(&program).output();
    let output = output.map_err(|error| format!("no C compiler: {error}"))?;
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(program)
}

/// An empty directory on tmpfs, removed when dropped.
pub(crate) struct EmptyRoot(pub(crate) PathBuf);

impl EmptyRoot {
    pub(crate) fn new(name: &str, of: &str) -> Self {
        let shared = Path::new("/dev/shm");
        let parent = if shared.is_dir() { shared.to_path_buf() } else { std::env::temp_dir() };
        let dir = parent.join(format!("vnode-guest-{name}-{of}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// Puts a file at `/bin` that may be executed.
    pub(crate) fn give(&self, name: &str, content: &[u8]) {
        let bin = self.0.join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join(name), content).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Drop for EmptyRoot {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
