//! Folders: requests of a guest's queue, carried out on a directory or file of the host ([`husk_abi::folder`]).
//!
//! The thread that serves the device carries out one request after the other, except that the guest's own thread leaves those that
//! wait for the disk of the host ([`husk_abi::folder::SYNC`]) to the device thread. The files are those beneath a directory that
//! was opened before confinement (`tree`): every path is walked by openat2(2) beneath it (`paths`), and Landlock keeps the whole
//! process there ([`crate::confine::files`]).

#![expect(unsafe_code, reason = "requests name guest memory by address")]

mod data;
mod handles;
mod options;
mod paths;
mod service;
mod system;
#[cfg(test)]
mod tests;
mod tree;

use super::copy;
use super::device::{Device, NotSaved, Progress, State};
use super::ring::{Broken, Need, Operations, Part, Parts, Queue, Request, Violation};
use crate::confine::{Descriptors, Role};
use crate::memory::Memory;
use husk_abi::folder::{Answer, Flags, Message, SEEK, STAT, SYNC, WRITE};
use husk_abi::memory::Rights;
use husk_abi::ring::status;
pub use options::Options;
use service::Service;
use std::mem::offset_of;
use std::os::fd::RawFd;
use std::sync::Arc;
pub use tree::Tree;
use zerocopy::{FromBytes, IntoBytes};

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
    parts: Parts,
    service: Service,
    /// Copies of a request and its names, kept for their memory.
    message: Vec<u8>,
    names: Vec<u8>,
}

impl Served {
    /// Connects `tree` with its queue. The process has the identity that it keeps.
    pub fn new(tree: Tree, memory: &Arc<Memory>, place: husk_abi::device::Queue) -> Self {
        system::clear_mask();
        Self {
            queue: Queue::of("request", Operations::Several(need), memory, place),
            memory: Arc::clone(memory),
            parts: Parts::default(),
            service: Service::new(tree),
            message: Vec::new(),
            names: Vec::new(),
        }
    }

    fn take(&mut self, may_block: bool) -> Result<Progress, Broken> {
        let mut progress = Progress::default();
        for count in 1..=BATCH {
            let Some(request) = self.queue.peek(&self.memory, &mut self.parts)? else { break };
            let message = self.read(&request)?;
            if !may_block && waits(request.operation, &message) {
                progress.blocks = true;
                break;
            }
            self.queue.take(&request);
            let answer = self.carry_out(&request, &message)?;
            self.write(&request, &answer)?;
            self.queue.complete(request.token, 0, status::DONE);
            progress.done = true;
            progress.full = count == BATCH;
            progress.wake |= self.queue.publish();
        }
        Ok(progress)
    }

    /// Copies the message of a request, which is its first part.
    fn read(&mut self, request: &Request) -> Result<Message, Broken> {
        let part = self.parts.iter().next().filter(|part| part.length == size_of::<Message>());
        let part = part.ok_or_else(|| {
            let length = self.parts.iter().next().map_or(0, |part| part.length as u32);
            self.queue.broken(Violation::Length(length))
        })?;
        self.message.clear();
        copy::from_part(part, &mut self.message).map_err(|_| self.unreachable(request))?;
        Ok(Message::read_from_bytes(&self.message).unwrap_or_default())
    }

    fn carry_out(&mut self, request: &Request, message: &Message) -> Result<Answer, Broken> {
        let [first, second] = message.request.names;
        let has_names = first > 0 || second > 0;
        self.names.clear();
        if has_names {
            let part =
                self.parts.iter().nth(1).filter(|part| part.length as u64 == u64::from(first) + u64::from(second));
            let part = part.filter(|part| part.length <= 2 * husk_abi::folder::NAME_MAXIMUM as usize);
            let Some(part) = part else {
                let error =
                    if first.max(second) > husk_abi::folder::NAME_MAXIMUM { libc::ENAMETOOLONG } else { libc::EINVAL };
                return Ok(Answer { error: error as u32, ..Answer::default() });
            };
            copy::from_part(part, &mut self.names).map_err(|_| self.unreachable(request))?;
        }
        let data = self.parts.vectors().get(1 + usize::from(has_names)..).unwrap_or_default();
        // SAFETY: `parts` names checked guest memory with the rights of the operation, which stays mapped; where the guest has
        // protected it, the kernel returns EFAULT.
        Ok(unsafe { self.service.answer(request.operation, &message.request, &self.names, data) })
    }

    /// Writes the answer into the message.
    fn write(&self, request: &Request, answer: &Answer) -> Result<(), Broken> {
        let Some(part) = self.parts.iter().next() else { return Ok(()) };
        // SAFETY: `read` found the part to be as long as a message.
        let start = unsafe { part.start.add(offset_of!(Message, answer)) };
        let place = Part { start, length: size_of::<Answer>() };
        copy::into_part(place, answer.as_bytes()).map_err(|_| self.unreachable(request))
    }

    fn unreachable(&self, request: &Request) -> Broken {
        self.queue.broken(Violation::Unreachable { address: request.address })
    }
}

/// Returns true for a request that waits for the host's disk.
fn waits(operation: u16, message: &Message) -> bool {
    operation == SYNC || (operation == WRITE && message.request.flags & Flags::DURABLE.bits() != 0)
}

impl Device for Served {
    fn serve(&mut self) -> Result<Progress, Broken> {
        self.take(true)
    }

    fn serve_nonblocking(&mut self) -> Result<Progress, Broken> {
        self.take(false)
    }

    fn sleep(&mut self) -> Result<bool, Broken> {
        self.queue.sleep()
    }

    fn beat(&mut self) {
        self.queue.beat();
    }

    fn file(&self) -> (RawFd, i16) {
        (-1, 0)
    }

    fn deadline_ns(&self) -> u64 {
        u64::MAX
    }

    fn list(&self, descriptors: &mut Descriptors) {
        descriptors.add(Role::Folder, &self.service.tree.root);
        self.service.tree.only.iter().for_each(|(file, _)| descriptors.add(Role::Folder, file));
    }

    fn state(&self) -> Result<State, NotSaved> {
        Err(NotSaved::Folder)
    }

    fn restore(&mut self, _: &State) -> Result<(), Broken> {
        Ok(())
    }
}
