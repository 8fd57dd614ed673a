//! Folders: requests of a guest's queue, carried out on a directory or file of the host ([`husk_abi::folder`]).
//!
//! Requests of a folder are carried out one after the other, by the thread that serves the device; those that may wait long for the
//! host, by a thread of the folder's own (`worker`). Which these are: [`husk_abi::folder::SYNC`] and the like, and all while the
//! host's file system is slow (`pace`). The files are those beneath a directory that was opened before confinement (`tree`): every
//! path is walked by openat2(2) beneath it (`paths`, `ways`), and Landlock keeps the whole process there ([`crate::confine::files`]).

mod data;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod handles;
mod locks;
mod options;
mod order;
mod pace;
mod paths;
mod service;
mod system;
#[cfg(test)]
mod tests;
mod tree;
mod ways;
mod worker;

use super::device::{Device, NotSaved, Progress, State};
use super::ring::{Broken, Need, Operations, Queue};
use crate::confine::{Descriptors, Role};
use crate::memory::Memory;
use husk_abi::folder::{SEEK, STAT, WRITE};
use husk_abi::memory::Rights;
pub use options::Options;
use order::Order;
use pace::Pace;
use service::Service;
use std::os::fd::RawFd;
use std::sync::Arc;
pub use tree::Tree;
use worker::Worker;

/// Requests carried out before other devices are served.
const BATCH: usize = 16;

/// Need of memory of each operation.
fn need(operation: u16) -> Option<Need> {
    match operation {
        WRITE => Some(Need::Message(Rights::READ)),
        STAT..=SEEK => Some(Need::Message(Rights::READ | Rights::WRITE)),
        _ => None,
    }
}

/// A folder with its queue.
#[derive(Debug)]
pub struct Served {
    memory: Arc<Memory>,
    queue: Queue,
    /// What carries out requests; none while the worker has it.
    order: Option<Box<Order>>,
    pace: Pace,
    /// Exchange with the folder's thread, if the host has given one; and true if the thread has been started.
    worker: Option<Arc<Worker>>,
    has_thread: bool,
}

impl Served {
    /// Connects `tree` with its queue. The process has the identity that it keeps.
    pub fn new(tree: Tree, memory: &Arc<Memory>, place: husk_abi::device::Queue) -> Self {
        system::clear_mask();
        let pace = Pace::of(&tree);
        Self {
            memory: Arc::clone(memory),
            queue: Queue::of("request", Operations::Several(need), memory, place),
            order: Some(Box::new(Order::new(Service::new(tree)))),
            pace,
            worker: Worker::new().ok().map(Arc::new),
            has_thread: false,
        }
    }

    /// Completes the request that the worker has carried out.
    fn finish(&mut self) -> Result<Progress, Broken> {
        let Some(order) = self.worker.as_ref().and_then(|worker| worker.take_back()) else {
            return Ok(Progress::default());
        };
        // It is never dropped: its files may not be closed.
        self.order.insert(order).complete(&mut self.queue)?;
        Ok(Progress { done: true, wake: self.queue.publish(), ..Progress::default() })
    }

    /// Takes requests.
    fn take(&mut self) -> Result<Progress, Broken> {
        let mut progress = self.finish()?;
        for count in 1..=BATCH {
            let Some(order) = &mut self.order else { break };
            let Some(is_open) = order.take(&mut self.queue, &self.memory)? else { break };
            progress.done = true;
            let is_done = !is_open || (!order.waits() && self.pace.attempt(|| order.carry_out()).is_some());
            match (&self.worker, is_done) {
                (_, true) => {}
                (Some(worker), false) if self.has_thread => {
                    // It may take long, and the guest should not poll for it.
                    self.queue.beat();
                    self.order.take().into_iter().for_each(|order| worker.give(order));
                    break;
                }
                _ => order.carry_out(),
            }
            order.complete(&mut self.queue)?;
            progress.full = count == BATCH;
            progress.wake |= self.queue.publish();
        }
        Ok(progress)
    }
}

impl Device for Served {
    fn thread(&mut self) -> Option<Box<dyn FnOnce() + Send>> {
        let worker = Arc::clone(self.worker.as_ref()?);
        self.has_thread = true;
        Some(Box::new(move || worker.run()))
    }

    fn serve(&mut self) -> Result<Progress, Broken> {
        self.take()
    }

    fn sleep(&mut self) -> Result<bool, Broken> {
        // While the worker has a request, the device waits for its file instead of a ring.
        if self.order.is_none() { Ok(true) } else { self.queue.sleep() }
    }

    fn beat(&mut self) {
        self.queue.beat();
    }

    fn file(&self) -> (RawFd, i16) {
        match (&self.order, &self.worker) {
            (None, Some(worker)) => (worker.file(), libc::POLLIN),
            _ => (-1, 0),
        }
    }

    fn deadline_ns(&self) -> u64 {
        u64::MAX
    }

    fn list(&self, descriptors: &mut Descriptors) {
        if let Some(order) = &self.order {
            let tree = &order.service.tree;
            descriptors.add(Role::Folder, &tree.root);
            tree.only.iter().for_each(|(file, _)| descriptors.add(Role::Folder, file));
        }
        self.worker.iter().for_each(|worker| worker.list(descriptors));
    }

    fn drain(&mut self) -> Result<Progress, Broken> {
        self.finish()
    }

    fn is_idle(&self) -> bool {
        self.order.is_some()
    }

    fn state(&self) -> Result<State, NotSaved> {
        Err(NotSaved::Folder)
    }

    fn restore(&mut self, _: &State) -> Result<(), Broken> {
        Ok(())
    }
}
