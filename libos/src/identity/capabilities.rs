//! Capabilities (capabilities(7)): the sets of the program, and how they follow from changes of its users. They are remembered and
//! reported; beyond calls that change the identity itself, nothing depends on them.

use crate::errno::Errno;

/// Number of the last capability, `CAP_CHECKPOINT_RESTORE`.
pub const LAST: u64 = 40;
/// Set of all capabilities.
pub const ALL: u64 = (1 << (LAST + 1)) - 1;
/// `CAP_SETGID`.
pub const SETGID: u64 = 1 << 6;
/// `CAP_SETUID`.
pub const SETUID: u64 = 1 << 7;
/// `CAP_SETPCAP`.
pub const SETPCAP: u64 = 1 << 8;
/// Capabilities that depend on the user for files: CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, LINUX_IMMUTABLE, MKNOD
/// and MAC_OVERRIDE.
const ABOUT_FILES: u64 = 0b1_1111 | 1 << 9 | 1 << 27 | 1 << 32;

/// Securebits (capabilities(7)): each has a lock, one bit higher.
pub mod secure {
    /// `SECBIT_NO_SETUID_FIXUP`: changes of the users leave the capabilities alone.
    pub const NO_FIXUP: u32 = 1 << 2;
    /// `SECBIT_KEEP_CAPS`.
    pub const KEEP: u32 = 1 << 4;
    /// `SECBIT_KEEP_CAPS_LOCKED`.
    pub const KEEP_LOCKED: u32 = 1 << 5;
    /// `SECBIT_NO_CAP_AMBIENT_RAISE`.
    pub const NO_AMBIENT: u32 = 1 << 6;
    /// All bits that do not lock others.
    pub const SWITCHES: u32 = 0x55;
    /// All bits.
    pub const ALL: u32 = 0xff;
}

/// Sets of capabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Those that the program may make effective.
    pub permitted: u64,
    /// Those that are in force.
    pub effective: u64,
    /// Those that a started program could keep.
    pub inheritable: u64,
    /// Those that may be added to `inheritable`.
    pub bounding: u64,
    /// Those that a started program without privileges keeps.
    pub ambient: u64,
    /// Securebits.
    pub secure: u32,
}

impl Capabilities {
    /// The capabilities of root.
    pub const ROOT: Self =
        Self { permitted: ALL, effective: ALL, inheritable: 0, bounding: ALL, ambient: 0, secure: 0 };

    /// Returns true if this capability is in force.
    pub fn has(&self, capability: u64) -> bool {
        self.effective & capability != 0
    }

    /// capset(2).
    pub fn set(&mut self, effective: u64, permitted: u64, inheritable: u64) -> Result<(), Errno> {
        let [effective, permitted, inheritable] = [effective, permitted, inheritable].map(|set| set & ALL);
        let within = |set: u64, other: u64| set & !other == 0;
        let may_inherit = self.has(SETPCAP) || within(inheritable, self.inheritable | self.permitted);
        let bounded = within(inheritable, self.inheritable | self.bounding);
        if !may_inherit || !bounded || !within(permitted, self.permitted) || !within(effective, permitted) {
            return Err(Errno::EPERM);
        }
        (self.effective, self.permitted, self.inheritable) = (effective, permitted, inheritable);
        self.ambient &= permitted & inheritable;
        Ok(())
    }

    /// Follows a change of the real, effective and saved users.
    pub fn users_changed(&mut self, before: [u32; 3], after: [u32; 3]) {
        if self.secure & secure::NO_FIXUP != 0 {
            return;
        }
        if before.contains(&0) && !after.contains(&0) {
            if self.secure & secure::KEEP == 0 {
                (self.permitted, self.effective) = (0, 0);
            }
            self.ambient = 0;
        }
        match (before[1], after[1]) {
            (0, 1..) => self.effective = 0,
            (1.., 0) => self.effective = self.permitted,
            _ => {}
        }
    }

    /// Follows a change of the user for files by setfsuid(2).
    pub fn files_user_changed(&mut self, before: u32, after: u32) {
        match (before, after) {
            _ if self.secure & secure::NO_FIXUP != 0 => {}
            (0, 1..) => self.effective &= !ABOUT_FILES,
            (1.., 0) => self.effective |= self.permitted & ABOUT_FILES,
            _ => {}
        }
    }

