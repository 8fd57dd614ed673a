//! Protection that a host lacks, and others have. None of it is the first line of defence, so a guest runs without, and
//! one line reports it; `--strict` refuses.

use landlock::ABI;
use std::fmt;

/// Newest version of Landlock with rights that are known here. An older kernel closes what it can.
pub const KNOWN: ABI = ABI::V6;

/// Protection that a host cannot provide for the confinement of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// KVM lets ring 0 of a guest reach model-specific registers, as far as it emulates them.
    MsrFilter,
    /// The kernel has no Landlock, or starts without.
    Landlock,
    /// The kernel has this version of Landlock, which lacks some rights.
    LandlockRights(u32),
}

/// Rights that versions of Landlock have added since the first (landlock(7)).
const LANDLOCK_RIGHTS: [(u32, &str); 4] =
    [(3, "truncation"), (4, "TCP ports"), (5, "ioctl on devices"), (6, "abstract UNIX sockets and signals")];

impl Lack {
    /// Returns the lack of a kernel with this version of Landlock, or none.
    pub fn of_landlock(version: Option<u32>) -> Option<Self> {
        match version {
            None => Some(Self::Landlock),
            Some(version) => (version < KNOWN as u32).then_some(Self::LandlockRights(version)),
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MsrFilter => {
                f.write_str("its KVM has no filter of model-specific registers (use Linux 5.10 or newer)")
            }
            Self::Landlock => f.write_str(
                "its kernel has no Landlock (use Linux 5.13 or newer, with landlock in the kernel parameter lsm=)",
            ),
            Self::LandlockRights(version) => {
                let missing = LANDLOCK_RIGHTS.iter().filter(|(since, _)| since > version).map(|(_, right)| *right);
                let missing = missing.collect::<Vec<_>>().join(", ");
                write!(
                    f,
                    "its Landlock, of version {version}, leaves to the filters: {missing} (use Linux 6.12 or newer)"
                )
            }
        }
    }
}

/// Protection that a host lacks for one guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lacks(Vec<Lack>);

impl FromIterator<Lack> for Lacks {
    fn from_iter<I: IntoIterator<Item = Lack>>(lacks: I) -> Self {
        Self(lacks.into_iter().collect())
    }
}

impl Lacks {
    /// Returns true if the host lacks anything.
    pub fn is_any(&self) -> bool {
        !self.0.is_empty()
    }
}

impl fmt::Display for Lacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this host protects less than others: ")?;
        for (index, lack) in self.0.iter().enumerate() {
            write!(f, "{}{lack}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_landlock_lacks_what_newer_ones_brought() {
        assert_eq!(Lack::of_landlock(None), Some(Lack::Landlock));
        let text = |version| Lack::of_landlock(Some(version)).map(|lack| lack.to_string());
        let all = "its Landlock, of version 2, leaves to the filters: truncation, TCP ports, ioctl on devices, abstract UNIX sockets and signals (use Linux 6.12 or newer)";
        assert_eq!(text(2).as_deref(), Some(all));
        assert!(text(5).is_some_and(|text| text.contains("filters: abstract UNIX sockets and signals (")));
        assert_eq!((text(6), text(7)), (None, None));
    }

    #[test]
    fn what_is_lacking_is_one_line() {
        let both = Lacks::from_iter([Lack::MsrFilter, Lack::Landlock]).to_string();
        assert!(!both.contains('\n') && both.matches("; ").count() == 1, "{both}");
        assert!(!Lacks::default().is_any() && Lacks::from_iter([Lack::Landlock]).is_any());
    }
}
