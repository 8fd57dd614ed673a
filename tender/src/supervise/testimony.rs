//! Testimony that the tender leaves to its supervisor: a page of memory that both share, read when the tender has ended.
//!
//! A guest in a virtual machine cannot reach the page. A guest of spt could write to it, in the tender's own process; so
//! [`begin`] unmaps it there before the first instruction of the guest, and no code can map it again: the page has no name and
//! no descriptor, and the filters refuse shared mappings. The supervisor then reads what was written before the guest ran.

#![expect(unsafe_code, reason = "memory that two processes share is reached by address")]

use husk_abi::memory::PAGE;
use std::io;
use std::ptr::{self, NonNull, null_mut};
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64};

/// Longest reason, in bytes.
const REASON_MAXIMUM: usize = 1024;
/// Deadline of a guest without `--timeout`.
const NEVER: u64 = u64::MAX;

/// Sandbox of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// A virtual machine.
    Hvt,
    /// The tender's process.
    Spt,
}

/// Tender's verdict on the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The guest exited.
    Exit,
    /// A signal to husk ended the guest, which takes none.
    Signal,
    /// The guest crashed, or broke the contract.
    Fault,
    /// The guest touched more memory than it may have.
    OutOfMemory,
    /// The guest's time was up.
    TimeIsUp,
    /// husk could not start it, or not continue.
    Error,
}

const VERDICTS: [Verdict; 6] =
    [Verdict::Exit, Verdict::Signal, Verdict::Fault, Verdict::OutOfMemory, Verdict::TimeIsUp, Verdict::Error];

/// Layout of the page.
#[repr(C)]
struct Sheet {
    /// 0 until the guest runs, then 1 for hvt, 2 for spt.
    began: AtomicU32,
    /// 1 once the watchdog has found that `--cpu-limit` was exceeded.
    exceeded: AtomicU32,
    /// Index into `VERDICTS`, plus 1; 0 if there is none.
    verdict: AtomicU32,
    length: AtomicU32,
    /// Deadline of the guest, of CLOCK_MONOTONIC.
    deadline_ns: AtomicU64,
    reason: [AtomicU8; REASON_MAXIMUM],
}

const _: () = assert!(size_of::<Sheet>() <= PAGE as usize);

/// The page, if a supervisor is to read it.
static SHEET: AtomicPtr<Sheet> = AtomicPtr::new(null_mut());

/// Makes the page, before the tender is forked.
pub fn prepare() -> io::Result<()> {
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: new memory, at a place of the kernel's choice.
    let page = unsafe { libc::mmap(null_mut(), PAGE as usize, rights, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0) };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    SHEET.store(page.cast(), Relaxed);
    Ok(())
}

fn sheet() -> Option<&'static Sheet> {
    let sheet = NonNull::new(SHEET.load(Relaxed))?;
    // SAFETY: `prepare` made the page, zeroed, a valid value; `begin` unmaps it only after it has cleared the pointer. The page
    // has only atomics, which another process may change.
    Some(unsafe { sheet.as_ref() })
}

/// Records that the guest is about to run, until `deadline_ns` if there is one. In spt, later records have no effect.
pub fn begin(sandbox: Sandbox, deadline_ns: Option<u64>) {
    let Some(sheet) = sheet() else { return };
    sheet.deadline_ns.store(deadline_ns.unwrap_or(NEVER), Relaxed);
    sheet.began.store(sandbox as u32 + 1, Release);
    if sandbox == Sandbox::Spt {
        SHEET.store(null_mut(), Relaxed);
        // SAFETY: `prepare` mapped the page, and no code refers to it after the pointer was cleared.
        unsafe { libc::munmap(ptr::from_ref(sheet).cast_mut().cast(), PAGE as usize) };
    }
}

/// Records how the run ended, and why.
pub fn end(verdict: Verdict, reason: &str) {
    let Some(sheet) = sheet() else { return };
    let length = reason.len().min(REASON_MAXIMUM);
    sheet.reason.iter().zip(reason.bytes()).for_each(|(at, byte)| at.store(byte, Relaxed));
    sheet.length.store(length as u32, Relaxed);
    let index = VERDICTS.iter().position(|known| *known == verdict).map_or(0, |index| index + 1);
    sheet.verdict.store(index as u32, Release);
}

/// Records that the watchdog is about to end the tender for its processor time.
pub fn exceed() {
    if let Some(sheet) = sheet() {
        sheet.exceeded.store(1, Relaxed);
    }
}

/// Contents of the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Testimony {
    /// Sandbox of the guest, if it ran.
    pub sandbox: Option<Sandbox>,
    /// Deadline of the guest.
    pub deadline_ns: Option<u64>,
    /// True if the guest had exceeded `--cpu-limit` when the watchdog ended it.
    pub exceeded: bool,
    /// Verdict on the end, and its reason.
    pub verdict: Option<(Verdict, String)>,
}

/// Reads the page, once the tender has ended.
pub fn read() -> Testimony {
    let Some(sheet) = sheet() else { return Testimony::default() };
    let sandbox = match sheet.began.load(Relaxed) {
        1 => Some(Sandbox::Hvt),
        2 => Some(Sandbox::Spt),
        _ => None,
    };
    let length = (sheet.length.load(Relaxed) as usize).min(REASON_MAXIMUM);
    let reason: Vec<u8> = sheet.reason[..length].iter().map(|byte| byte.load(Relaxed)).collect();
    let verdict = (sheet.verdict.load(Relaxed) as usize).checked_sub(1).and_then(|index| VERDICTS.get(index));
    Testimony {
        sandbox,
        deadline_ns: Some(sheet.deadline_ns.load(Relaxed)).filter(|deadline| *deadline != NEVER && sandbox.is_some()),
        exceeded: sheet.exceeded.load(Relaxed) != 0,
        verdict: verdict.map(|verdict| (*verdict, String::from_utf8_lossy(&reason).into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A single test, because the page belongs to the process.
    #[test]
    fn what_is_said_is_read_until_a_guest_shares_the_process() {
        assert_eq!(read(), Testimony::default());
        prepare().expect("a page");
        begin(Sandbox::Hvt, Some(7));
        end(Verdict::Fault, &"é".repeat(REASON_MAXIMUM));
        let read = self::read();
        assert_eq!((read.sandbox, read.deadline_ns, read.exceeded), (Some(Sandbox::Hvt), Some(7), false));
        let (verdict, reason) = read.verdict.expect("there is one");
        assert_eq!((verdict, reason.len()), (Verdict::Fault, REASON_MAXIMUM));
        exceed();
        assert!(self::read().exceeded);
        begin(Sandbox::Spt, None);
        end(Verdict::Error, "nobody hears it");
        assert_eq!(self::read(), Testimony::default());
    }
}
