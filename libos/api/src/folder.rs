//! Folders: directories and files of the host, by requests of [`husk_abi::folder`]. For the libos, which makes files of them.

#![expect(unsafe_code, reason = "the properties of a folder are tender memory, reached by address")]

use crate::device::{self, Error};
use crate::ring::Queue;
use crate::wait::{self, Source, Watches};
use core::slice;
use husk_abi::device::Device;
use husk_abi::folder;
use husk_abi::note::device_kind;
use husk_abi::ring::Descriptor;

/// Returns the properties of a folder, and the path at which the guest shows it.
pub fn properties(device: &'static Device) -> Option<(&'static folder::Folder, &'static [u8])> {
    if device.kind != device_kind::FOLDER {
        return None;
    }
    // SAFETY: the contract guarantees these properties for a device of this kind, read-only for the guest's lifetime.
    let properties = unsafe { &*(device.properties as *const folder::Folder) };
    let path = device.properties + size_of::<folder::Folder>() as u64;
    // SAFETY: the contract guarantees the path behind the properties.
    let path = unsafe { slice::from_raw_parts(path as *const u8, properties.path_length as usize) };
    Some((properties, path))
}

/// A folder that this program has opened, for as long as the program runs.
#[derive(Debug)]
pub struct Folder {
    queue: Queue,
    unpublished: bool,
    /// True if the tender must be woken for published requests, and has not been.
    owed: bool,
    /// True if no request since the tender was last woken has to be carried out soon.
    deferred: bool,
}

impl Folder {
    /// Opens a folder by the name of its device.
    pub fn open(name: &str) -> Result<Self, Error> {
        let device = device::open(name, device_kind::FOLDER)?;
        // SAFETY: the queue comes from the tender's table, and `device::open` opens a device once only.
        let queue = unsafe { Queue::new(&device.queues[0]) };
        Ok(Self { queue, unpublished: false, owed: false, deferred: false })
    }

    /// Submits a request of these parts. Returns true if there was room for it.
    ///
    /// # Safety
    ///
    /// The memory that the parts name is not accessed before the request is completed.
    pub unsafe fn submit(&mut self, parts: &[Descriptor]) -> bool {
        // SAFETY: the caller guarantees that the memory of the parts is not accessed before the completion.
        let submitted = unsafe { self.queue.submit(parts) };
        self.unpublished |= submitted;
        self.deferred &= !submitted;
        submitted
    }

    /// Publishes the request that was submitted last, and lets the tender carry it out with the next one, unless it runs beside the
    /// guest. Requests before it are not deferred.
    pub fn defer(&mut self) {
        let alone = !self.owed;
        if core::mem::take(&mut self.unpublished) {
            self.owed |= self.queue.show();
        }
        self.deferred = alone;
    }

    /// Returns true if all requests for which the tender has not been woken are deferred.
    pub fn is_deferred(&self) -> bool {
        self.deferred
    }

    /// Returns the token of a completed request.
    pub fn completed(&mut self) -> Option<u64> {
        self.queue.complete().map(|completion| completion.token)
    }

    /// Makes the tender carry out the submitted requests at once, where that costs next to nothing, or else polls for it while it runs
    /// beside the guest. Returns true if a request may have been completed.
    pub fn serve(&mut self) -> bool {
        if wait::serve_near() {
            self.owed = false;
            return true;
        }
        wait::poll_for(self)
    }

    /// Makes the tender carry out the submitted requests. Waiting does so too.
    pub fn publish(&mut self) {
        self.offer();
        if core::mem::take(&mut self.owed) {
            device::ring_doorbell();
        }
    }

    /// Publishes the submitted requests, and wakes the tender if it serves the devices while the guest runs.
    pub fn offer(&mut self) {
        if core::mem::take(&mut self.unpublished) {
            self.owed |= self.queue.show();
        }
        if self.owed && wait::is_served() {
            self.owed = false;
            device::ring_doorbell();
        }
    }
}

impl Source for Folder {
    fn show(&mut self) -> bool {
        self.offer();
        core::mem::take(&mut self.owed) || wait::is_trial()
    }

    fn ready(&mut self) -> bool {
        self.queue.has_completion()
    }

    fn watch(&self, watches: &mut Watches) {
        self.queue.watch_beat(watches);
        self.queue.watch(watches);
    }

    fn sleep(&mut self) -> bool {
        self.queue.sleep()
    }
}
