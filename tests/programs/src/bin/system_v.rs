//! Uses message queues, semaphores and shared memory of System V, by itself and from several threads.

#![expect(unsafe_code, reason = "sysvipc(7) is functions of C")]

use libc::*;
use programs::errno;
use std::mem::zeroed;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// The kernel's `struct semid64_ds`, which the crate has not for each C library.
#[repr(C)]
#[derive(Default)]
struct SetState {
    /// Key, owner, group, creator, group of that, mode.
    owner: [u32; 6],
    sequence: [u64; 3],
    operated: i64,
    changed: [i64; 3],
    count: u64,
    reserved: [u64; 2],
}

const KEY: key_t = 0x4875_736b;

#[repr(C)]
struct Message {
    kind: c_long,
    text: [u8; 64],
}

/// Result of a call, or the number of its error.
fn result(value: impl Into<i64>) -> Result<i64, i32> {
    let value = value.into();
    if value < 0 { Err(errno()) } else { Ok(value) }
}

fn send(queue: c_int, kind: c_long, text: &str, flags: c_int) -> Result<i64, i32> {
    let mut message = Message { kind, text: [0; 64] };
    message.text[..text.len()].copy_from_slice(text.as_bytes());
    // SAFETY: the message is as long as is said.
    result(unsafe { msgsnd(queue, (&raw const message).cast(), text.len(), flags) })
}

fn receive(queue: c_int, length: usize, kind: c_long, flags: c_int) -> Result<(c_long, String), i32> {
    let mut message = Message { kind: 0, text: [0; 64] };
    // SAFETY: the message has room for that many bytes.
    let length = result(unsafe { msgrcv(queue, (&raw mut message).cast(), length, kind, flags) } as i64)?;
    Ok((message.kind, String::from_utf8_lossy(&message.text[..length as usize]).into_owned()))
}

fn queues() {
    // SAFETY: the calls take numbers only.
    let (none, queue) = unsafe { (result(msgget(KEY, 0)), msgget(KEY, IPC_CREAT | IPC_EXCL | 0o640)) };
    println!("none {none:?}, made {}", queue >= 0);
    // SAFETY: the calls take numbers only.
    println!(
        "again {:?}, found {}",
        result(unsafe { msgget(KEY, IPC_CREAT | IPC_EXCL) }),
        unsafe { msgget(KEY, 0) } == queue
    );
    println!("empty {:?}", receive(queue, 64, 0, IPC_NOWAIT));
    println!("bad type {:?}, bad queue {:?}", send(queue, 0, "x", 0), send(-1, 1, "x", 0));
    for (kind, text) in [(5, "five"), (3, "three"), (4, "four"), (3, "again three"), (5, "last")] {
        println!("sent {:?}", send(queue, kind, text, 0));
    }
    println!("too long {:?}", receive(queue, 2, 3, 0));
    println!("cut {:?}", receive(queue, 2, 3, MSG_NOERROR));
    println!("lowest {:?}", receive(queue, 64, -4, 0));
    println!("not five {:?}", receive(queue, 64, 5, MSG_EXCEPT));
    println!("none of nine {:?}", receive(queue, 64, 9, IPC_NOWAIT));
    // SAFETY: all zeros is a valid state, which the call overwrites.
    let mut state: msqid_ds = unsafe { zeroed() };
    // SAFETY: the state is a variable of ours.
    println!("state {:?}", result(unsafe { msgctl(queue, IPC_STAT, &mut state) }));
    let mode = state.msg_perm.mode & 0o777;
    println!("{} messages, at most {} bytes, mode {mode:o}", state.msg_qnum, state.msg_qbytes);
    println!("sent {}, changed {}", state.msg_stime > 0 && state.msg_rtime > 0, state.msg_ctime > 0);
    // SAFETY: it takes no memory.
    println!("by this process {}", unsafe { getpid() } == state.msg_lspid && state.msg_lspid == state.msg_lrpid);
    state.msg_qbytes = 12;
    // SAFETY: the state is a variable of ours.
    println!("smaller {:?}", result(unsafe { msgctl(queue, IPC_SET, &mut state) }));
    println!("full {:?}", send(queue, 1, "no room", IPC_NOWAIT));
    let waiting = thread::spawn(move || send(queue, 7, "waited", 0));
    thread::sleep(Duration::from_millis(20));
    println!("first {:?}, second {:?}", receive(queue, 64, 0, 0), receive(queue, 64, 0, 0));
    println!("third {:?}, {:?}", receive(queue, 64, 0, 0), waiting.join().expect("no panic"));
    let waiting = thread::spawn(move || receive(queue, 64, 0, 0));
    thread::sleep(Duration::from_millis(20));
    println!("for one that waits {:?}, {:?}", send(queue, 1, "now", 0), waiting.join().expect("no panic"));
    let waiting = thread::spawn(move || receive(queue, 64, 0, 0));
    thread::sleep(Duration::from_millis(100));
    // SAFETY: it takes numbers only, and a null pointer.
    println!("removed {:?}", result(unsafe { msgctl(queue, IPC_RMID, null_mut()) }));
    let waited = waiting.join().expect("no panic");
    // One that was not waiting yet finds no queue.
    println!("while one waited {}", [Err(EIDRM), Err(EINVAL)].contains(&waited));
    println!("gone {:?}", send(queue, 1, "x", 0));
}

