//! Files of shared memory without a name: segments of System V ([`crate::ipc`]).

use super::Files;
use super::data::Data;
use super::handle::NodeKey;
use super::inode::{Kind, Mount, Time};
use super::mapping::Wish;
use crate::errno::Errno;
use husk::abi::memory::Rights;

impl Files {
    /// Makes a segment of `size` bytes. The caller gets a reference, for [`Files::end_segment`].
    pub fn make_segment(&mut self, size: u64, now: Time) -> Result<NodeKey, Errno> {
        let node = self.add_node(Kind::Regular(Data::default()), Mount::Nameless, 0o600, now)?;
        if let Kind::Regular(data) = &mut self.nodes[node].kind {
            data.set_size(&mut self.quota, size);
        }
        Ok(node)
    }

    /// Maps a whole segment.
    pub fn attach(&mut self, node: NodeKey, size: u64, rights: Rights, wish: Wish, now: Time) -> Result<u64, Errno> {
        self.map_node((node, None), true, 0..size, rights, wish, now)
    }

    /// The file whose mapping begins at an address.
    pub fn attached_at(&self, address: u64) -> Option<NodeKey> {
        self.mappings.starting_at(address)
    }

    /// Number of mappings of a segment, by those of its first page.
    pub fn attachments(&self, node: NodeKey) -> u64 {
        self.mappings.count_of(node)
    }

    /// Drops the caller's reference: mappings keep the memory.
    pub fn end_segment(&mut self, node: NodeKey) {
        self.release(node);
    }
}
