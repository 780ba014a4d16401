//! Class 7, exhaustion: what a guest makes costs what is in it, up to a limit that is told exactly.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vnode_core::FilesystemRef;
use vnode_core::fs::Access;
use vnode_kernel::{ClockId, Clocks, Event, HostClocks, Observer};
use vnode_memory::{Memory, Usage};
use vnode_wasmtime::stream::{Bytes as Input, HostStream};
use vnode_wasmtime::{Engine, EngineOptions, Guest, Outcome};

use crate::allocated::measured;
use crate::puppet::*;

fn bounded(bytes: u64, inodes: u64) -> (Arc<Memory>, FilesystemRef) {
    let memory = Arc::new(Memory::builder().max_bytes(bytes).max_inodes(inodes).build());
    let fs = FilesystemRef::new::<Memory>(Arc::clone(&memory));
    (memory, fs)
}

/// Processor time of this thread.
fn worked() -> Duration {
    Duration::from_nanos(HostClocks::new().time(ClockId::ThreadCpu).unwrap())
}

/// Makes one thing of each kind in turn until there is no room; answers how many were made.
fn fill(guest: &mut Puppet, dir: i64) -> u64 {
    for number in 0u64.. {
        let name = number.to_string();
        let made = match number % 3 {
            0 => guest.open(dir, &name, CREAT | EXCL, 0).and_then(|fd| guest.close(fd)),
            1 => guest.mkdir(dir, &name),
            _ => guest.symlink("target", dir, &name),
        };
        match made {
            Ok(()) => {}
            Err(errno) => {
                assert_eq!(errno, ENOSPC, "after {number}");
                return number;
            }
        }
    }
    unreachable!()
}

fn empty(guest: &mut Puppet, dir: i64, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        let name = number.to_string();
        let removed = if number % 3 == 1 { guest.rmdir(dir, &name) } else { guest.unlink(dir, &name) };
        assert_eq!(removed, Ok(()), "{number}");
    }
}

#[test]
fn a_million_inodes_are_enospc_and_the_account_is_exact() {
    const INODES: u64 = 1_000_000;
    let (memory, fs) = bounded(0, INODES);
    let mut guest = Puppet::on(&fs);
    let (made, bytes) = measured(|| fill(&mut guest, ROOT));
    assert_eq!(made, INODES - 1);
    assert_eq!(memory.usage(), Usage { bytes: 0, inodes: INODES });
    println!("{} bytes of the host for an inode", bytes.peak as u64 / INODES);
    assert!((bytes.peak as u64) < 600 * INODES, "{bytes:?}");
    assert_eq!(guest.link(0, (ROOT, "0"), (ROOT, "another")), Err(ENOSPC));
    // What is unlinked but open counts on.
    let held = guest.open(ROOT, "0", 0, READ).unwrap();
    guest.unlink(ROOT, "0").unwrap();
    assert_eq!(memory.usage().inodes, INODES);
    assert_eq!(guest.mkdir(ROOT, "x"), Err(ENOSPC));
    guest.close(held).unwrap();
    assert_eq!(memory.usage().inodes, INODES - 1);
    let ((), freed) = measured(|| empty(&mut guest, ROOT, 1..made));
    assert_eq!(memory.usage(), Usage { bytes: 0, inodes: 1 });
    let left = bytes.kept + freed.kept;
    println!("{left} bytes are left");
    assert!(left < 64 << 10, "{left} bytes are left");
}

