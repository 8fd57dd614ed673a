//! Users and groups of a thread, by the rules of credentials(7): a program that has given up root gets it back only where Linux
//! would let it.
//!
//! As on Linux, each thread has an identity of its own, and a C library changes those of all threads alike (nptl(7)). Permissions
//! of files refuse nothing ([`crate::fs`]).

pub mod capabilities;

use crate::errno::Errno;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capabilities::{Capabilities, SETGID, SETUID};

/// Argument that leaves an ID as it is.
pub const KEPT: u32 = u32::MAX;
/// Most supplementary groups.
pub const GROUPS_MAXIMUM: u64 = 65_536;

/// IDs of one kind: of users, or of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Real ID.
    pub real: u32,
    /// Effective ID.
    pub effective: u32,
    /// Saved ID.
    pub saved: u32,
    /// ID for files: the effective one, unless setfsuid(2) or setfsgid(2) has set another.
    pub files: u32,
}

impl Ids {
    /// The real, the effective and the saved ID.
    pub fn three(self) -> [u32; 3] {
        [self.real, self.effective, self.saved]
    }

    fn of(three: [u32; 3]) -> Self {
        let [real, effective, saved] = three;
        Self { real, effective, saved, files: effective }
    }

    /// setuid(2) or setgid(2).
    fn set(self, to: u32, privileged: bool) -> Result<Self, Errno> {
        match to {
            KEPT => Err(Errno::EINVAL),
            _ if privileged => Ok(Self::of([to; 3])),
            _ if to == self.real || to == self.saved => Ok(Self::of([self.real, to, self.saved])),
            _ => Err(Errno::EPERM),
        }
    }

    /// setreuid(2) or setregid(2).
    fn set_two(self, [real, effective]: [u32; 2], privileged: bool) -> Result<Self, Errno> {
        let may_be_real = privileged || [KEPT, self.real, self.effective].contains(&real);
        let may_be_effective = privileged || effective == KEPT || self.three().contains(&effective);
        if !may_be_real || !may_be_effective {
            return Err(Errno::EPERM);
        }
        let to = [or(real, self.real), or(effective, self.effective)];
        let saves = real != KEPT || (effective != KEPT && effective != self.real);
        Ok(Self::of([to[0], to[1], if saves { to[1] } else { self.saved }]))
    }

    /// setresuid(2) or setresgid(2).
    fn set_three(self, to: [u32; 3], privileged: bool) -> Result<Self, Errno> {
        let may_be = |id: &u32| *id == KEPT || self.three().contains(id);
        let keeps = |id: u32, before: u32| id == KEPT || id == before;
        let keeps_effective = to[1] == KEPT || (to[1] == self.effective && to[1] == self.files);
        if keeps(to[0], self.real) && keeps_effective && keeps(to[2], self.saved) {
            // As on Linux since 6.3: the ID for files stays as well.
            return Ok(self);
        }
        if !privileged && !to.iter().all(may_be) {
            return Err(Errno::EPERM);
        }
        Ok(Self::of([or(to[0], self.real), or(to[1], self.effective), or(to[2], self.saved)]))
    }

    /// setfsuid(2) or setfsgid(2), which report no error.
    fn set_files(self, to: u32, privileged: bool) -> Self {
        let may_be = to != KEPT && (privileged || to == self.files || self.three().contains(&to));
        Self { files: if may_be { to } else { self.files }, ..self }
    }
}

fn or(id: u32, before: u32) -> u32 {
    if id == KEPT { before } else { id }
}

/// Change of the IDs of one kind, by the calls named like it.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// setuid(2), setgid(2).
    One(u32),
    /// setreuid(2), setregid(2).
    Two([u32; 2]),
    /// setresuid(2), setresgid(2).
    Three([u32; 3]),
}

impl Change {
    fn of(self, ids: Ids, privileged: bool) -> Result<Ids, Errno> {
        match self {
            Self::One(to) => ids.set(to, privileged),
            Self::Two(to) => ids.set_two(to, privileged),
            Self::Three(to) => ids.set_three(to, privileged),
        }
    }
}

/// Users, groups and capabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Users.
    pub users: Ids,
    /// Groups.
    pub groups: Ids,
    /// Supplementary groups, if there are any: see [`Identity::others`].
    others: Option<Arc<[u32]>>,
    /// Capabilities.
    pub capabilities: Capabilities,
    /// `PR_SET_NO_NEW_PRIVS` of prctl(2), which cannot be taken back.
    pub no_new_privileges: bool,
}

/// Identity at the start of a program.
const ROOT: Identity = {
    const IDS: Ids = Ids { real: 0, effective: 0, saved: 0, files: 0 };
    Identity { users: IDS, groups: IDS, others: None, capabilities: Capabilities::ROOT, no_new_privileges: false }
};

/// Users and groups, each a pair, of the thread that makes a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Owner of files that it makes.
    pub files: (u32, u32),
    /// Sender of messages with credentials.
    pub real: (u32, u32),
    /// Peer of sockets.
    pub effective: (u32, u32),
}

impl Default for Identity {
    fn default() -> Self {
        ROOT
    }
}

impl Identity {
    /// User and group of the thread, as files and sockets note them.
    pub fn caller(&self) -> Caller {
        let Self { users, groups, .. } = self;
        Caller {
            files: (users.files, groups.files),
            real: (users.real, groups.real),
            effective: (users.effective, groups.effective),
        }
    }

    /// Supplementary groups, in ascending order.
    pub fn others(&self) -> &[u32] {
        self.others.as_deref().unwrap_or_default()
    }