fn operate(set: c_int, operations: &[(u16, i16, i32)], timeout_ms: Option<i64>) -> Result<i64, i32> {
    let one = |&(sem_num, sem_op, flags): &(u16, i16, i32)| sembuf { sem_num, sem_op, sem_flg: flags as i16 };
    let mut operations: Vec<sembuf> = operations.iter().map(one).collect();
    let time = timeout_ms.map(|ms| timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 });
    let time = time.as_ref().map_or(null(), |time| &raw const *time);
    // SAFETY: the operations and the time live through the call.
    result(unsafe { syscall(SYS_semtimedop, set, operations.as_mut_ptr(), operations.len(), time) })
}

fn control(set: c_int, index: c_int, command: c_int, argument: u64) -> Result<i64, i32> {
    // SAFETY: the argument is a number, or the address of an array that is long enough.
    result(unsafe { semctl(set, index, command, argument) })
}

fn semaphores() {
    // SAFETY: the calls take numbers only.
    let (bad, set) = unsafe { (result(semget(KEY, 0, IPC_CREAT)), semget(KEY, 3, IPC_CREAT | 0o600)) };
    // SAFETY: the calls take numbers only.
    println!(
        "bad {bad:?}, too many {:?}, found {}",
        result(unsafe { semget(KEY, 4, 0) }),
        unsafe { semget(KEY, 0, 0) } == set
    );
    let mut values: [u16; 3] = [1, 2, 3];
    println!("set {:?}", control(set, 0, SETALL, values.as_ptr() as u64));
    println!(
        "one {:?}, too high {:?}, no such {:?}",
        control(set, 1, SETVAL, 7),
        control(set, 1, SETVAL, 40_000),
        control(set, 3, GETVAL, 0)
    );
    println!("several {:?}", operate(set, &[(0, -1, 0), (1, 2, 0), (2, -3, 0), (2, 0, 0)], None));
    println!("none of them {:?}", operate(set, &[(1, -9, 0), (0, -1, IPC_NOWAIT)], None));
    println!("too far {:?}, too high {:?}", operate(set, &[(3, 1, 0)], None), operate(set, &[(1, i16::MAX, 0)], None));
    println!("no operation {:?}, too many {:?}", operate(set, &[], None), operate(set, &[(0, 1, 0); 501], None));
    println!("in time {:?}", operate(set, &[(0, -1, 0)], Some(20)));
    println!("undone {:?}", operate(set, &[(0, 1, SEM_UNDO), (0, -1, SEM_UNDO)], None));
    println!("all {:?} {:?}", control(set, 0, GETALL, values.as_mut_ptr() as u64), values);
    // SAFETY: it takes no memory.
    println!("process {}", control(set, 0, GETPID, 0) == Ok(unsafe { getpid() }.into()));
    let waits: Vec<_> = [(0u16, -2i16), (1, 0), (0, -1)]
        .map(|(index, by)| thread::spawn(move || operate(set, &[(index, by, 0)], None)))
        .into();
    while (control(set, 0, GETNCNT, 0), control(set, 1, GETZCNT, 0)) != (Ok(2), Ok(1)) {
        thread::sleep(Duration::from_millis(1));
    }
    println!("waiting {:?} {:?}", control(set, 0, GETZCNT, 0), control(set, 1, GETNCNT, 0));
    println!("release {:?}", operate(set, &[(0, 3, 0), (1, -9, 0)], None));
    println!("{:?}", waits.into_iter().map(|wait| wait.join().expect("no panic")).collect::<Vec<_>>());
    println!("left {:?} {:?}", control(set, 0, GETVAL, 0), control(set, 0, GETNCNT, 0));
    let mut state = SetState::default();
    println!("state {:?}", control(set, 0, IPC_STAT, &raw mut state as u64));
    println!("{} semaphores, used {}, mode {:o}", state.count, state.operated > 0, state.owner[5] & 0o777);
    let waiting = thread::spawn(move || operate(set, &[(0, -1, 0)], None));
    while control(set, 0, GETNCNT, 0) != Ok(1) {
        thread::sleep(Duration::from_millis(1));
    }
    println!("removed {:?}, {:?}", control(set, 0, IPC_RMID, 0), waiting.join().expect("no panic"));
    println!("gone {:?}", control(set, 0, GETVAL, 0));
}

