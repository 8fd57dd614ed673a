//! Timers that send signals, one kind after the other.

use libc::{c_int, c_void, siginfo_t};
use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

static COUNT: AtomicU32 = AtomicU32::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static VALUE: AtomicU64 = AtomicU64::new(0);
static THREAD: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(_: c_int, information: *const siginfo_t, _: *const c_void) {
    // SAFETY: a handler with SA_SIGINFO gets a valid siginfo_t.
    CODE.store(unsafe { (*information).si_code }, Relaxed);
    // SAFETY: a handler with SA_SIGINFO gets a valid siginfo_t.
    VALUE.store(unsafe { (*information).si_value() }.sival_ptr as u64, Relaxed);
    // SAFETY: gettid(2) takes no arguments.
    THREAD.store(unsafe { libc::gettid() }, Relaxed);
    COUNT.fetch_add(1, Relaxed);
}

fn handle(signal: c_int) {
    // SAFETY: all zeros is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = note as extern "C" fn(c_int, *const siginfo_t, *const c_void) as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: the handler uses atomics only.
    unsafe { libc::sigaction(signal, &action, null_mut()) };
}

/// Waits until `count` signals have arrived: the main thread spins if `spin`, and sleeps otherwise.
fn wait_for(count: u32, spin: bool) {
    while COUNT.load(Relaxed) < count {
        if !spin {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn setting(value_ms: i64, interval_ms: i64) -> libc::itimerspec {
    let time = |ms: i64| libc::timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
    libc::itimerspec { it_interval: time(interval_ms), it_value: time(value_ms) }
}

fn make(notify: c_int, signal: c_int, thread: c_int) -> libc::timer_t {
    // SAFETY: all zeros is a valid value.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    (event.sigev_notify, event.sigev_signo, event.sigev_notify_thread_id) = (notify, signal, thread);
    event.sigev_value = libc::sigval { sival_ptr: 0x1234_5678_9abc as *mut c_void };
    let mut timer = null_mut();
    // SAFETY: both are variables of ours.
    assert_eq!(unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) }, 0);
    timer
}

fn alarms() {
    handle(libc::SIGALRM);
    // SAFETY: alarm(2) takes a number only.
    let alarm = |seconds| unsafe { libc::alarm(seconds) };
    println!("alarm: {} {} {}", alarm(1000), alarm(500), alarm(0));
    alarm(1);
    wait_for(1, false);
    println!("alarm rang, code {:#x}", CODE.load(Relaxed));
    let time = libc::timeval { tv_sec: 0, tv_usec: 2000 };
    // SAFETY: the setting is a variable of ours.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &libc::itimerval { it_interval: time, it_value: time }, null_mut()) };
    wait_for(5, true);
    wait_for(10, false);
    // SAFETY: all zeros is a valid value.
    let (none, mut before) = unsafe { std::mem::zeroed::<(libc::itimerval, libc::itimerval)>() };
    // SAFETY: the settings are variables of ours.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &none, &mut before) };
    println!("interval {} us, which is left: {}", before.it_interval.tv_usec, before.it_value.tv_usec <= 2000);
}

fn timers() {
    handle(libc::SIGUSR1);
    COUNT.store(0, Relaxed);
    let timer = make(libc::SIGEV_SIGNAL, libc::SIGUSR1, 0);
    // SAFETY: the setting is a variable of ours.
    unsafe { libc::timer_settime(timer, 0, &setting(1, 1), null_mut()) };
    wait_for(10, false);
    println!("timer: code {}, value {:#x}", CODE.load(Relaxed), VALUE.load(Relaxed));
    let mut left = setting(0, 0);
    // SAFETY: the timer is ours, and the setting a local variable.
    unsafe { libc::timer_gettime(timer, &mut left) };
    println!("interval {} ns, time left: {}", left.it_interval.tv_nsec, left.it_value.tv_nsec > 0);
    // SAFETY: the timer is ours.
    println!("deleted: {}", unsafe { libc::timer_delete(timer) });

    let (send, receive) = std::sync::mpsc::channel();
    COUNT.store(0, Relaxed);
    let target = thread::spawn(move || {
        // SAFETY: gettid(2) takes no arguments.
        let own = unsafe { libc::gettid() };
        send.send(own).expect("it listens");
        wait_for(1, false);
        own
    });
    let timer = make(libc::SIGEV_THREAD_ID, libc::SIGUSR1, receive.recv().expect("it sends"));
    // SAFETY: the setting is a variable of ours.
    unsafe { libc::timer_settime(timer, 0, &setting(5, 0), null_mut()) };
    let own = target.join().expect("it does not panic");
    println!("to the thread that was named: {}", THREAD.load(Relaxed) == own);
}

/// Timers that count processor time.
fn work() {
    let time = libc::timeval { tv_sec: 0, tv_usec: 10_000 };
    let once = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: time };
    for (which, signal) in [(libc::ITIMER_PROF, libc::SIGPROF), (libc::ITIMER_VIRTUAL, libc::SIGVTALRM)] {
        handle(signal);
        COUNT.store(0, Relaxed);
        // SAFETY: the setting is a variable of ours.
        let set = unsafe { libc::setitimer(which, &once, null_mut()) };
        thread::sleep(Duration::from_millis(50));
        print!("timer of work: {set}, after a sleep {}", COUNT.load(Relaxed));
        wait_for(1, true);
        println!(", after some work {}", COUNT.load(Relaxed));
    }
    let mut setting = once;
    // SAFETY: the setting is a local variable.
    println!("no such timer: {}", unsafe { libc::getitimer(3, &mut setting) });
}

/// Waits in a thread for a signal that all threads block (sigwait).
fn waiter() {
    // SAFETY: all zeros is an empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is a variable of ours.
    unsafe { libc::sigaddset(&mut set, libc::SIGUSR2) };
    // SAFETY: the set is a local variable.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, null_mut()) };
    let told = Mutex::new(0);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut signal = 0;
            // SAFETY: the set and the signal are local variables.
            unsafe { libc::sigwait(&set, &mut signal) };
            *told.lock().expect("nobody panics") = signal;
        });
        // SAFETY: the signal goes to our own process.
        unsafe { libc::kill(libc::getpid(), libc::SIGUSR2) };
        waiter.join().expect("it does not panic");
    });
    println!("sigwait: {}", told.lock().expect("nobody panics"));
    // SAFETY: the signal goes to our own process, which blocks it.
    unsafe { libc::kill(libc::getpid(), libc::SIGUSR2) };
    handle(libc::SIGUSR2);
    COUNT.store(0, Relaxed);
    // SAFETY: the set is a local variable.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, null_mut()) };
    println!("unblocked: {}", COUNT.load(Relaxed));
}

fn main() {
    alarms();
    timers();
    work();
    waiter();
}
