//! The trace and the counts.

use std::sync::{Arc, Mutex};

use vnode_kernel::{Event, Observer, Stats};
use vnode_wasi::preview1;

use crate::guest::*;

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Observer for Lines {
    fn wants_text(&self) -> bool {
        true
    }

    fn called(&self, event: &Event<'_>) {
        let line = event.to_string();
        let (call, time) = line.rsplit_once(" <").unwrap();
        assert!(time.ends_with('>'));
        self.0.lock().unwrap().push(call.to_owned());
    }
}

#[test]
fn lines_are_those_of_strace() {
    let lines = Arc::new(Lines::default());
    let observer = lines.clone();
    let mut guest = Guest::with(|builder| builder.observer(observer));
    guest.mkdir("d").unwrap();
    let dir = guest.open("d", DIRECTORY, READ).unwrap();
    let fd = guest.open_at(dir, "a\"\n", CREAT | EXCL, READ | WRITE, 1).unwrap();
    guest.write(fd, b"hello").unwrap();
    guest.seek(fd, 1, 0).unwrap();
    guest.read(fd, 100).unwrap();
    guest.close(fd).unwrap();
    guest.close(fd).unwrap_err();
    guest.stat("nowhere", 0).unwrap_err();
    guest.symlink("d", "l").unwrap();
    let (at, len) = guest.path("l");
    guest
        .call(|p, m| preview1::path_filestat_set_times(p, m, ROOT, 1, at, len, 1_500_000_000, 0, 1 | 8))
        .unwrap();
    guest.call(|p, m| preview1::path_unlink_file(p, m, ROOT, OUTSIDE, 9)).unwrap_err();
    guest.call(|p, m| preview1::fd_fdstat_set_flags(p, m, 1, 1 | 4)).unwrap();
    let seen = lines.0.lock().unwrap().clone();
    assert_eq!(
        seen,
        [
            r#"path_create_directory(3</work>, "d") = 0"#,
            r#"path_open(3</work>, "d", O_RDONLY|O_DIRECTORY) = 4"#,
            r#"path_open(4</work/d>, "a\"\n", O_RDWR|O_CREAT|O_EXCL|O_APPEND) = 5"#,
            r#"fd_write(5</work/d/a\"\n>, 5) = 5"#,
            r#"fd_seek(5</work/d/a\"\n>, 1, SEEK_SET) = 1"#,
            r#"fd_read(5</work/d/a\"\n>, 100) = 4"#,
            r#"fd_close(5</work/d/a\"\n>) = 0"#,
            r#"fd_close(5) = -1 EBADF (bad file descriptor)"#,
            r#"path_filestat_get(3</work>, "nowhere", AT_SYMLINK_NOFOLLOW) = -1 ENOENT (no such file or directory)"#,
            r#"path_symlink("d", 3</work>, "l") = 0"#,
            r#"path_filestat_set_times(3</work>, "l", 1.500000000, UTIME_NOW, 0) = 0"#,
            r#"path_unlink_file(3</work>, 0x3fffd[9]) = -1 EFAULT (bad address)"#,
            r#"fd_fdstat_set_flags(1<stdout>, O_APPEND|O_NONBLOCK) = 0"#,
        ]
    );
}

#[test]
fn counts_tell_calls_errors_and_bytes() {
    let stats = Arc::new(Stats::new());
    let observer = stats.clone();
    let mut guest = Guest::with(|builder| builder.observer(observer));
    guest.file("a", b"hello");
    assert_eq!(guest.content("a"), b"hello");
    guest.stat("b", 0).unwrap_err();
    let counts: Vec<_> = stats
        .counts()
        .into_iter()
        .map(|(name, count)| (name, count.calls, count.errors, count.bytes))
        .collect();
    assert_eq!(
        counts,
        [
            ("fd_close", 2, 0, 0),
            ("fd_read", 1, 0, 5),
            ("fd_write", 1, 0, 5),
            ("path_filestat_get", 1, 1, 0),
            ("path_open", 2, 0, 0),
        ]
    );
}
