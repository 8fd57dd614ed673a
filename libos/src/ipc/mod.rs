//! System V inter-process communication within the program: message queues, sets of semaphores, shared memory (sysvipc(7)).
//!
//! Objects of each sort are in a [`Table`], found by a number, which no later object gets for long, or by a key that the program
//! chooses. Calls that wait are restarted when the object has changed; those that wait when it is removed get EIDRM.

pub mod messages;
pub mod segments;
pub mod semaphores;

use crate::errno::Errno;
use crate::identity::Caller;
use alloc::vec::Vec;
use messages::Queue;
use segments::Segment;
use semaphores::Set;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `IPC_PRIVATE`: the key of a new object that no other call finds.
pub const PRIVATE: i32 = 0;
/// Flags of calls that find or make an object, and of those that would wait.
pub const CREATE: u32 = 0o1000;
/// See [`CREATE`].
pub const EXCLUSIVE: u32 = 0o2000;
/// See [`CREATE`].
pub const NO_WAIT: u32 = 0o4000;
/// Commands of calls that control an object: removes it.
pub const REMOVE: u32 = 0;
/// Changes its permissions.
pub const SET: u32 = 1;
/// Returns its state.
pub const STAT: u32 = 2;

/// Most objects of a sort, as on Linux for queues and semaphores; numbers are this times a sequence number, plus the place.
const OBJECTS_MAXIMUM: usize = 32000;
const PLACES: u32 = 32768;
/// Sequence numbers before they start again.
const SEQUENCES: u32 = 1 << 15;

/// All objects of the program.
#[derive(Debug, Default)]
pub struct Ipc {
    /// Message queues.
    pub queues: Table<Queue>,
    /// Sets of semaphores.
    pub sets: Table<Set>,
    /// Segments of shared memory.
    pub segments: Table<Segment>,
}

/// Owner and permissions of an object: the kernel's `struct ipc64_perm`. Permissions refuse nothing, as those of files.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Permissions {
    /// Key, or [`PRIVATE`].
    pub key: i32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// User that made the object.
    pub creator: u32,
    /// Group of that user.
    pub creator_group: u32,
    /// Permission bits, and marks of segments.
    pub mode: u32,
    /// Sequence number.
    pub sequence: u16,
    padding: [u8; 6],
    reserved: [u64; 2],
}

/// An object.
#[derive(Debug)]
pub struct Object<T> {
    /// Owner and permissions.
    pub permissions: Permissions,
    /// Seconds since 1970 at which it was made or last changed by a control call.
    pub changed: i64,
    /// The object.
    pub value: T,
}

/// Objects of one sort.
#[derive(Debug)]
pub struct Table<T> {
    places: Vec<Option<Object<T>>>,
    sequence: u32,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { places: Vec::new(), sequence: 0 }
    }
}

