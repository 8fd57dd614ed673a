//! Disks: the block devices of the tender, which the program sees as `/dev/NAME`.
//!
//! The files know them by name and size ([`crate::fs::disk`]); here are the calls on them in progress ([`call`]). Only the
//! thread that makes a call waits for it: the call is restarted when its requests are completed. Until then the tender uses the
//! program's memory, so neither a signal nor a timeout ends such a call early, as on Linux. Nor can that memory be unmapped: a
//! thread that tries waits for the call to end. Linux keeps the pages instead, which differs only in the time that it takes.
//!
//! A disk is opened when a call first needs it.

pub mod call;
mod calls;

use crate::errno::Errno;
use crate::threads::Threads;
use crate::user::Slice;
use alloc::vec::Vec;
use call::Call;
use husk::abi::block::Block;
use husk::abi::note::device_kind;
use husk::block::Disk;
use husk::device;
use husk::wait::Source;

/// The disks of the program.
#[derive(Debug, Default)]
pub struct Disks {
    /// Open disks, by their number among all devices.
    open: Vec<(u32, Disk)>,
    /// Calls in progress, in the order in which they were made.
    calls: Vec<Call>,
    /// Number of requests of all calls that the tender has not completed.
    under_way: u32,
    /// Threads that wait for another thread's call to end, because of its memory.
    excluded: Vec<u32>,
}

/// Attached disks: number among all devices, name, and properties.
pub fn attached() -> impl Iterator<Item = (u32, &'static [u8], &'static Block)> {
    let devices = (0..).zip(device::all()).filter(|(_, device)| device.kind == device_kind::BLOCK);
    devices.filter_map(|(number, device)| Some((number, device::name(device), device::block(device)?)))
}

impl Disks {
    /// Returns true if a call waits for a disk.
    #[inline]
    pub fn busy(&self) -> bool {
        self.under_way > 0
    }

    /// The call of this thread in progress.
    pub fn call_of(&mut self, thread: u32) -> Option<&mut Call> {
        self.calls.iter_mut().find(|call| call.thread == thread)
    }

    /// Returns true if a call uses any of these bytes.
    pub fn uses(&self, memory: Slice) -> bool {
        self.calls.iter().any(|call| call.uses(memory))
    }

    /// Registers this thread to be woken when a call ends.
    pub fn await_end(&mut self, thread: u32) -> Result<(), Errno> {
        self.excluded.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.excluded.push(thread);
        Ok(())
    }

    /// Begins a call.
    pub fn begin(&mut self, call: Call) -> Result<(), Errno> {
        self.calls.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.take_into_use(call.disk)?;
        self.calls.push(call);
        Ok(())
    }

    fn take_into_use(&mut self, number: u32) -> Result<(), Errno> {
        if self.open.iter().any(|(other, _)| *other == number) {
            return Ok(());
        }
        self.open.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let (_, name, _) = attached().find(|(other, ..)| *other == number).ok_or(Errno::ENXIO)?;
        let name = core::str::from_utf8(name).map_err(|_| Errno::ENXIO)?;
        self.open.push((number, Disk::open(name).map_err(|_| Errno::ENXIO)?));
        Ok(())
    }

    /// Advances the call of this thread as far as possible now. Returns its result, once it is finished.
    pub fn go_on(&mut self, thread: u32) -> Option<Result<u64, Errno>> {
        let at = self.calls.iter().position(|call| call.thread == thread)?;
        let (before, rest) = self.calls.split_at_mut(at);
        let call = rest.first_mut()?;
        let disk = self.open.iter_mut().find(|(number, _)| *number == call.disk).map(|(_, disk)| disk)?;
        if call.under_way == 0 && !before.iter().any(|earlier| earlier.excludes(call)) {
            let started = call.go_on(disk);
            disk.offer();
            self.under_way += started;
        }
        let result = call.result()?;
        self.calls.remove(at);
        Some(result)
    }

    /// Handles completed requests, and wakes the threads that wait for them.
    pub fn poll(&mut self, threads: &mut Threads) {
        let mut any = false;
        for (_, disk) in &mut self.open {
            while let Some((token, result)) = disk.completed() {
                any = true;
                self.under_way = self.under_way.saturating_sub(1);
                if let Some(call) = self.calls.iter_mut().find(|call| u64::from(call.thread) == token) {
                    call.completed(result);
                }
            }
        }
        if any {
            self.wake_idle(threads);
        }
    }

    /// Wakes the threads that may have waited for a call to end.
    pub fn wake_excluded(&mut self, threads: &mut Threads) {
        core::mem::take(&mut self.excluded).into_iter().for_each(|thread| threads.wake_thread(thread));
        self.wake_idle(threads);
    }

    /// Wakes the threads with calls that can advance.
    fn wake_idle(&self, threads: &mut Threads) {
        self.calls.iter().filter(|call| call.under_way == 0).for_each(|call| threads.wake_thread(call.thread));
    }

    /// Notifies the tender of requests without waiting for it.
    pub fn ring(&mut self) {
        self.open.iter_mut().for_each(|(_, disk)| disk.publish());
    }

    /// Wait sources of the open disks.
    pub fn sources(&mut self) -> Vec<&mut dyn Source> {
        self.open.iter_mut().map(|(_, disk)| disk as &mut dyn Source).collect()
    }
}
