//! Request of a guest with all that it takes to carry it out, in the hands of one thread.

#![expect(unsafe_code, reason = "requests name guest memory by address")]

use super::service::Service;
use crate::devices::copy;
use crate::devices::ring::{Broken, Part, Parts, Queue, Request, Violation};
use crate::memory::Memory;
use husk_abi::folder::{Answer, Flags, Message, NAME_MAXIMUM, SYNC, WRITE};
use husk_abi::ring::status;
use std::mem::offset_of;
use zerocopy::{FromBytes, IntoBytes};

/// The service of a folder, with the request that it carries out.
#[derive(Debug)]
pub struct Order {
    /// The service.
    pub service: Service,
    parts: Parts,
    /// The request as it is in the ring, once there has been one.
    request: Option<Request>,
    message: Message,
    names: Vec<u8>,
    answer: Answer,
    /// Copy of the message, kept for its memory.
    bytes: Vec<u8>,
}

impl Order {
    /// Returns an order without a request.
    pub fn new(service: Service) -> Self {
        Self {
            service,
            parts: Parts::default(),
            request: None,
            message: Message::default(),
            names: Vec::new(),
            answer: Answer::default(),
            bytes: Vec::new(),
        }
    }

    /// Takes the next request, if there is one. Returns true if it is to be carried out, and is not answered already.
    pub fn take(&mut self, queue: &mut Queue, memory: &Memory) -> Result<Option<bool>, Broken> {
        let Some(request) = queue.next(memory, &mut self.parts)? else { return Ok(None) };
        self.request = Some(request);
        let part = self.parts.iter().next().filter(|part| part.length == size_of::<Message>());
        let part = part.ok_or_else(|| {
            let length = self.parts.iter().next().map_or(0, |part| part.length as u32);
            queue.broken(Violation::Length(length))
        })?;
        self.bytes.clear();
        copy::from_part(part, &mut self.bytes).map_err(|_| unreachable(queue, &request))?;
        self.message = Message::read_from_bytes(&self.bytes).unwrap_or_default();
        self.answer = Answer::default();
        self.take_names(queue, &request).map(Some)
    }

    /// Copies the names. Returns false if they are wrong, with the answer.
    fn take_names(&mut self, queue: &Queue, request: &Request) -> Result<bool, Broken> {
        let [first, second] = self.message.request.names;
        self.names.clear();
        if first == 0 && second == 0 {
            return Ok(true);
        }
        let length = u64::from(first) + u64::from(second);
        let part = self.parts.iter().nth(1).filter(|part| part.length as u64 == length);
        let Some(part) = part.filter(|part| part.length <= 2 * NAME_MAXIMUM as usize) else {
            let error = if first.max(second) > NAME_MAXIMUM { libc::ENAMETOOLONG } else { libc::EINVAL };
            self.answer.error = error as u32;
            return Ok(false);
        };
        copy::from_part(part, &mut self.names).map_err(|_| unreachable(queue, request))?;
        Ok(true)
    }

    /// Returns true if the request waits for the host's disk.
    pub fn waits(&self) -> bool {
        let is_durable = self.message.request.flags & Flags::DURABLE.bits() != 0;
        self.request.is_some_and(|request| request.operation == SYNC || (request.operation == WRITE && is_durable))
    }

    /// Carries out the request.
    pub fn carry_out(&mut self) {
        let Some(request) = &self.request else { return };
        let data = self.parts.vectors().get(1 + usize::from(!self.names.is_empty())..).unwrap_or_default();
        // SAFETY: `parts` names checked guest memory with the rights of the operation, which stays mapped; where the guest has
        // protected it, the kernel returns EFAULT.
        self.answer = unsafe { self.service.answer(request.operation, &self.message.request, &self.names, data) };
    }

    /// Writes the answer into the message, and completes the request.
    pub fn complete(&mut self, queue: &mut Queue) -> Result<(), Broken> {
        let (Some(request), Some(part)) = (self.request.take(), self.parts.iter().next()) else { return Ok(()) };
        // SAFETY: `take` found the part to be as long as a message.
        let start = unsafe { part.start.add(offset_of!(Message, answer)) };
        let place = Part { start, length: size_of::<Answer>() };
        copy::into_part(place, self.answer.as_bytes()).map_err(|_| unreachable(queue, &request))?;
        queue.complete(request.token, 0, status::DONE);
        Ok(())
    }
}

fn unreachable(queue: &Queue, request: &Request) -> Broken {
    queue.broken(Violation::Unreachable { address: request.address })
}