    /// setgroups(2): EPERM without the right to it, ENOMEM without memory.
    pub fn set_others(&mut self, mut groups: Vec<u32>) -> Result<(), Errno> {
        self.check_may_set_groups()?;
        groups.sort_unstable();
        // Room for the copy, with its counters; nothing else allocates in between.
        let mut room = Vec::<u32>::new();
        room.try_reserve_exact(groups.len() + 4).map_err(|_| Errno::ENOMEM)?;
        drop(room);
        self.others = (!groups.is_empty()).then(|| Arc::from(groups));
        Ok(())
    }

    /// Changes the users, and the capabilities with them.
    pub fn change_users(&mut self, change: Change) -> Result<(), Errno> {
        let to = change.of(self.users, self.capabilities.has(SETUID))?;
        self.capabilities.users_changed(self.users.three(), to.three());
        self.users = to;
        Ok(())
    }

    /// Changes the groups.
    pub fn change_groups(&mut self, change: Change) -> Result<(), Errno> {
        self.groups = change.of(self.groups, self.capabilities.has(SETGID))?;
        Ok(())
    }

    /// setfsuid(2): returns the user for files so far.
    pub fn set_files_user(&mut self, to: u32) -> u32 {
        let before = self.users.files;
        self.users = self.users.set_files(to, self.capabilities.has(SETUID));
        self.capabilities.files_user_changed(before, self.users.files);
        before
    }

    /// setfsgid(2): returns the group for files so far.
    pub fn set_files_group(&mut self, to: u32) -> u32 {
        let before = self.groups.files;
        self.groups = self.groups.set_files(to, self.capabilities.has(SETGID));
        before
    }

    /// EPERM unless the program may set its supplementary groups.
    pub fn check_may_set_groups(&self) -> Result<(), Errno> {
        if self.capabilities.has(SETGID) { Ok(()) } else { Err(Errno::EPERM) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Identity after these changes of the users, with the last result.
    fn after(changes: &[Change]) -> ([u32; 3], Result<(), Errno>) {
        let mut identity = Identity::default();
        let last = changes.iter().map(|change| identity.change_users(*change)).last();
        (identity.users.three(), last.expect("a change"))
    }

    #[test]
    fn root_that_is_given_up_does_not_come_back() {
        use Change::*;
        assert_eq!(after(&[One(1000)]), ([1000; 3], Ok(())));
        assert_eq!(after(&[One(1000), One(0)]), ([1000; 3], Err(Errno::EPERM)));
        assert_eq!(after(&[One(1000), One(1000)]), ([1000; 3], Ok(())));
        assert_eq!(after(&[Three([1000, 1000, KEPT]), Two([0, KEPT])]), ([1000, 1000, 0], Err(Errno::EPERM)));
        assert_eq!(after(&[One(KEPT)]), ([0; 3], Err(Errno::EINVAL)));
    }

    #[test]
    fn saved_root_comes_back() {
        use Change::*;
        assert_eq!(after(&[Three([KEPT, 1000, KEPT])]), ([0, 1000, 0], Ok(())));
        assert_eq!(after(&[Three([1000, 1000, KEPT]), One(0)]), ([1000, 0, 0], Ok(())));
        assert_eq!(after(&[Three([1000, 1000, KEPT]), Three([KEPT, 0, KEPT])]), ([1000, 0, 0], Ok(())));
        assert_eq!(after(&[Three([1000, 1000, KEPT]), Two([KEPT, 0])]), ([1000, 0, 0], Ok(())));
    }

    #[test]
    fn setreuid_saves_what_it_makes_effective() {
        use Change::*;
        assert_eq!(after(&[Two([KEPT, 1000])]), ([0, 1000, 1000], Ok(())));
        assert_eq!(after(&[Two([1000, KEPT])]), ([1000, 0, 0], Ok(())));
        assert_eq!(after(&[Two([KEPT, 0])]), ([0, 0, 0], Ok(())));
        assert_eq!(after(&[Two([1000, 1001]), Two([1001, 1000])]), ([1001, 1000, 1000], Ok(())));
        assert_eq!(after(&[Two([1000, 1001]), Two([1001, 1000]), Two([1001, 1000])]), ([1001, 1000, 1000], Ok(())));
    }

    #[test]
    fn groups_are_sorted_and_set_by_right_only() {
        let mut identity = Identity::default();
        assert_eq!((identity.set_others(vec![3, 1, 2]), identity.others()), (Ok(()), &[1, 2, 3][..]));
        assert_eq!(identity.change_users(Change::One(1000)), Ok(()));
        assert_eq!((identity.set_others(vec![]), identity.others()), (Err(Errno::EPERM), &[1, 2, 3][..]));
    }

    #[test]
    fn files_may_have_a_user_of_their_own() {
        let mut identity = Identity::default();
        assert_eq!((identity.set_files_user(7), identity.set_files_user(KEPT)), (0, 7));
        assert_eq!((identity.users.files, identity.users.effective), (7, 0));
        assert!(identity.capabilities.effective & 1 == 0 && identity.capabilities.has(SETUID));
        assert_eq!(identity.change_users(Change::Three([KEPT, KEPT, 0])), Ok(()));
        assert_eq!(identity.users.files, 7, "nothing was changed");
        assert_eq!((identity.set_files_user(0), identity.capabilities.effective), (7, capabilities::ALL));
        assert_eq!(identity.change_users(Change::One(1000)), Ok(()));
        assert_eq!((identity.set_files_user(0), identity.users.files), (1000, 1000));
        assert_eq!((identity.set_files_group(5), identity.groups.files), (0, 0));
    }
}