    /// `PR_CAPBSET_DROP` of prctl(2).
    pub fn drop_bound(&mut self, number: u64) -> Result<(), Errno> {
        if !self.has(SETPCAP) {
            return Err(Errno::EPERM);
        }
        self.bounding &= !checked(number)?;
        Ok(())
    }

    /// `PR_CAP_AMBIENT_RAISE` of prctl(2).
    pub fn raise_ambient(&mut self, number: u64) -> Result<(), Errno> {
        let set = checked(number)?;
        if self.permitted & self.inheritable & set == 0 || self.secure & secure::NO_AMBIENT != 0 {
            return Err(Errno::EPERM);
        }
        self.ambient |= set;
        Ok(())
    }

    /// `PR_SET_KEEPCAPS` of prctl(2).
    pub fn keep(&mut self, keep: u64) -> Result<(), Errno> {
        if keep > 1 {
            return Err(Errno::EINVAL);
        }
        if self.secure & secure::KEEP_LOCKED != 0 {
            return Err(Errno::EPERM);
        }
        self.secure = self.secure & !secure::KEEP | if keep == 1 { secure::KEEP } else { 0 };
        Ok(())
    }

    /// `PR_SET_SECUREBITS` of prctl(2).
    pub fn set_secure(&mut self, bits: u64) -> Result<(), Errno> {
        let to = u32::try_from(bits).map_err(|_| Errno::EPERM)?;
        let locks = self.secure & !secure::SWITCHES;
        let changed = (self.secure ^ to) & secure::SWITCHES;
        if !self.has(SETPCAP) || to & !secure::ALL != 0 || locks & !to != 0 || (locks >> 1) & changed != 0 {
            return Err(Errno::EPERM);
        }
        self.secure = to;
        Ok(())
    }
}

/// Set of the capability with this number; EINVAL if there is none.
pub fn checked(number: u64) -> Result<u64, Errno> {
    if number <= LAST { Ok(1 << number) } else { Err(Errno::EINVAL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_fall_with_the_last_user_that_is_root() {
        let mut sets = Capabilities::ROOT;
        sets.users_changed([0, 0, 0], [1000, 1000, 0]);
        assert_eq!((sets.permitted, sets.effective), (ALL, 0));
        sets.users_changed([1000, 1000, 0], [1000, 0, 0]);
        assert_eq!((sets.permitted, sets.effective), (ALL, ALL));
        sets.users_changed([1000, 0, 0], [1000, 1000, 1000]);
        assert_eq!((sets.permitted, sets.effective), (0, 0));
    }

    #[test]
    fn they_are_kept_if_asked_but_not_in_force() {
        let mut sets = Capabilities::ROOT;
        assert_eq!(sets.keep(2), Err(Errno::EINVAL));
        assert_eq!(sets.keep(1), Ok(()));
        sets.users_changed([0, 0, 0], [1000, 1000, 1000]);
        assert_eq!((sets.permitted, sets.effective), (ALL, 0));
        assert_eq!(sets.set(SETUID, SETUID, 0), Ok(()));
        assert_eq!(sets.set(ALL, ALL, 0), Err(Errno::EPERM));
    }

    #[test]
    fn a_lock_holds_a_securebit() {
        let mut sets = Capabilities::ROOT;
        assert_eq!(sets.set_secure(u64::from(secure::KEEP_LOCKED)), Ok(()));
        assert_eq!(sets.keep(1), Err(Errno::EPERM));
        assert_eq!(sets.set_secure(0), Err(Errno::EPERM));
        assert_eq!(sets.set_secure(u64::from(secure::KEEP_LOCKED | secure::KEEP)), Err(Errno::EPERM));
        assert_eq!(sets.set_secure(u64::from(secure::KEEP_LOCKED | secure::NO_FIXUP)), Ok(()));
    }

    #[test]
    fn what_is_bounded_is_not_inherited() {
        let mut sets = Capabilities::ROOT;
        assert_eq!(sets.drop_bound(LAST + 1), Err(Errno::EINVAL));
        assert_eq!(sets.drop_bound(7), Ok(()));
        assert_eq!(sets.set(ALL, ALL, SETUID), Err(Errno::EPERM));
        assert_eq!(sets.set(ALL, ALL, SETGID), Ok(()));
        assert_eq!((sets.raise_ambient(6), sets.raise_ambient(8)), (Ok(()), Err(Errno::EPERM)));
        assert_eq!(sets.set(0, 0, SETGID), Ok(()));
        assert_eq!((sets.ambient, sets.drop_bound(6)), (0, Err(Errno::EPERM)));
    }
}
