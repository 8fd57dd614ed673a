//! Functions of the vDSO. They run on the program's stack, take no lock and make no call; each returns 0 or a negated errno,
//! like the system call of its name.

use crate::errno::Errno;
use crate::{clock, user};

/// `__vdso_clock_gettime(clock, into)`.
pub extern "sysv64" fn clock_gettime(id: i32, into: u64) -> i32 {
    result(clock::read(id).and_then(|time| user::write(into, &clock::to_timespec(time))))
}

/// `__vdso_clock_getres(clock, into)`: the counter ticks at least once a nanosecond.
pub extern "sysv64" fn clock_getres(id: i32, into: u64) -> i32 {
    result(clock::base(id).and_then(|_| if into == 0 { Ok(()) } else { user::write(into, &[0i64, 1]) }))
}

/// `__vdso_gettimeofday(into, timezone)`.
pub extern "sysv64" fn gettimeofday(into: u64, timezone: u64) -> i32 {
    let [seconds, nanoseconds] = clock::to_timespec(husk::clock::realtime_ns());
    let time = if into == 0 { Ok(()) } else { user::write(into, &[seconds, nanoseconds / 1000]) };
    result(time.and_then(|()| if timezone == 0 { Ok(()) } else { user::write(timezone, &[0i32; 2]) }))
}

/// `__vdso_time(into)`: the only function that returns a value.
pub extern "sysv64" fn time(into: u64) -> i64 {
    let seconds = (husk::clock::realtime_ns() / clock::SECOND) as i64;
    match into {
        0 => seconds,
        _ => user::write(into, &seconds).map_or_else(Errno::to_result, |()| seconds),
    }
}

/// `__vdso_getcpu(cpu, node)`: always processor 0.
pub extern "sysv64" fn getcpu(cpu: u64, node: u64) -> i32 {
    let zero = |into| if into == 0 { Ok(()) } else { user::write(into, &0u32) };
    result(zero(cpu).and_then(|()| zero(node)))
}

fn result(outcome: Result<(), Errno>) -> i32 {
    outcome.map_or_else(|errno| errno.to_result() as i32, |()| 0)
}