/// A directory that was large gives back what it had, in whatever order it is emptied: or a few names would hold
/// gigabytes that no limit counts.
#[test]
fn directories_that_were_large_are_small_again() {
    const NAMES: u64 = 20_000;
    let (_, fs) = bounded(0, NAMES + 100);
    let mut guest = Puppet::on(&fs);
    let ((), bytes) = measured(|| {
        for number in 0..10 {
            let name = format!("dir{number}");
            guest.mkdir(ROOT, &name).unwrap();
            let dir = guest.open_dir(ROOT, &name).unwrap();
            for number in 0..NAMES {
                guest.symlink("t", dir, number.to_string()).unwrap();
            }
            // The newest first, then the oldest first, then from the middle.
            let order: Vec<u64> = match number % 3 {
                0 => (0..NAMES).rev().collect(),
                1 => (0..NAMES).collect(),
                _ => (NAMES / 2..NAMES).chain((0..NAMES / 2).rev()).collect(),
            };
            for number in order {
                guest.unlink(dir, number.to_string()).unwrap();
            }
            guest.close(dir).unwrap();
        }
    });
    println!("{bytes:?}");
    assert!(bytes.kept < 64 << 10, "{} bytes for ten empty directories", bytes.kept);
}

#[test]
fn a_million_descriptors_are_emfile() {
    let (_, fs) = bounded(0, 10);
    for (limit, expected) in [(1024, 1024), (0, 1 << 20)] {
        let mut guest = Puppet::of(Guest::builder(&fs).preopen("/", "/").open_files(limit));
        let (count, bytes) = measured(|| {
            let mut count = guest.open_descriptors();
            while guest.open(ROOT, ".", 0, 0).is_ok() {
                count += 1;
            }
            count
        });
        assert_eq!(count, expected);
        assert_eq!(guest.open(ROOT, ".", 0, 0), Err(EMFILE));
        println!("{} bytes of the host for a descriptor", bytes.peak / count);
        assert!(bytes.peak < 512 * count, "{bytes:?}");
    }
}

#[test]
fn sizes_without_content_cost_nothing_and_end() {
    let (memory, fs) = bounded(1 << 20, 10);
    let mut guest = Puppet::on(&fs);
    let fd = guest.open(ROOT, "sparse", CREAT, READ | WRITE).unwrap();
    let (_, bytes) = measured(|| {
        assert_eq!(guest.set_size(fd, 1 << 63), Err(EINVAL));
        assert_eq!(guest.set_size(fd, u64::MAX), Err(EINVAL));
        assert_eq!(guest.set_size(fd, (1 << 63) - 1), Ok(()));
        assert_eq!(memory.usage().bytes, 0);
        for offset in [1 << 62, (1 << 62) + 1, 1 << 40, 0] {
            assert_eq!(guest.pwrite(fd, b"x", offset), Ok(1));
        }
        assert_eq!(memory.usage().bytes, 3 * 4096);
        assert_eq!(guest.pread(fd, 3, (1 << 62) - 1).unwrap(), [0, b'x', b'x']);
        assert_eq!(guest.pwrite(fd, b"x", (1 << 63) - 1), Err(EINVAL));
        assert_eq!(guest.pwrite(fd, b"xy", (1 << 63) - 2), Err(EINVAL));
        assert_eq!(guest.pwrite(fd, b"x", 1 << 63), Err(EINVAL));
        assert_eq!(guest.call("fd_allocate", &[fd, 0, 1 << 62]), ENOSPC);
        assert_eq!(guest.call("fd_allocate", &[fd, 1 << 62, 1 << 62]), EFBIG);
        assert_eq!(guest.call("fd_allocate", &[fd, 1, i64::MAX]), EFBIG);
        assert_eq!(memory.usage().bytes, 3 * 4096);
        assert_eq!(guest.set_size(fd, 0), Ok(()));
    });
    assert_eq!(memory.usage().bytes, 0);
    assert!(bytes.peak < 64 << 10, "{bytes:?}");
}

