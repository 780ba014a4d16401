//! A file in memory, and what happens when it is truncated in the meantime: the kernel answers the next access to a page
//! behind the end with `SIGBUS`, which would end the process. Here the handler of that signal puts pages of zeros there
//! and notes it with the mapping, as `src/basic/sigbus.c` of systemd does; whoever read looks at the note afterwards and
//! reads the file itself instead.
//!
//! Why this is sound:
//!
//! * The bytes of a mapping are only ever copied. Others may write the file while that goes on, and the copy is then any
//!   mixture of bytes; nothing is decided by a byte that is looked at again.
//! * The handler does what may be done in one: it reads atomics, and calls `fstat`, `mmap`, `sigaction`, `raise` and the
//!   handler that was there before. It takes no lock, allocates nothing and leaves `errno` as it was.
//! * It only touches pages of a mapping of ours. A thread that reads one holds it, so that a fault in it finds its slot
//!   registered and unchanging. Slots of other mappings may change at the time; their version then says so, and they
//!   are passed over.
//! * A fault that is not ours, or a signal that somebody sent, is handed on to the handler that was there before, and
//!   ends the process if there was none.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_void};
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::{Arc, OnceLock};

use memmap2::{Mmap, MmapOptions};
use parking_lot::Mutex;

/// The most mappings of a process. Linux has room for some 65530 in all (`vm.max_map_count`), and where there is none left
/// memory can't be had either; the files of one archive may be more than that.
const MOST: usize = 4096;

/// How many there are.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// One of those.
struct Counted;

impl Counted {
    fn new() -> io::Result<Counted> {
        let counted = Counted;
        if COUNT.fetch_add(1, Ordering::Relaxed) < MOST {
            Ok(counted)
        } else {
            Err(io::ErrorKind::OutOfMemory.into())
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A part of a file in memory, for as long as this is held.
pub(crate) struct Mapping {
    // Given back before the memory and the file are: the handler asks the file for its size.
    slot: Registered,
    memory: Mmap,
    _file: Arc<File>,
    _counted: Counted,
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("len", &self.memory.len()).finish_non_exhaustive()
    }
}

impl Mapping {
    /// Maps `len` bytes of a file from `offset`, which is a multiple of [`page_size`].
    ///
    /// # Errors
    /// Those of `mmap(2)`: there is no room in the process's memory, or the file can't be mapped. There are as many as there
    /// may be.
    pub(crate) fn new(file: Arc<File>, offset: u64, len: usize) -> io::Result<Mapping> {
        install()?;
        let counted = Counted::new()?;
        // SAFETY: that others may write and truncate the file is what this module is for: see its head.
        let memory = unsafe { MmapOptions::new().offset(offset).len(len).map(&*file)? };
        let place = Place {
            start: memory.as_ptr().expose_provenance(),
            len: memory.len(),
            file: file.as_raw_fd(),
            offset,
        };
        Ok(Mapping { slot: Registered::new(place), memory, _file: file, _counted: counted })
    }

    /// Its bytes, to be copied. What a copy holds is only the file's if [`Mapping::is_whole`] afterwards.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory
    }

    /// Whether no access has failed so far, in any thread. Once one has, it stays so.
    pub(crate) fn is_whole(&self) -> bool {
        // The bytes were read before; a handler notes the fault before it puts its page.
        fence(Ordering::Acquire);
        !self.slot.0.broken.load(Ordering::Relaxed)
    }
}

/// The unit of memory that a file is mapped in.
pub(crate) fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// Where a mapping is. Slots are never freed, but used again; the handler walks over them without a lock.
struct Slot {
    /// Odd while the slot is being changed.
    version: AtomicUsize,
    start: AtomicUsize,
    /// 0: no mapping has it.
    len: AtomicUsize,
    file: AtomicI32,
    offset: AtomicU64,
    broken: AtomicBool,
    next: Option<&'static Slot>,
}

/// A mapping as the handler sees it.
#[derive(Clone, Copy)]
struct Place {
    /// Its address.
    start: usize,
    /// Its bytes.
    len: usize,
    /// The descriptor of its file.
    file: RawFd,
    /// Where in the file it starts.
    offset: u64,
}

/// A slot without a mapping.
const NOWHERE: Place = Place { start: 0, len: 0, file: -1, offset: 0 };

/// The slot that was made last.
static SLOTS: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());
/// Those that no mapping has.
static FREE: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());

/// A slot that a mapping has.
struct Registered(&'static Slot);

impl Registered {
    fn new(place: Place) -> Registered {
        let mut free = FREE.lock();
        let slot = free.pop().unwrap_or_else(|| {
            let slot = Box::leak(Box::new(Slot {
                version: AtomicUsize::new(0),
                start: AtomicUsize::new(0),
                len: AtomicUsize::new(0),
                file: AtomicI32::new(-1),
                offset: AtomicU64::new(0),
                broken: AtomicBool::new(false),
                next: first(),
            }));
            // Under the lock, so that no other was put in between.
            SLOTS.store(slot, Ordering::SeqCst);
            slot
        });
        slot.set(place);
        Registered(slot)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.0.set(NOWHERE);
        FREE.lock().push(self.0);
    }
}

fn first() -> Option<&'static Slot> {
    let slot: *const Slot = SLOTS.load(Ordering::SeqCst);
    // SAFETY: null, or a slot that was leaked, and is only shared from then on.
    unsafe { slot.as_ref() }
}

