//! Sockets with output that could not leave: for want of room in the device, or of a neighbour's hardware address. Each is retried
//! when that changes, not before: with thousands of half-open connections to machines that do not exist (SYN flood), anything else
//! would take all of the guest's time.

use alloc::vec::Vec;
use core::net::IpAddr;
use hashbrown::HashMap;

/// Entries beyond twice the number of connections that are kept: some are of sockets that have gone.
const SPARE: usize = 1024;

/// What a socket waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Room in the device.
    Room,
    /// The hardware address of a neighbour; of any, if it is unspecified.
    Neighbour(IpAddr),
}

/// The sockets, by number.
#[derive(Debug, Default)]
pub struct Waiting {
    room: Vec<u32>,
    neighbours: HashMap<IpAddr, Vec<u32>>,
    /// Entries in `neighbours`.
    count: usize,
}

impl Waiting {
    /// Adds a socket. Returns false without memory.
    pub fn add(&mut self, slot: u32, want: Want) -> bool {
        let list = match want {
            Want::Room => &mut self.room,
            Want::Neighbour(neighbour) => {
                if self.neighbours.try_reserve(1).is_err() {
                    return false;
                }
                self.neighbours.entry(neighbour).or_default()
            }
        };
        let added = list.try_reserve(1).is_ok();
        if added {
            list.push(slot);
            self.count += usize::from(want != Want::Room);
        }
        added
    }

    /// Returns true if there is no socket.
    pub fn is_empty(&self) -> bool {
        self.room.is_empty() && self.neighbours.is_empty()
    }

    /// Takes the sockets that wait for room.
    pub fn take_room(&mut self) -> Vec<u32> {
        core::mem::take(&mut self.room)
    }

    /// Takes the sockets that wait for `neighbour`.
    pub fn take_neighbour(&mut self, neighbour: IpAddr) -> Vec<u32> {
        let taken = self.neighbours.remove(&neighbour).unwrap_or_default();
        self.count -= taken.len();
        taken
    }

    /// Takes all sockets that wait for neighbours, if too many entries are of sockets that have gone, there being `count`
    /// connections.
    pub fn take_overdue(&mut self, count: usize) -> Vec<u32> {
        if self.count <= 2 * count + SPARE {
            return Vec::new();
        }
        self.count = 0;
        core::mem::take(&mut self.neighbours).into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_taken_by_what_they_wait_for() {
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut waiting = Waiting::default();
        for (slot, want) in [(1, Want::Neighbour(a)), (2, Want::Room), (3, Want::Neighbour(b)), (4, Want::Neighbour(a))]
        {
            assert!(waiting.add(slot, want));
        }
        assert_eq!((waiting.take_neighbour(a), waiting.take_room()), (vec![1, 4], vec![2]));
        assert!(!waiting.is_empty() && waiting.take_neighbour(a).is_empty());
        assert_eq!(waiting.take_neighbour(b), [3]);
        assert!(waiting.is_empty());
    }

    #[test]
    fn entries_of_sockets_that_have_gone_do_not_pile_up() {
        let mut waiting = Waiting::default();
        (0..SPARE as u32 + 2)
            .for_each(|slot| assert!(waiting.add(slot, Want::Neighbour([10, 0, 0, slot as u8].into()))));
        assert!(waiting.take_overdue(1).is_empty());
        assert!(waiting.add(0, Want::Neighbour([10, 0, 0, 1].into())));
        assert_eq!(waiting.take_overdue(1).len(), SPARE + 3);
        assert!(waiting.is_empty() && waiting.take_overdue(0).is_empty());
    }
}