/// A page each, far apart: what the filesystem keeps beside them is less than they are.
#[test]
fn a_file_of_single_pages_costs_little_more_than_its_pages() {
    const PAGES: u64 = 4096;
    let (memory, fs) = bounded(PAGES * 4096, 10);
    let mut guest = Puppet::on(&fs);
    let fd = guest.open(ROOT, "f", CREAT, READ | WRITE).unwrap();
    let ((), bytes) = measured(|| {
        for page in 0..PAGES {
            assert_eq!(guest.pwrite(fd, b"x", page << 40), Ok(1));
        }
        assert_eq!(guest.pwrite(fd, b"x", 1 << 20), Err(ENOSPC));
    });
    assert_eq!(memory.usage().bytes, PAGES * 4096);
    assert!(bytes.peak as u64 <= PAGES * 4096, "{bytes:?}");
    let ((), after) = measured(|| guest.set_size(fd, 1).unwrap());
    assert_eq!(memory.usage().bytes, 4096);
    assert!(bytes.kept + after.kept < 64 << 10, "{bytes:?} {after:?}");
}

#[test]
fn the_account_is_exact_over_unlink_rename_truncate_and_open_files() {
    let (memory, fs) = bounded(10 * 4096, 8);
    let mut guest = Puppet::on(&fs);
    let page = [7; 4096];
    let full = |guest: &mut Puppet, fd| (0..).find(|_| guest.write(fd, &page) != Ok(4096)).unwrap();
    let one = guest.open(ROOT, "one", CREAT, WRITE).unwrap();
    assert_eq!(full(&mut guest, one), 10);
    assert_eq!(guest.write(one, b"x"), Err(ENOSPC));
    // Unlinked but open, it still has all there is.
    guest.unlink(ROOT, "one").unwrap();
    let two = guest.open(ROOT, "two", CREAT, WRITE).unwrap();
    assert_eq!(guest.write(two, b"x"), Err(ENOSPC));
    guest.set_size(one, 4096 * 4).unwrap();
    assert_eq!(full(&mut guest, two), 6);
    guest.close(one).unwrap();
    assert_eq!(full(&mut guest, two), 4);
    // Replaced by a rename, but open.
    let three = guest.open(ROOT, "three", CREAT, WRITE).unwrap();
    guest.rename((ROOT, "three"), (ROOT, "two")).unwrap();
    assert_eq!(guest.write(three, b"x"), Err(ENOSPC));
    guest.close(two).unwrap();
    assert_eq!(memory.usage(), Usage { bytes: 0, inodes: 2 });
    assert_eq!(full(&mut guest, three), 10);
    guest.open(ROOT, "two", TRUNC, WRITE).unwrap();
    assert_eq!(memory.usage().bytes, 0);
    assert_eq!(guest.symlink("t".repeat(4095), ROOT, "long"), Ok(()));
    assert_eq!(memory.usage().bytes, 4096);
    guest.unlink(ROOT, "long").unwrap();
    guest.unlink(ROOT, "two").unwrap();
    drop(guest);
    assert_eq!(memory.usage(), Usage { bytes: 0, inodes: 1 });
}

/// Lists a directory of `count` names, an entry a call, and answers the work.
fn list_one_by_one(guest: &mut Puppet, dir: i64, count: usize) -> Duration {
    let before = worked();
    let (mut seen, mut cookie) = (0, 0);
    loop {
        // 24 bytes and room for the name: of the entry after it only a part comes.
        let (entries, used) = guest.readdir(dir, 40, cookie).unwrap();
        let Some(&(next, _)) = entries.first() else {
            assert_eq!(used, 0);
            break;
        };
        (seen, cookie) = (seen + 1, next);
    }
    assert_eq!(seen, count + 2);
    worked() - before
}

