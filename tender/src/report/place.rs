//! Meaning of an address: the map of the guest's address space, with a name for each part.

use super::ReadGuest;
use super::access::{Access, Use};
use crate::image::Image;
use crate::memory::layout::Layout;
use husk_abi::memory::{
    BOOT, BOOT_SIZE, CLOCK, FRAME, GATE, GUARD, NULL_GUARD, PAGE, RING0, RING0_SIZE, Region, Rights,
};
use std::fmt;

/// The parts of a guest's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first 64 KiB, never mapped.
    NullGuard,
    /// The gate page, with the system call stub.
    Gate,
    /// Boot information, arguments, environment.
    Boot,
    /// The clock page.
    Clock,
    /// Other pages of the tender: return frame, descriptor tables, ring-0 stubs.
    Tender,
    /// Unmapped pages below a stack.
    GuardBelow(Stack),
    /// Unmapped pages above a stack.
    GuardAbove(Stack),
    /// A stack.
    Stack(Stack),
    /// A segment of the image.
    Image,
    /// The rings of devices.
    Rings,
    /// The heap.
    Heap,
    /// Image file, as the guest can read it.
    ImageFile,
    /// Sparse region: addresses that get memory at the first touch.
    Sparse,
}

/// Stacks that a tender makes. Further threads have theirs in the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Stack of the libos.
    Libos,
    /// Stack of the program's first thread.
    Main,
}

/// A part of the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Kind of the part.
    pub kind: Kind,
    /// Addresses of the part.
    pub region: Region,
    /// Rights of the guest.
    pub rights: Rights,
}

/// Returns the address space of a guest, as [`husk_abi::memory`] lays it down.
pub fn map(image: &Image, layout: &Layout) -> Vec<Place> {
    let none = Rights::empty();
    let read_write = Rights::READ | Rights::WRITE;
    let (libos, main) = (layout.libos_stack, layout.main_stack);
    let at = |start, length| Region { start, length };
    let own = |physical, length| at(layout.tender_address(physical), length);
    let fixed = [
        (Kind::NullGuard, at(0, NULL_GUARD), none),
        (Kind::Gate, own(GATE, PAGE), Rights::READ | Rights::EXECUTE),
        (Kind::Tender, own(FRAME, PAGE), Rights::READ),
        (Kind::Clock, own(CLOCK, PAGE), Rights::READ),
        (Kind::Tender, own(RING0, RING0_SIZE), none),
        (Kind::Boot, own(BOOT, BOOT_SIZE), Rights::READ),
        (Kind::GuardBelow(Stack::Libos), Region::between(layout.guest_ram.start, libos.start), none),
        (Kind::Stack(Stack::Libos), libos, read_write),
        (Kind::GuardAbove(Stack::Libos), at(libos.end(), GUARD), none),
        (Kind::GuardBelow(Stack::Main), Region::between(main.start.saturating_sub(GUARD), main.start), none),
        (Kind::Stack(Stack::Main), main, read_write),
        (Kind::GuardAbove(Stack::Main), at(main.end(), GUARD), none),
        (Kind::Rings, layout.rings, read_write),
        (Kind::Heap, layout.heap, read_write),
        (Kind::ImageFile, layout.image_file, Rights::READ),
        (Kind::Sparse, layout.sparse, read_write),
    ];
    let segments = image.parts().map(|(pages, rights)| (Kind::Image, layout.loaded(pages), rights));
    fixed.into_iter().chain(segments).map(|(kind, region, rights)| Place { kind, region, rights }).collect()
}