impl Slot {
    /// Only by the one who has it.
    fn set(&self, place: Place) {
        self.version.fetch_add(1, Ordering::SeqCst);
        self.start.store(place.start, Ordering::SeqCst);
        self.len.store(place.len, Ordering::SeqCst);
        self.file.store(place.file, Ordering::SeqCst);
        self.offset.store(place.offset, Ordering::SeqCst);
        self.broken.store(false, Ordering::SeqCst);
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// The mapping, if it has `address`.
    fn around(&self, address: usize) -> Option<Place> {
        let version = self.version.load(Ordering::SeqCst);
        let place = Place {
            start: self.start.load(Ordering::SeqCst),
            len: self.len.load(Ordering::SeqCst),
            file: self.file.load(Ordering::SeqCst),
            offset: self.offset.load(Ordering::SeqCst),
        };
        let stays = version.is_multiple_of(2) && self.version.load(Ordering::SeqCst) == version;
        (stays && address.checked_sub(place.start)? < place.len).then_some(place)
    }
}

/// What handled `SIGBUS` before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Has [`handle`] called for `SIGBUS`, once in a process.
fn install() -> io::Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock();
    if *installed {
        return Ok(());
    }
    let mut before = MaybeUninit::zeroed();
    // SAFETY: a null action asks only; `before` has room for the answer.
    if unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), before.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was filled in, and all its fields may be zeros at that.
    let before: libc::sigaction = unsafe { before.assume_init() };
    let mut ours = before;
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = handle;
    ours.sa_sigaction = handler as libc::sighandler_t;
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    BEFORE.get_or_init(|| before);
    // SAFETY: `ours` is a whole action, whose handler does what may be done in one: see the module's head.
    if unsafe { libc::sigaction(libc::SIGBUS, &raw const ours, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    *installed = true;
    Ok(())
}

extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let errno = errno_place();
    // SAFETY: the place of this thread's own errno.
    let kept = unsafe { *errno };
    // SAFETY: the kernel passes a whole `siginfo_t` to a handler with `SA_SIGINFO`; of a fault it has an address, of a
    // signal that was sent something else, which only is a number here.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    // What was sent has codes up to 0 (`sigaction(2)`).
    if code <= 0 || !mend(address) {
        hand_on(code, signal, info, context);
    }
    // SAFETY: as above.
    unsafe { *errno = kept };
}

/// How many pages may be put in the middle of others. Each of them counts as two mappings of the process, which may have
/// some 65 thousand.
const MOST_PAGES: usize = 4096;
static PAGES: AtomicUsize = AtomicUsize::new(0);

/// Puts zeros where an access failed, if that is in a mapping of ours.
fn mend(address: usize) -> bool {
    let mut next = first();
    while let Some(slot) = next {
        if let Some(place) = slot.around(address) {
            slot.broken.store(true, Ordering::SeqCst);
            return place.mend(address);
        }
        next = slot.next;
    }
    false
}

impl Place {
    /// One page, if the medium failed there. Behind the end of a file that was truncated there is nothing any more, up to
    /// the mapping's end.
    fn mend(self, address: usize) -> bool {
        // SAFETY: it can't fail with this name.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let from = address & !(page - 1);
        let in_file = self.offset.saturating_add((from - self.start) as u64);
        let is_there = file_len(self.file).is_some_and(|len| in_file < len);
        let one = is_there && PAGES.fetch_add(1, Ordering::SeqCst) < MOST_PAGES;
        let len = if one { page } else { self.start + self.len - from };
        zeros(from, len) || zeros(self.start, self.len)
    }
}

/// How long a file is now.
fn file_len(file: RawFd) -> Option<u64> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` has room for the answer; the descriptor is that of a mapping which lives.
    if unsafe { libc::fstat(file, stat.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: it was filled in.
    u64::try_from(unsafe { stat.assume_init() }.st_size).ok()
}

fn zeros(start: usize, len: usize) -> bool {
    let flags = libc::MAP_FIXED | libc::MAP_ANONYMOUS | libc::MAP_PRIVATE;
    let place = ptr::with_exposed_provenance_mut(start);
    // SAFETY: the pages are those of a mapping of ours, by the slot that says so, which lives as long as the thread that
    // reads it, here in the middle of that. What is read there from now on is zeros.
    let done = unsafe { libc::mmap(place, len, libc::PROT_READ, flags, -1, 0) };
    done != libc::MAP_FAILED
}

/// Does what would have been done without us.
fn hand_on(code: c_int, signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let before = BEFORE.get().map_or((libc::SIG_DFL, 0), |before| (before.sa_sigaction, before.sa_flags));
    match before {
        // A fault can't be ignored, by the kernel's own rule.
        (libc::SIG_IGN, _) if code <= 0 => {}
        (libc::SIG_DFL | libc::SIG_IGN, _) => {
            // SAFETY: an action of zeros is the default one. A fault comes again when this returns, and a signal that was
            // sent is sent once more, to wait until then.
            unsafe {
                let default: libc::sigaction = core::mem::zeroed();
                libc::sigaction(signal, &raw const default, ptr::null_mut());
                if code <= 0 {
                    libc::raise(signal);
                }
            }
        }
        (handler, flags) if flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: somebody installed it as a handler of this type, by its flags.
            let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                unsafe { core::mem::transmute::<libc::sighandler_t, _>(handler) };
            handler(signal, info, context);
        }
        (handler, _) => {
            // SAFETY: as above.
            let handler: extern "C" fn(c_int) =
                unsafe { core::mem::transmute::<libc::sighandler_t, _>(handler) };
            handler(signal);
        }
    }
}

#[cfg(target_os = "linux")]
fn errno_place() -> *mut c_int {
    // SAFETY: it has no preconditions.
    unsafe { libc::__errno_location() }
}

#[cfg(not(target_os = "linux"))]
fn errno_place() -> *mut c_int {
    // SAFETY: it has no preconditions.
    unsafe { libc::__error() }
}