/// GHSA-852m-cvvp-9p4w: listings that are quadratic.
#[test]
fn listing_by_tiny_buffers_is_linear() {
    const COUNT: usize = 100_000;
    let (_, fs) = bounded(0, 0);
    let mut guest = Puppet::on(&fs);
    let mut dirs = Vec::new();
    for (name, count) in [("n", COUNT), ("10n", 10 * COUNT)] {
        guest.mkdir(ROOT, name).unwrap();
        let dir = guest.open_dir(ROOT, name).unwrap();
        for number in 0..count {
            guest.symlink("t", dir, format!("{number:012}")).unwrap();
        }
        dirs.push((dir, count));
    }
    let once = (0..3).map(|_| list_one_by_one(&mut guest, dirs[0].0, dirs[0].1)).min().unwrap();
    let tenfold = list_one_by_one(&mut guest, dirs[1].0, dirs[1].1);
    println!("{COUNT} entries: {once:?}, ten times as many: {tenfold:?}");
    // Quadratic would be a hundred times as much.
    assert!(tenfold < once * 30, "{once:?} {tenfold:?}");
}

/// GHSA-j366-h8gg-77pm: calls whose work no limit sees.
#[test]
fn a_million_subscriptions_are_refused_and_the_most_are_bounded() {
    const MOST: i64 = 65_536;
    let (_, fs) = bounded(0, 10);
    let (reader, _writer) = std::io::pipe().unwrap();
    let builder = Guest::builder(&fs).preopen("/", "/").stdin_reader(reader);
    let mut guest = Puppet::with_pages(builder, 128);
    let (subscriptions, events) = (0x1_0000, 0x40_0000);
    for count in [0, MOST + 1, 1_000_000, 1 << 28, 1 << 31, -1] {
        let (errno, bytes) = measured(|| guest.call("poll_oneoff", &[subscriptions, events, count, RESULT]));
        assert_eq!(errno, EINVAL, "{count}");
        assert!(bytes.peak < 1024, "{count}: {bytes:?}");
    }
    let one = |kind: u8, number: u32| {
        let mut bytes = [0; 48];
        bytes[8] = kind;
        bytes[16..20].copy_from_slice(&number.to_le_bytes());
        bytes
    };
    // All on the standard input, which never comes, and the last one a clock that comes at once.
    let mut list: Vec<u8> = (1..MOST).flat_map(|_| one(1, 0)).collect();
    list.extend(one(0, 1));
    guest.put(subscriptions, &list);
    let start = Instant::now();
    let (errno, bytes) = measured(|| guest.call("poll_oneoff", &[subscriptions, events, MOST, RESULT]));
    println!("{MOST} subscriptions: {:?}, {bytes:?}", start.elapsed());
    assert_eq!((errno, guest.u32(RESULT)), (SUCCESS, 1));
    assert!(bytes.peak < 32 << 20 && bytes.kept < 64 << 10, "{bytes:?}");
    // Nothing comes until the guest is killed.
    let end = (MOST - 1) * 48 + subscriptions;
    guest.put(end, &one(1, 0));
    let killer = guest.killer();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        killer.kill();
        Instant::now()
    });
    assert_eq!(guest.try_call("poll_oneoff", &[subscriptions, events, MOST, RESULT]), None);
    let took = thread.join().unwrap().elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