/// Describes the accessed address in one sentence. `symbol` is the image's symbol at that address; `sp` separates a stack
/// overflow from a stray pointer, and `thread` names the thread of the overflow.
pub fn describe(access: Access, map: &[Place], symbol: Option<&str>, sp: u64, thread: &str) -> String {
    let Access { address, how } = access;
    if !canonical(address) {
        return format!("address {address:#x} is not canonical: no pointer has that value");
    }
    let Some(place) = map.iter().find(|place| place.region.contains(address)) else {
        return match address {
            ..NULL_GUARD => null(address),
            _ => format!("address {address:#x} lies in no part of the guest's memory"),
        };
    };
    let subject = match symbol.filter(|_| place.kind == Kind::Image) {
        Some(symbol) => format!("address {address:#x} is {symbol}, in {place}"),
        None => format!("address {address:#x} is in {place}"),
    };
    match place.kind {
        Kind::NullGuard => null(address),
        Kind::GuardBelow(stack) => format!("{subject}: stack overflow of {}", stack.owner()),
        Kind::GuardAbove(stack) => format!("{subject}: {} ran past the upper end of its stack", stack.owner()),
        Kind::Heap | Kind::Sparse if near(address, sp) && !forbids(place, how) => {
            format!("{subject}, in a protected page next to the stack pointer: stack overflow of {thread}")
        }
        Kind::Heap | Kind::Sparse if !forbids(place, how) => {
            format!("{subject}: the guest took its own right to that page")
        }
        _ => match how {
            Some(how) if forbids(place, Some(how)) => format!("{subject}, which nobody can {}", how.verb()),
            _ => subject,
        },
    }
}

/// Describes an access that the host refused without an address, if the stack ends there.
pub fn describe_stack(map: &[Place], sp: u64, thread: &str, read: &mut ReadGuest<'_>) -> Option<String> {
    let has_stacks = |kind| matches!(kind, Kind::Heap | Kind::Sparse);
    let in_heap = |address| map.iter().any(|place| has_stacks(place.kind) && place.region.contains(address));
    // Addresses of the next push, and of the first access of a function with a frame larger than a page.
    let ends = [8, PAGE].into_iter().any(|depth| read(sp.wrapping_sub(depth)).is_none());
    (in_heap(sp) && ends).then(|| {
        format!("the stack pointer {sp:#x} is next to a protected page of the heap: stack overflow of {thread}")
    })
}

/// Returns true if bits 47 to 63 of `address` are equal, as the processor requires.
pub fn canonical(address: u64) -> bool {
    matches!(address >> 47, 0 | 0x1_ffff)
}

fn null(address: u64) -> String {
    match address {
        0 => "address 0x0 is the null pointer".to_string(),
        1..4096 => format!("address {address:#x} is {address} bytes from the null pointer"),
        _ => format!("address {address:#x} is in the first 64 KiB, which are never mapped"),
    }
}

fn near(address: u64, sp: u64) -> bool {
    address.abs_diff(sp) < GUARD
}

fn forbids(place: &Place, how: Option<Use>) -> bool {
    let needed = match how {
        Some(Use::Read) => Rights::READ,
        Some(Use::Write) => Rights::WRITE,
        Some(Use::Execute) => Rights::EXECUTE,
        None => Rights::empty(),
    };
    !place.rights.contains(needed)
}

impl Use {
    fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Execute => "execute",
        }
    }
}