/// As a lock of eight threads.
fn lock() {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // SAFETY: it takes numbers only.
    let set = unsafe { semget(IPC_PRIVATE, 1, 0o600) };
    control(set, 0, SETVAL, 1).expect("made just now");
    let work = move || {
        for _ in 0..200 {
            operate(set, &[(0, -1, SEM_UNDO)], None).expect("there");
            let before = COUNT.load(SeqCst);
            thread::yield_now();
            COUNT.store(before + 1, SeqCst);
            operate(set, &[(0, 1, SEM_UNDO)], None).expect("there");
        }
    };
    let threads: Vec<_> = (0..8).map(|_| thread::spawn(work)).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    println!("counted {}", COUNT.load(SeqCst));
    control(set, 0, IPC_RMID, 0).expect("there");
}

fn attached(segment: c_int) -> (u64, u64, u32) {
    // SAFETY: all zeros is a valid state, which the call overwrites.
    let mut state: shmid_ds = unsafe { zeroed() };
    // SAFETY: the state is a variable of ours.
    unsafe { shmctl(segment, IPC_STAT, &mut state) };
    (state.shm_nattch, state.shm_segsz as u64, u32::from(state.shm_perm.mode) & 0o1777)
}

fn memory() {
    // SAFETY: the calls take numbers only.
    let (bad, segment) = unsafe { (result(shmget(KEY, 0, IPC_CREAT)), shmget(KEY, 10_000, IPC_CREAT | 0o600)) };
    // SAFETY: the calls take numbers only.
    println!(
        "bad {bad:?}, too large {:?}, found {}",
        result(unsafe { shmget(KEY, 10_001, 0) }),
        unsafe { shmget(KEY, 1, 0) } == segment
    );
    println!("state {:?}", attached(segment));
    // SAFETY: the segment is mapped to where there is room.
    let (first, second) =
        unsafe { (shmat(segment, null(), 0).cast::<u8>(), shmat(segment, null(), SHM_RDONLY).cast::<u8>()) };
    println!("attached {:?}", attached(segment));
    // SAFETY: both mappings have that many bytes.
    unsafe {
        println!("zeros {}", (0..10_000).all(|at| first.add(at).read_volatile() == 0));
        first.add(9_999).write_volatile(7);
        println!("shared {}", second.add(9_999).read_volatile());
    }
    let address = first as usize;
    // SAFETY: the byte is in the mapping.
    thread::spawn(move || unsafe { (address as *mut u8).write_volatile(9) }).join().expect("no panic");
    // SAFETY: the byte is in the mapping.
    println!("from a thread {}", unsafe { second.read_volatile() });
    // SAFETY: the address belongs to no segment.
    println!("not there {:?}", result(unsafe { shmdt(first.wrapping_add(4096).cast()) }));
    // SAFETY: it is not used any more.
    println!("detached {:?} {:?}", result(unsafe { shmdt(second.cast()) }), attached(segment));
    // SAFETY: it takes numbers only, and a null pointer.
    println!("removed {:?} {:?}", result(unsafe { shmctl(segment, IPC_RMID, null_mut()) }), attached(segment));
    // SAFETY: it takes numbers only.
    println!("without a key {:?}", result(unsafe { shmget(KEY, 1, 0) }));
    // SAFETY: the byte is in the mapping, which is there as long as it is attached.
    println!("still there {}", unsafe { first.add(9_999).read_volatile() });
    // SAFETY: it is not used any more.
    println!("last {:?}", result(unsafe { shmdt(first.cast()) }));
    // SAFETY: the segment is gone, and nothing is mapped.
    println!("gone {:?}", result(unsafe { shmat(segment, null(), 0) } as i64));
}

fn main() {
    queues();
    semaphores();
    lock();
    memory();
}