/// A stream of the host that is named 65,536 times in one call is one descriptor of the host, and not more than a
/// `poll(2)` of the host takes.
#[test]
fn subscriptions_to_one_stream_cost_one_descriptor_of_the_host() {
    const MOST: usize = 65_536;
    let (reader, _writer) = std::io::pipe().unwrap();
    let stdin = Arc::new(HostStream::new(reader, Access::READ));
    let (_, fs) = bounded(0, 10);
    let builder = || Guest::builder(&fs).stdin(stdin.clone());
    let (subscriptions, events) = (0x1_0000, 0x40_0000);
    let mut list = vec![0; MOST * 48];
    list.iter_mut().skip(8).step_by(48).for_each(|kind| *kind = 1);
    // The last is a clock, of 50 ms.
    let clock = &mut list[(MOST - 1) * 48..];
    clock[8] = 0;
    clock[16] = 1;
    clock[24..32].copy_from_slice(&50_000_000u64.to_le_bytes());
    let mut guest = Puppet::with_pages(builder(), 128);
    guest.put(subscriptions, &list);
    assert_eq!(guest.call("poll_oneoff", &[subscriptions, events, MOST as i64, RESULT]), SUCCESS);
    assert_eq!(guest.u32(RESULT), 1);

    let text = r#"(module
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 128)
        (func (export "_start"))
        (func (export "poll") (param i32 i32 i32 i32) (result i32)
            (call $poll (local.get 0) (local.get 1) (local.get 2) (local.get 3))))"#;
    let program = Engine::new(&EngineOptions::default()).unwrap().compile(text.as_bytes()).unwrap();
    pollster::block_on(async {
        let guest = builder().build(program.module()).unwrap();
        let mut instance = program.instantiate_async(guest).await.unwrap();
        // Later than the test.
        list[(MOST - 1) * 48 + 24..][..8].copy_from_slice(&u64::MAX.to_le_bytes());
        instance.write_memory(subscriptions as u32, &list).unwrap();
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = descriptors();
        let arguments = (subscriptions as i32, events as i32, MOST as i32, RESULT as i32);
        let mut polling = Box::pin(instance.call_async::<_, i32>("poll", arguments));
        let waker = std::task::Waker::noop();
        assert!(polling.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
        let during = descriptors();
        assert!(during < before + 1000, "{before} {during}");
    });
}

#[test]
fn gigabytes_of_random_bytes_end_with_the_guest() {
    let (_, fs) = bounded(0, 10);
    // 2 GiB, of which only what is written takes memory.
    let mut guest = Puppet::with_pages(Guest::builder(&fs), 1 << 15);
    let killer = guest.killer();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        killer.kill();
        Instant::now()
    });
    let (ended, bytes) = measured(|| guest.try_call("random_get", &[0, (1 << 31) - 1]));
    let took = thread.join().unwrap().elapsed();
    assert_eq!(ended, None, "all of it came within 100 ms");
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!(bytes.peak < 64 << 10, "{bytes:?}");
}

#[test]
fn names_and_paths_of_a_mebibyte_are_refused_unread() {
    let (memory, fs) = bounded(0, 10);
    let mut guest = Puppet::with_pages(Guest::builder(&fs).preopen("/", "/"), 64);
    let (text, len) = (0x10_0000, 1 << 20);
    for filling in [b'x', b'/'] {
        guest.put(text, &vec![filling; 1 << 20]);
        guest.put(PATH, b"n");
        for (name, arguments) in [
            ("path_create_directory", vec![ROOT, text, len]),
            ("path_remove_directory", vec![ROOT, text, len]),
            ("path_unlink_file", vec![ROOT, text, len]),
            ("path_filestat_get", vec![ROOT, 1, text, len, RESULT]),
            ("path_open", vec![ROOT, 1, text, len, CREAT, WRITE, 0, 0, RESULT]),
            ("path_rename", vec![ROOT, text, len, ROOT, PATH, 1]),
            ("path_rename", vec![ROOT, PATH, 1, ROOT, text, len]),
            ("path_link", vec![ROOT, 0, text, len, ROOT, PATH, 1]),
            ("path_symlink", vec![text, len, ROOT, PATH, 1]),
            ("path_symlink", vec![PATH, 1, ROOT, text, len]),
            ("path_readlink", vec![ROOT, text, len, RESULT, 8, RESULT]),
        ] {
            let (errno, bytes) = measured(|| guest.call(name, &arguments));
            assert_eq!(errno, ENAMETOOLONG, "{name} {filling}");
            assert!(bytes.peak < 1024, "{name}: {bytes:?}");
        }
    }
    assert_eq!(memory.usage().inodes, 1);
}

