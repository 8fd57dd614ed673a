//! Maps files with MAP_SHARED, and prints what they and their mappings show: the same as on Linux. With the argument `refused`,
//! prints what is different.

use libc::{
    MAP_ANONYMOUS, MAP_FAILED, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, MAP_SHARED, MS_SYNC, O_CREAT, O_RDWR,
    PROT_NONE, PROT_READ, PROT_WRITE, c_int, c_void,
};
use programs::errno;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::ptr::{NonNull, null_mut};
use std::thread;

unsafe extern "C" {
    // The crate libc lacks these for some systems.
    fn pthread_mutexattr_setrobust(attributes: *mut libc::pthread_mutexattr_t, robust: c_int) -> c_int;
    fn pthread_mutex_consistent(mutex: *mut libc::pthread_mutex_t) -> c_int;
}

const PAGE: usize = 4096;
const READ_WRITE: c_int = PROT_READ | PROT_WRITE;

/// A mapping of this program's.
#[derive(Clone, Copy)]
struct Map(NonNull<u8>, usize);

// SAFETY: the memory is reached by volatile accesses only.
unsafe impl Send for Map {}

impl Map {
    fn new(file: &File, offset: usize, length: usize, rights: c_int, flags: c_int) -> Result<Self, i32> {
        Self::at(null_mut(), file, offset, length, rights, flags)
    }

    fn at(
        place: *mut c_void,
        file: &File,
        offset: usize,
        length: usize,
        rights: c_int,
        flags: c_int,
    ) -> Result<Self, i32> {
        // SAFETY: a mapping that is replaced, if any, is this program's own, and is not used any more.
        let start = unsafe { libc::mmap(place, length, rights, flags, file.as_raw_fd(), offset as i64) };
        if start == MAP_FAILED { Err(errno()) } else { Ok(Self(NonNull::new(start.cast()).expect("not null"), length)) }
    }

    fn shared(file: &File, length: usize) -> Self {
        Self::new(file, 0, length, READ_WRITE, MAP_SHARED).expect("can be mapped")
    }

    fn start(self) -> *mut c_void {
        self.0.as_ptr().cast()
    }

    fn get(self, at: usize, length: usize) -> String {
        // SAFETY: callers name bytes of the mapping.
        let byte = |at| unsafe { self.0.as_ptr().add(at).read_volatile() };
        (at..at + length).map(|at| byte(at).escape_ascii().to_string()).collect()
    }

    fn put(self, at: usize, bytes: &[u8]) {
        for (at, byte) in (at..).zip(bytes) {
            // SAFETY: callers name bytes of the mapping.
            unsafe { self.0.as_ptr().add(at).write_volatile(*byte) };
        }
    }

    fn sync(self, length: usize) -> Result<(), i32> {
        // SAFETY: the call changes nothing.
        answer(unsafe { libc::msync(self.start(), length, MS_SYNC) })
    }

    fn open(self) -> Result<(), i32> {
        // SAFETY: the mapping is this program's.
        answer(unsafe { libc::mprotect(self.start(), self.1, READ_WRITE) })
    }

    fn unmap(self) {
        // SAFETY: the mapping is used no more.
        assert_eq!(unsafe { libc::munmap(self.start(), self.1) }, 0);
    }
}

fn answer(result: c_int) -> Result<(), i32> {
    if result == 0 { Ok(()) } else { Err(errno()) }
}

/// Path for a file of this run.
fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("shared mappings {} {name}", std::process::id()))
}

fn create(name: &str) -> File {
    File::options().read(true).write(true).create(true).truncate(true).open(path(name)).expect("can be made")
}

fn memory_file() -> File {
    // SAFETY: the call takes a name.
    let file = unsafe { libc::memfd_create(c"memory".as_ptr(), 0) };
    assert!(file >= 0);
    // SAFETY: the descriptor is new.
    unsafe { File::from_raw_fd(file) }
}

fn text(file: &mut File, at: u64, length: usize) -> String {
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(at)).expect("a file");
    let count = file.read(&mut bytes).expect("open for reading");
    bytes[..count].escape_ascii().to_string()
}

