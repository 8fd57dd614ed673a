//! Call with requests to folders in progress.

use super::cache::{Asked, Cache};
use super::mapped::Mapped;
use super::mapped::search::Search;
use super::server::Server;
use crate::errno::Errno;
use crate::fs::folder::{Ask, FolderFile, Memory, NO_DATA, Reply};
use crate::fs::mirror::{Mirror, Mirrored};
use crate::user::Slice;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use husk::abi::folder::{ALLOCATE, Answer, Attributes, Flags, Message, OPEN, Request, SET, WRITE};
use husk::abi::memory::PAGE;
use husk::abi::ring::{Descriptor, PARTS_MAXIMUM};
use linux_raw_sys::general::O_TRUNC;

/// Call of a thread.
#[derive(Debug)]
pub struct Call {
    /// Number of the thread; none if it does not wait any more.
    pub thread: Option<u32>,
    /// Memory that the call has mapped.
    pub kept: Option<u64>,
    /// Decision of the call: see [`super::Folders::decide`].
    pub decided: Option<bool>,
    /// Contents of the file that the call maps: kept, as requests about the file pass by there.
    pub mirror: Option<Mirrored>,
    /// Search for changes that have to be written back first; `None` once it is over.
    pub search: Option<Search>,
    /// True if the call waits until changes to its file are being written back.
    pub is_held: bool,
    /// True if the queue was full when the call last asked.
    pub has_no_room: bool,
    /// Number by which the tender knows the request.
    token: u64,
    /// Replies in order, and how many the call has got since its start.
    replies: Vec<Reply>,
    taken: usize,
    /// The last request.
    last: Asked,
    /// Request under way.
    pending: Option<Box<Pending>>,
}

/// Request under way, with its memory.
#[derive(Debug)]
pub struct Pending {
    message: Message,
    names: Vec<u8>,
    data: Memory,
    /// Inode number of the file, if the request is about an open one.
    number: Option<u64>,
}

impl Call {
    /// Returns a call of this thread, with a token that no other call has.
    pub fn new(thread: u32, token: u64) -> Self {
        let replies = Vec::new();
        Self {
            thread: Some(thread),
            kept: None,
            mirror: None,
            decided: None,
            search: Some(Search::default()),
            is_held: false,
            has_no_room: false,
            token,
            replies,
            taken: 0,
            last: Asked::default(),
            pending: None,
        }
    }

    /// Token of the request under way.
    pub fn token(&self) -> Option<u64> {
        self.pending.as_ref().map(|_| self.token)
    }

    /// Returns true if the call has made no request yet.
    pub fn is_new(&self) -> bool {
        self.replies.is_empty() && self.pending.is_none()
    }

    /// Returns true if a request is under way.
    pub fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// Returns true if the request under way uses any of these bytes.
    pub fn uses(&self, memory: Slice) -> bool {
        match self.pending.as_deref() {
            Some(Pending { data: Memory::Program(slices), .. }) => slices.iter().any(|slice| slice.meets(memory)),
            Some(Pending { data: Memory::Window(slice), .. }) => slice.meets(memory),
            _ => false,
        }
    }

    /// Returns true if the request under way may change pages of this file, from this one on, that the program can store to.
    pub fn changes(&self, mirror: &Mirror, from: u64) -> bool {
        let Some(Pending { message: Message { request, .. }, data, number, .. }) = self.pending.as_deref() else {
            return false;
        };
        let Asked { operation, folder, .. } = self.last;
        // A file that is named by its path may be any.
        if folder != mirror.folder || number.is_some_and(|number| number != mirror.number) {
            return false;
        }
        let Some(bytes) = changed(operation, request, data.length()) else { return false };
        mirror.is_tracked_in((bytes.start / PAGE).max(from)..bytes.end.div_ceil(PAGE))
    }

    /// Makes the call start again.
    pub fn rewind(&mut self) {
        self.taken = 0;
    }

    /// File that has been opened for the call, if it has not got the reply.
    pub fn unclaimed(&self) -> Option<FolderFile> {
        let Asked { folder, operation, .. } = self.last;
        let reply = self.replies.last().filter(|_| operation == OPEN && self.taken < self.replies.len())?;
        let is_open = reply.answer.error == 0 && self.pending.is_none();
        let Answer { handle, attributes: Attributes { number, .. }, .. } = reply.answer;
        is_open.then_some(FolderFile { folder, handle, number, format: 0, changes: true })
    }

    /// The next reply, if there is one.
    pub fn next(&mut self) -> Result<Option<Reply>, Errno> {
        let Some(reply) = self.replies.get(self.taken) else { return Ok(None) };
        let data = match &reply.data {
            Memory::Program(_) | Memory::Window(_) => Memory::Own(Vec::new()),
            Memory::Own(bytes) => {
                let mut copy = Vec::new();
                copy.try_reserve_exact(bytes.len()).map_err(|_| Errno::ENOMEM)?;
                copy.extend_from_slice(bytes);
                Memory::Own(copy)
            }
        };
        self.taken += 1;
        Ok(Some(Reply { answer: reply.answer, data }))
    }

