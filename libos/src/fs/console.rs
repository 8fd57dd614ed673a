//! Input of the console, for threads that wait for it while others run.
//!
//! A read of the console waits outside of the guest, and stops every thread. So only a program of one thread reads at once;
//! with several, a thread that finds no input sleeps as for any other file.

use super::Files;
use super::device::{Device, Devices, Input, Standard};
use super::handle::DescriptionKey;
use super::inode::Kind;
use super::ready::Ready;
use super::watch::wait;
use crate::errno::Errno;
use crate::syscall_result::SyscallResult;
use crate::user::Slice;
use husk::abi::stream::kind;

impl Files {
    /// Returns true if the console has input, or its input has ended. If not, an arrival will be reported from now on.
    pub(super) fn has_input(&mut self, devices: &mut dyn Devices) -> bool {
        if self.input != Input::There {
            self.input = if devices.console_ready() { Input::There } else { Input::Wanted };
        }
        self.input == Input::There
    }

    /// Returns true if a descriptor is standard input from a regular file.
    pub fn is_input_file(&self, descriptor: i32) -> bool {
        let node = self.node(descriptor).map(|node| &self.nodes[node].kind);
        matches!(node, Ok(Kind::Device(Device::Console(Standard { number: 0, kind: kind::REGULAR, .. }))))
    }

    /// Reports that the console has input.
    pub fn input_arrived(&mut self) {
        self.input = Input::There;
        let mut from = 0;
        while let Some(descriptor) = self.descriptors.next_used(from) {
            if let Ok(node) = self.node(descriptor)
                && let Kind::Device(Device::Console(_)) = self.nodes[node].kind
            {
                self.notify(node, Ready::IN);
            }
            from = descriptor as u64 + 1;
        }
        // A read that waits keeps its file, though the descriptor may be closed.
        self.ready_list.add_all();
    }

    /// Reads from the console; leaves the guest only if the read does not wait, or the program has nothing else to do.
    pub(super) fn read_console(
        &mut self,
        devices: &mut dyn Devices,
        key: DescriptionKey,
        into: Slice,
    ) -> SyscallResult {
        if let Some(result) = devices.console_result() {
            return Ok(result?);
        }
        let description = &self.descriptions[key];
        let (node, nonblocking) = (description.node, description.is_nonblocking());
        if into.is_empty() {
            return Ok(0);
        }
        if (nonblocking || !devices.may_wait()) && !self.has_input(devices) {
            return Err(if nonblocking { Errno::EAGAIN.into() } else { wait(node) });
        }
        self.input = Input::Unknown;
        if !self.nodes[node].watches.is_empty() {
            // Sets in which the console is edge-triggered look for more input, and so ask for its arrival to be reported.
            self.notify(node, Ready::IN);
        }
        devices.console_read(into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::epoll::Change;
    use crate::fs::inode::Time;
    use crate::fs::tests::Fakes;
    use linux_raw_sys::general::{EPOLLET, EPOLLIN};

    #[test]
    fn an_edge_triggered_set_asks_for_input_again_after_a_read() {
        let mut files = Files::new(b"/app".to_vec(), 1 << 20, Time::default(), || Ok(&[])).expect("memory");
        let mut fakes = Fakes { input: b"a".to_vec(), ..Fakes::default() };
        let set = files.epoll(0, Time::default()).expect("a descriptor");
        files.change_epoll(&mut fakes, set, 0, Change::Add(EPOLLIN | EPOLLET, 7)).expect("it can be waited for");
        let (node, mut bytes) = (files.epoll_node(set).expect("it is one"), [0u8; 64]);
        let into = bytes.as_mut_ptr() as u64;
        assert_eq!(files.take_events(&mut fakes, node, into, 4), Ok(1));
        let key = files.usable(0).expect("it is open");
        assert_eq!(files.read_console(&mut fakes, key, Slice::new(into, 8)).ok(), Some(1));
        assert_eq!(files.take_events(&mut fakes, node, into, 4), Ok(0));
        assert_eq!(files.input, Input::Wanted, "else no arrival is reported");
    }
}