/// What a stream is given or gives doesn't depend on the lengths that the guest names.
#[test]
fn streams_take_no_memory_by_the_length_that_is_asked_for() {
    let (_, fs) = bounded(0, 10);
    let output = Arc::new(vnode_wasmtime::stream::Capture::new(1000));
    let builder = Guest::builder(&fs)
        .stdin(Arc::new(Input::new(b"input".to_vec())))
        .stdout(output.clone())
        .stderr_writer(std::io::sink());
    let mut guest = Puppet::with_pages(builder, 1024);
    let whole = (64 << 20) - 0x1_0000;
    guest.vectors(&[(0x1_0000, whole); 4]);
    for (name, fd) in [("fd_read", 0), ("fd_write", 1), ("fd_write", 2)] {
        let (errno, bytes) = measured(|| guest.call(name, &[fd, VECTORS, 4, RESULT]));
        assert_eq!(errno, SUCCESS);
        assert!(bytes.peak < 64 << 10, "{name} {fd}: {bytes:?}");
    }
    assert_eq!(output.contents().len(), 1000);
}

/// Writes a little of what it is given, slowly.
struct Slow;

impl std::io::Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::thread::sleep(Duration::from_millis(5));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_write_of_gigabytes_to_a_slow_stream_ends_with_the_guest() {
    let (_, fs) = bounded(0, 10);
    let mut guest = Puppet::with_pages(Guest::builder(&fs).stdout_writer(Slow), 1024);
    guest.vectors(&[(0, 64 << 20); 32]);
    let killer = guest.killer();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        killer.kill();
        Instant::now()
    });
    // What was written is told, and the guest ends when it goes on.
    let told = guest.try_call("fd_write", &[1, VECTORS, 32, RESULT]);
    let took = thread.join().unwrap().elapsed();
    assert!(matches!(told, None | Some(SUCCESS)), "{told:?}");
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert_eq!(guest.try_call("sched_yield", &[]), None);
}

/// Wants to see the arguments of each call, as `--trace` does.
struct Tracer;

impl Observer for Tracer {
    fn wants_text(&self) -> bool {
        true
    }

    fn called(&self, _: &Event<'_>) {}
}

/// Each descriptor has the path that the trace shows; a path of descriptors made one from the other has no end.
#[test]
fn descriptors_in_a_deep_tree_cost_a_trace_little() {
    let (_, fs) = bounded(0, 0);
    let builder = Guest::builder(&fs).preopen("/", "/").observer(Arc::new(Tracer));
    let mut guest = Puppet::of(builder);
    let name = "n".repeat(255);
    let ((), bytes) = measured(|| {
        let mut dir = ROOT;
        for _ in 0..1000 {
            guest.mkdir(dir, &name).unwrap();
            dir = guest.open_dir(dir, &name).unwrap();
        }
    });
    println!("{bytes:?}");
    assert!(bytes.kept < 1000 * 8192, "{bytes:?}");
}

/// Exceptions are objects of the engine's collector: a chain of them, each holding the one before, is memory too.
#[test]
fn a_chain_of_exceptions_counts_as_memory() {
    let text = r#"(module
        (tag $tag (param exnref i64 i64 i64 i64))
        (memory (export "memory") 1)
        (global $last (mut exnref) (ref.null exn))
        (func (export "_start")
            (loop $more
                (block $caught (result exnref i64 i64 i64 i64 exnref)
                    (try_table (catch_ref $tag $caught)
                        (throw $tag (global.get $last) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))
                    (unreachable))
                (global.set $last)
                (drop) (drop) (drop) (drop) (drop)
                (br $more))))"#;
    let program = Engine::new(&EngineOptions::default()).unwrap().compile(text.as_bytes()).unwrap();
    let (_, fs) = bounded(0, 10);
    let limits = vnode_wasmtime::Limits {
        memory: Some(32 << 20),
        time: Some(Duration::from_secs(20)),
        ..Default::default()
    };
    let guest = Guest::builder(&fs).limits(limits).build(program.module()).unwrap();
    match program.run(guest).unwrap() {
        Outcome::Trapped(trap) => assert!(trap.message.contains("out of memory"), "{}", trap.message),
        other => panic!("{other:?}"),
    }
}