fn calls_and_mappings_share_the_pages() {
    let mut file = create("file");
    file.write_all(&[b'a'; 2 * PAGE]).expect("space");
    let reader = Map::new(&file, 0, 2 * PAGE, PROT_READ, MAP_SHARED).expect("can be mapped");
    file.write_all_at(b"NEW", 0).expect("space");
    println!("a mapping to read: {}", reader.get(0, 5));
    let writer = Map::shared(&file, 2 * PAGE);
    writer.put(PAGE - 1, b"Zz");
    println!("read: {} {}", text(&mut file, PAGE as u64 - 2, 4), reader.get(PAGE - 2, 4));
    let other = File::options().read(true).write(true).open(path("file")).expect("there");
    let second = Map::new(&other, PAGE, PAGE, READ_WRITE, MAP_SHARED).expect("can be mapped");
    second.put(1, b"second");
    println!("another descriptor: {}", writer.get(PAGE, 8));
    println!("msync {:?}", writer.sync(2 * PAGE));
    println!("fsync {:?}", file.sync_all());
    second.unmap();
    println!("after munmap of one: {}", writer.get(PAGE, 8));
    // SAFETY: the page is used no more.
    println!("half of it: {:?}", answer(unsafe { libc::munmap(writer.start(), PAGE) }));
    println!("the other half: {}", writer.get(PAGE, 3));
    fs::remove_file(path("file")).expect("there");
}

fn a_mapping_outlives_descriptor_and_name() {
    let mut file = create("gone");
    file.write_all(b"still there").expect("space");
    let map = Map::shared(&file, PAGE);
    drop(file);
    fs::remove_file(path("gone")).expect("there");
    let other = create("other");
    other.write_all_at(&[b'x'; 3 * PAGE], 0).expect("space");
    println!("a file without a name: {}", map.get(0, 12));
    map.put(0, b"S");
    println!("and written to: {}", map.get(0, 5));
    map.unmap();
    fs::remove_file(path("other")).expect("there");
}

fn files_of_memory_are_shared() {
    let file = memory_file();
    file.set_len(2 * PAGE as u64).expect("space");
    let [first, second] = [Map::shared(&file, 2 * PAGE), Map::shared(&file, PAGE)];
    first.put(9, b"nine");
    println!("a file of memory: {}", second.get(8, 6));
    let zero = File::options().read(true).write(true).open("/dev/zero").expect("there");
    let map = Map::shared(&zero, PAGE);
    map.put(0, b"1");
    println!("zeros: {} {}", map.get(0, 2), Map::shared(&zero, PAGE).get(0, 2));
}

fn files_grow_and_shrink_below_mappings() {
    let mut file = create("sizes");
    let map = Map::shared(&file, 64 * PAGE);
    file.set_len(10).expect("space");
    map.put(0, b"0123456789");
    file.set_len(5).expect("space");
    file.set_len(20 * PAGE as u64).expect("space");
    println!("cut and grown: {}", map.get(0, 10));
    map.put(20 * PAGE - 3, b"end");
    file.seek(SeekFrom::End(0)).expect("a file");
    file.write_all(b" and more").expect("space");
    println!("appended: {}", map.get(20 * PAGE - 3, 12));
    println!("size {}", file.metadata().expect("open").len());
    // SAFETY: the old mapping is used no more once it has moved.
    let grown = unsafe { libc::mremap(map.start(), 64 * PAGE, 2000 * PAGE, libc::MREMAP_MAYMOVE) };
    let grown = Map(NonNull::new(grown.cast()).expect("not null"), 2000 * PAGE);
    file.write_all_at(b"far", 1500 * PAGE as u64).expect("space");
    println!("moved: {} {}", grown.get(20 * PAGE - 3, 3), grown.get(1500 * PAGE, 4));
    // SAFETY: the pages that go are used no more.
    let shorter = unsafe { libc::mremap(grown.start(), 2000 * PAGE, PAGE, 0) };
    println!("shorter {} {:?}", shorter == grown.start(), grown.sync(2 * PAGE));
    let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: the call changes a file only.
    let punched = unsafe { libc::fallocate(file.as_raw_fd(), hole, 0, 3) };
    println!("hole {:?} {}", answer(punched), grown.get(0, 6));
    fs::remove_file(path("sizes")).expect("there");
}