    /// Takes the last reply, and forgets the others.
    pub fn take_last(&mut self) -> Option<Reply> {
        self.taken = 0;
        let last = self.replies.pop();
        self.replies.clear();
        last
    }

    /// Adds a reply of which the tender is not asked.
    pub fn reply(&mut self, answer: Answer) -> Result<(), Errno> {
        self.replies.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.replies.push(Reply { answer, data: NO_DATA });
        Ok(())
    }

    /// Submits a request to a folder. Returns true if there was room for it; ENOMEM if the folder's next completion may never come.
    pub fn submit(&mut self, folder: &mut Server, ask: Ask<'_>) -> Result<bool, Errno> {
        self.replies.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let [first, second] = ask.names;
        let mut names = Vec::new();
        names.try_reserve_exact(first.len() + second.len()).map_err(|_| Errno::ENOMEM)?;
        names.extend_from_slice(first);
        names.extend_from_slice(second);
        let lengths = [first.len() as u32, second.len() as u32];
        let request = Request { names: lengths, ..ask.request };
        let mut pending = Box::new(Pending {
            message: Message { request, ..Message::default() },
            names,
            data: ask.data,
            number: ask.number,
        });
        let mut parts = [Descriptor::default(); PARTS_MAXIMUM];
        let mut count = 0;
        let mut add = |address: u64, length: u64| {
            if length > 0
                && let Some(place) = parts.get_mut(count)
            {
                *place = part(ask.operation, self.token, address, length);
                count += 1;
            }
        };
        add((&raw mut pending.message) as u64, size_of::<Message>() as u64);
        add(pending.names.as_mut_ptr() as u64, pending.names.len() as u64);
        match &mut pending.data {
            Memory::Program(slices) => slices.iter().for_each(|slice| add(slice.address, slice.length)),
            Memory::Own(bytes) => add(bytes.as_mut_ptr() as u64, bytes.len() as u64),
            Memory::Window(slice) => add(slice.address, slice.length),
        }
        // SAFETY: the memory is the program's, and its thread waits for this call, or that of `pending`, which is kept until the
        // completion.
        #[expect(unsafe_code, reason = "the tender is handed the program's memory by address")]
        let submitted = unsafe { folder.submit(parts.get(..count).unwrap_or_default()) };
        if !submitted && folder.is_volume() {
            return Err(Errno::ENOMEM);
        }
        self.has_no_room = !submitted;
        if submitted {
            self.pending = Some(pending);
        }
        Ok(submitted)
    }

    /// Notes what the request under way has been.
    pub fn submitted(&mut self, asked: Asked) {
        self.last = asked;
    }

    /// Number of the folder of the last request.
    pub fn folder(&self) -> u32 {
        self.last.folder
    }

    /// Takes the answer to the request under way, which is kept if there is a cache.
    pub fn completed(&mut self, cache: Option<&mut Cache>, mapped: &Mapped) {
        let Some(mut pending) = self.pending.take() else { return };
        // The tender has written the answer.
        let message = (&raw const pending.message).cast::<Message>();
        // SAFETY: the message is alive, aligned, and any bytes are a valid one.
        #[expect(unsafe_code, reason = "the tender has written to the message")]
        let Message { mut answer, .. } = unsafe { message.read_volatile() };
        let Asked { folder, operation, .. } = self.last;
        if let Some(mirror) = mapped.concerned(folder, operation, pending.number, answer.attributes.number)
            && let Err(errno) = mirror.lock().completed(operation, &pending.message.request, &answer, &mut pending.data)
        {
            answer.error = errno.to_result().unsigned_abs() as u32;
        }
        if let Some(cache) = cache {
            let Request { names: [length, _], .. } = pending.message.request;
            let path = pending.names.get(..length as usize).unwrap_or_default();
            cache.answered(&self.last, &pending.message.request, path, &answer);
        }
        // `submit` has made room.
        self.replies.push(Reply { answer, data: pending.data });
    }
}

/// Part of a request.
pub fn part(operation: u16, token: u64, address: u64, length: u64) -> Descriptor {
    Descriptor { address, length: length as u32, operation, token, ..Descriptor::default() }
}

/// Bytes of its file that a request may change, with data of this length.
pub fn changed(operation: u16, request: &Request, length: u64) -> Option<Range<u64>> {
    match operation {
        WRITE if request.flags & Flags::APPEND.bits() == 0 => {
            Some(request.offset..request.offset.saturating_add(length))
        }
        WRITE => Some(0..u64::MAX),
        ALLOCATE => Some(request.offset..request.offset.saturating_add(request.count)),
        SET if request.flags & Flags::SIZE.bits() != 0 => Some(request.count..u64::MAX),
        OPEN if request.flags & O_TRUNC != 0 => Some(0..u64::MAX),
        _ => None,
    }
}