impl Stack {
    fn owner(self) -> &'static str {
        match self {
            Self::Libos => "the libos",
            Self::Main => "the main thread",
        }
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Libos => "the libos stack",
            Self::Main => "the main stack",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::NullGuard => f.write_str("the first 64 KiB"),
            Kind::Gate => f.write_str("the gate"),
            Kind::Boot => f.write_str("the boot information"),
            Kind::Clock => f.write_str("the clock page"),
            Kind::Tender => f.write_str("the tender's pages"),
            Kind::GuardBelow(stack) => write!(f, "the guard below {stack}"),
            Kind::GuardAbove(stack) => write!(f, "the guard above {stack}"),
            Kind::Stack(stack) => stack.fmt(f),
            Kind::Image if self.rights.contains(Rights::EXECUTE) => f.write_str("the image's text"),
            Kind::Image if self.rights.contains(Rights::WRITE) => f.write_str("the image's data"),
            Kind::Image => f.write_str("the image's read-only data"),
            Kind::Rings => f.write_str("the rings of its devices"),
            Kind::Heap => f.write_str("the heap"),
            Kind::Sparse => f.write_str("the sparse region"),
            Kind::ImageFile => f.write_str("the image file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ_WRITE: Rights = Rights::READ.union(Rights::WRITE);

    fn map() -> Vec<Place> {
        let place = |kind, start, length, rights| Place { kind, region: Region { start, length }, rights };
        vec![
            place(Kind::NullGuard, 0, NULL_GUARD, Rights::empty()),
            place(Kind::Image, 0x40_0000, 0x1000, Rights::READ.union(Rights::EXECUTE)),
            place(Kind::GuardBelow(Stack::Main), 0x50_0000, GUARD, Rights::empty()),
            place(Kind::Stack(Stack::Main), 0x51_0000, 0x1_0000, READ_WRITE),
            place(Kind::Heap, 0x60_0000, 0x10_0000, READ_WRITE),
        ]
    }

    fn sentence(address: u64, how: Use, sp: u64) -> String {
        describe(Access { address, how: Some(how) }, &map(), None, sp, "thread 'deep'")
    }

    #[test]
    fn addresses_are_called_by_their_names() {
        assert_eq!(sentence(0, Use::Read, 0), "address 0x0 is the null pointer");
        assert_eq!(sentence(24, Use::Read, 0), "address 0x18 is 24 bytes from the null pointer");
        assert_eq!(sentence(0x8000, Use::Read, 0), "address 0x8000 is in the first 64 KiB, which are never mapped");
        assert_eq!(
            sentence(0x40_0010, Use::Write, 0),
            "address 0x400010 is in the image's text, which nobody can write"
        );
        assert_eq!(
            sentence(0x51_0010, Use::Execute, 0),
            "address 0x510010 is in the main stack, which nobody can execute"
        );
        assert_eq!(sentence(0x99_0000, Use::Read, 0), "address 0x990000 lies in no part of the guest's memory");
        assert!(sentence(1 << 47, Use::Read, 0).contains("not canonical"));
        assert!(sentence(u64::MAX, Use::Read, 0).contains("no part"));
    }

    #[test]
    fn a_guard_page_means_stack_overflow() {
        let sentence = sentence(0x50_fff8, Use::Write, 0x51_0000);
        assert_eq!(
            sentence,
            "address 0x50fff8 is in the guard below the main stack: stack overflow of the main thread"
        );
    }

    #[test]
    fn a_protected_page_of_the_heap_is_the_guests_own_doing() {
        assert!(sentence(0x60_0000, Use::Read, 0x51_0000).contains("took its own right"));
        assert!(sentence(0x60_0000, Use::Read, 0x60_1000).ends_with("stack overflow of thread 'deep'"));
        assert!(sentence(0x60_0000, Use::Execute, 0x60_1000).contains("nobody can execute"));
    }

    #[test]
    fn a_stack_in_the_heap_overflows_into_a_protected_page() {
        let mut protected = |address| (address >= 0x61_0000).then_some(0);
        let sentence = describe_stack(&map(), 0x61_0100, "a thread", &mut protected).expect("a sentence");
        assert!(sentence.ends_with("stack overflow of a thread"));
        assert_eq!(describe_stack(&map(), 0x61_2000, "a thread", &mut protected), None);
        assert_eq!(describe_stack(&map(), 0x51_0100, "a thread", &mut protected), None);
    }

    #[test]
    fn a_symbol_is_named() {
        let access = Access { address: 0x40_0010, how: None };
        let sentence = describe(access, &map(), Some("app::TABLE+0x10"), 0, "");
        assert_eq!(sentence, "address 0x400010 is app::TABLE+0x10, in the image's text");
    }
}