fn rights_are_those_of_the_descriptor() {
    create("rights").write_all(&[1; PAGE]).expect("space");
    let reader = File::open(path("rights")).expect("there");
    let writer = File::options().write(true).open(path("rights")).expect("there");
    let errno = |map: Result<Map, i32>| map.map(|_| ());
    println!("to write, of a reader {:?}", errno(Map::new(&reader, 0, PAGE, READ_WRITE, MAP_SHARED)));
    println!("of a writer {:?}", errno(Map::new(&writer, 0, PAGE, PROT_READ, MAP_SHARED)));
    let map = Map::new(&reader, 0, PAGE, PROT_READ, MAP_SHARED).expect("can be mapped");
    println!("later {:?}", map.open());
    let private = Map::new(&reader, 0, PAGE, READ_WRITE, MAP_PRIVATE).expect("can be mapped");
    private.put(0, b"p");
    println!("private {} {}", private.get(0, 2), map.get(0, 2));
    println!("not aligned {:?}", errno(Map::new(&reader, 5, PAGE, PROT_READ, MAP_SHARED)));
    println!("a directory {:?}", errno(Map::new(&File::open("/").expect("there"), 0, PAGE, PROT_READ, MAP_SHARED)));
    println!("null {:?}", errno(Map::new(&File::open("/dev/null").expect("there"), 0, PAGE, PROT_READ, MAP_SHARED)));
    let closed = Map::new(&create("rights"), 0, PAGE, PROT_NONE, MAP_SHARED).expect("can be mapped");
    println!("opened later {:?}", closed.open());
    fs::remove_file(path("rights")).expect("there");
}

fn what_has_a_name_is_shared_by_it() {
    let name = CString::new(format!("/shared-mappings-{}", std::process::id())).expect("no NUL");
    let open = || {
        // SAFETY: the name is a string.
        let file = unsafe { libc::shm_open(name.as_ptr(), O_CREAT | O_RDWR, 0o600) };
        assert!(file >= 0, "{}", errno());
        // SAFETY: the descriptor is new.
        unsafe { File::from_raw_fd(file) }
    };
    let (first, second) = (open(), open());
    first.set_len(PAGE as u64).expect("space");
    let [one, two] = [&first, &second].map(|file| Map::shared(file, PAGE));
    one.put(0, b"shm_open");
    // SAFETY: the name is a string.
    let unlinked = unsafe { libc::shm_unlink(name.as_ptr()) };
    println!("{} {:?}", two.get(0, 8), answer(unlinked));

    // SAFETY: the name is a string.
    let semaphore = || unsafe { libc::sem_open(name.as_ptr(), O_CREAT, 0o600, 0) } as usize;
    let (mine, theirs) = (semaphore(), semaphore());
    let other = thread::spawn(move || {
        // SAFETY: the semaphores are open until both threads are done.
        unsafe { (libc::sem_wait(theirs as *mut _), libc::sem_post(theirs as *mut _)) }
    });
    // SAFETY: as above.
    println!("sem_post {}", unsafe { libc::sem_post(mine as *mut _) });
    println!("sem_wait and sem_post {:?}", other.join().expect("does not fail"));
    // SAFETY: as above; both are used no more.
    unsafe {
        println!("sem_wait {}", libc::sem_wait(mine as *mut _));
        println!("close {} {}", libc::sem_close(mine as *mut _), libc::sem_close(theirs as *mut _));
        println!("unlink {}", libc::sem_unlink(name.as_ptr()));
    }
}

/// A lock of several processes, in one mapping and through another.
fn locks_lie_in_files() {
    let file = memory_file();
    file.set_len(PAGE as u64).expect("space");
    let [one, two] = [Map::shared(&file, PAGE), Map::shared(&file, PAGE)];
    // SAFETY: the lock lies in the page, apart from the count, and is used as pthreads demand.
    unsafe {
        let mut attributes = std::mem::zeroed();
        libc::pthread_mutexattr_init(&mut attributes);
        libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_mutex_init(one.start().cast(), &attributes);
    }
    let count = |map: Map| {
        for _ in 0..1000 {
            // SAFETY: the lock is initialised; the count is accessed with the lock held.
            unsafe {
                libc::pthread_mutex_lock(map.start().cast());
                let count = map.start().byte_add(1024).cast::<u32>();
                count.write_volatile(count.read_volatile() + 1);
                if count.read_volatile() % 100 == 0 {
                    thread::yield_now();
                }
                libc::pthread_mutex_unlock(map.start().cast());
            }
        }
    };
    let other = thread::spawn(move || count(two));
    count(one);
    other.join().expect("does not fail");
    println!("counted: {}", u32::from_ne_bytes(file_bytes(&file, 1024)));
}