impl<T> Table<T> {
    /// Finds the object with a key, or makes one: as msgget(2) and its relatives do. `fits` checks an object that exists.
    pub fn get(
        &mut self,
        key: i32,
        flags: u32,
        (caller, seconds): (Caller, i64),
        fits: impl FnOnce(&T) -> Result<(), Errno>,
        make: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<u32, Errno> {
        let has_key = |object: &Option<Object<T>>| object.as_ref().is_some_and(|object| object.permissions.key == key);
        if key != PRIVATE
            && let Some(place) = self.places.iter().position(has_key)
            && let Some(Some(object)) = self.places.get(place)
        {
            if flags & (CREATE | EXCLUSIVE) == CREATE | EXCLUSIVE {
                return Err(Errno::EEXIST);
            }
            fits(&object.value)?;
            return Ok(number(place, object.permissions.sequence));
        }
        if key != PRIVATE && flags & CREATE == 0 {
            return Err(Errno::ENOENT);
        }
        let place = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        if place >= OBJECTS_MAXIMUM {
            return Err(Errno::ENOSPC);
        }
        let value = make()?;
        if place == self.places.len() {
            self.places.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            self.places.push(None);
        }
        let (user, group) = caller.files;
        let sequence = (self.sequence % SEQUENCES) as u16;
        self.sequence = self.sequence.wrapping_add(1);
        let permissions = Permissions {
            key,
            user,
            group,
            creator: user,
            creator_group: group,
            mode: flags & 0o777,
            sequence,
            ..Permissions::default()
        };
        if let Some(free) = self.places.get_mut(place) {
            *free = Some(Object { permissions, changed: seconds, value });
        }
        Ok(number(place, sequence))
    }

    /// The object with this number; EINVAL if there is none.
    pub fn find(&mut self, id: u32) -> Result<&mut Object<T>, Errno> {
        let object = self.places.get_mut((id % PLACES) as usize).and_then(Option::as_mut).ok_or(Errno::EINVAL)?;
        if u32::from(object.permissions.sequence) == id / PLACES { Ok(object) } else { Err(Errno::EIDRM) }
    }

    /// Removes the object with this number.
    pub fn remove(&mut self, id: u32) -> Result<Object<T>, Errno> {
        self.find(id)?;
        self.places.get_mut((id % PLACES) as usize).and_then(Option::take).ok_or(Errno::EINVAL)
    }

    /// All objects, with their numbers.
    pub fn all(&self) -> impl Iterator<Item = (u32, &Object<T>)> {
        let numbered = self.places.iter().enumerate();
        numbered.filter_map(|(place, object)| object.as_ref().map(|o| (number(place, o.permissions.sequence), o)))
    }
}

fn number(place: usize, sequence: u16) -> u32 {
    u32::from(sequence) * PLACES + place as u32
}

impl<T> Object<T> {
    /// `IPC_SET`: takes owner, group and permission bits of these.
    pub fn set(&mut self, to: &Permissions, seconds: i64) {
        (self.permissions.user, self.permissions.group) = (to.user, to.group);
        self.permissions.mode = self.permissions.mode & !0o777 | to.mode & 0o777;
        self.changed = seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(table: &mut Table<u8>, key: i32, flags: u32) -> Result<u32, Errno> {
        table.get(
            key,
            flags,
            (Caller::default(), 0),
            |value| if *value < 9 { Ok(()) } else { Err(Errno::ENXIO) },
            || Ok(7),
        )
    }

    #[test]
    fn an_object_is_found_by_its_key_or_made() {
        let mut table = Table::default();
        assert_eq!(get(&mut table, 5, 0), Err(Errno::ENOENT));
        let made = get(&mut table, 5, CREATE | EXCLUSIVE).expect("new");
        assert_eq!((get(&mut table, 5, CREATE), get(&mut table, 5, 0)), (Ok(made), Ok(made)));
        assert_eq!(get(&mut table, 5, CREATE | EXCLUSIVE), Err(Errno::EEXIST));
        assert_ne!(get(&mut table, PRIVATE, 0), get(&mut table, PRIVATE, 0));
        table.find(made).expect("there").value = 9;
        assert_eq!(get(&mut table, 5, 0), Err(Errno::ENXIO), "it does not fit");
    }

    #[test]
    fn objects_are_found_however_many_there_have_been() {
        let mut table = Table::default();
        for round in 0..2 * SEQUENCES + 5 {
            let made = get(&mut table, PRIVATE, 0).expect("new");
            assert!(table.find(made).is_ok() && table.remove(made).is_ok(), "{round}");
        }
    }

    #[test]
    fn a_removed_object_has_a_number_that_the_next_one_does_not_get() {
        let mut table = Table::default();
        let first = get(&mut table, 5, CREATE).expect("new");
        table.remove(first).expect("there");
        assert_eq!(table.find(first).map(|_| ()), Err(Errno::EINVAL));
        let second = get(&mut table, 5, CREATE).expect("new");
        assert_ne!(first, second);
        assert_eq!(table.find(first).map(|_| ()), Err(Errno::EIDRM));
        assert_eq!(table.all().map(|(id, _)| id).collect::<Vec<_>>(), [second]);
    }
}