/// A thread ends with a robust lock, which the next owner gets to know.
fn locks_outlive_their_owners() {
    let file = memory_file();
    file.set_len(PAGE as u64).expect("space");
    let map = Map::shared(&file, PAGE);
    // SAFETY: the lock lies in the page, and is used as pthreads demand.
    let robust = unsafe {
        let mut attributes = std::mem::zeroed();
        libc::pthread_mutexattr_init(&mut attributes);
        libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED);
        let robust = pthread_mutexattr_setrobust(&mut attributes, 1);
        libc::pthread_mutex_init(map.start().cast(), &attributes);
        robust
    };
    // SAFETY: as above.
    let lock = |map: Map| unsafe { libc::pthread_mutex_lock(map.start().cast()) };
    let first = thread::spawn(move || lock(map)).join().expect("does not fail");
    println!("robust {robust} {first} {}", lock(map) == libc::EOWNERDEAD);
    // SAFETY: as above; the lock is held.
    println!("{}", unsafe { pthread_mutex_consistent(map.start().cast()) });
}

fn file_bytes<const N: usize>(file: &File, at: u64) -> [u8; N] {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, at).expect("large enough");
    bytes
}

/// A file with a hole of a gigabyte takes the memory of what is written.
fn large_files_are_mapped_whole() {
    let file = create("large");
    let map = Map::shared(&file, 1 << 30);
    file.write_all_at(b"first", 0).expect("space");
    file.set_len(1 << 30).expect("space");
    for at in (0..1 << 30).step_by(64 << 20) {
        map.put(at, b"touched");
    }
    println!("{} {}", map.get(0, 7), String::from_utf8_lossy(&file_bytes::<7>(&file, 960 << 20)));
    file.set_len(0).expect("a file");
    file.set_len(1 << 30).expect("a file");
    println!("{}", map.get(0, 7));
    map.unmap();
    fs::remove_file(path("large")).expect("there");
}

/// Cannot be honest without a second address.
fn refused() {
    let file = memory_file();
    file.set_len(2 * PAGE as u64).expect("space");
    // SAFETY: a new mapping changes nothing.
    let room = unsafe { libc::mmap(null_mut(), 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) };
    let errno = |map: Result<Map, i32>| map.map(|_| ());
    println!("elsewhere {:?}", errno(Map::at(room, &file, 0, PAGE, READ_WRITE, MAP_SHARED | MAP_FIXED)));
    let map = Map::shared(&file, PAGE);
    println!("a ring {:?}", errno(Map::at(room, &file, 0, PAGE, READ_WRITE, MAP_SHARED | MAP_FIXED)));
    println!("in place {:?}", errno(Map::at(map.start(), &file, 0, PAGE, READ_WRITE, MAP_SHARED | MAP_FIXED)));
    let flags = MAP_SHARED | MAP_FIXED_NOREPLACE;
    println!("in place, if free {:?}", errno(Map::at(map.start(), &file, 0, PAGE, READ_WRITE, flags)));
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    println!("other memory in its place {:?}", errno(Map::at(map.start(), &file, 0, PAGE, READ_WRITE, flags)));
    println!("more than there are addresses {:?}", errno(Map::new(&file, 0, 1 << 40, READ_WRITE, MAP_SHARED)));
    println!(
        "a file of /proc {:?}",
        errno(Map::new(&File::open("/proc/self/stat").expect("there"), 0, PAGE, PROT_READ, MAP_SHARED))
    );
}

fn main() {
    if std::env::args().nth(1).is_some() {
        return refused();
    }
    calls_and_mappings_share_the_pages();
    a_mapping_outlives_descriptor_and_name();
    files_of_memory_are_shared();
    files_grow_and_shrink_below_mappings();
    rights_are_those_of_the_descriptor();
    what_has_a_name_is_shared_by_it();
    locks_lie_in_files();
    locks_outlive_their_owners();
    large_files_are_mapped_whole();
}
