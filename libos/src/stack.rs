//! First stack of the program, laid out like Linux's after execve(2): from its top down the strings, the auxiliary vector, the
//! environment, the arguments and their number.

use crate::arch;
use crate::errno::Errno;
use crate::user::Slice;
use alloc::vec::Vec;
use husk::abi::boot::Info;
use husk::abi::memory::{PAGE, Region};
use linux_raw_sys::auxvec::*;
use linux_raw_sys::elf::Elf_Phdr;
use zerocopy::IntoBytes;

/// Clock ticks in a second, for times(2) and similar calls.
pub const TICKS_PER_SECOND: u64 = 100;

/// Least size of a signal stack that programs should use, in bytes.
const SIGNAL_STACK: u64 = 4096;

/// Completed stack.
#[derive(Debug)]
pub struct Ready {
    /// The program's first stack pointer.
    pub pointer: u64,
    /// Bytes of the auxiliary vector, which programs can ask for later, too.
    pub auxiliary: Vec<u8>,
}

/// Fills the main stack of `info`.
pub fn build(info: &Info, entry: u64) -> Result<Ready, Errno> {
    let mut stack = Stack { region: info.main_stack, top: info.main_stack.end() };
    let seed = stack.push(&info.program_entropy)?;
    let environment = stack.push_strings(husk::boot::environment())?;
    let arguments = stack.push_strings(husk::boot::arguments())?;
    let name = match arguments.first() {
        Some(name) => *name,
        None => stack.push(b"\0")?,
    };
    stack.push(b"\0")?;
    let platform = stack.push(arch::PLATFORM.as_bytes())?;
    let auxiliary = [
        (AT_SYSINFO_EHDR, arch::vdso::address()),
        (AT_HWCAP, arch::capabilities()),
        (AT_PAGESZ, PAGE),
        (AT_CLKTCK, TICKS_PER_SECOND),
        (AT_PHDR, info.program_headers),
        (AT_PHENT, size_of::<Elf_Phdr>() as u64),
        (AT_PHNUM, u64::from(info.program_header_count)),
        (AT_BASE, 0),
        (AT_FLAGS, 0),
        (AT_ENTRY, entry),
        (AT_UID, 0),
        (AT_EUID, 0),
        (AT_GID, 0),
        (AT_EGID, 0),
        (AT_SECURE, 0),
        (AT_RANDOM, seed),
        (AT_EXECFN, name),
        (AT_PLATFORM, platform),
        (AT_MINSIGSTKSZ, SIGNAL_STACK),
        (AT_NULL, 0),
    ];
    let words = words(&arguments, &environment, &auxiliary)?;
    // The psABI aligns the stack pointer to 16 here, and all of `words` lies at and above it.
    let pointer = stack.top.saturating_sub(words.len() as u64 * 8) & !15;
    let bytes = words.as_bytes();
    Slice::new(pointer, bytes.len() as u64).copy_in(bytes)?;
    let auxiliary = bytes.split_at(bytes.len() - auxiliary.len() * size_of::<[u64; 2]>()).1.to_vec();
    Ok(Ready { pointer, auxiliary })
}

/// Key and value of an entry of the auxiliary vector, which stores them as two words.
type Pair = (u32, u64);

/// Words at the stack pointer: argument count, arguments, environment, auxiliary vector.
fn words(arguments: &[u64], environment: &[u64], auxiliary: &[Pair]) -> Result<Vec<u64>, Errno> {
    let mut words = Vec::new();
    words
        .try_reserve_exact(arguments.len() + environment.len() + 2 * auxiliary.len() + 3)
        .map_err(|_| Errno::ENOMEM)?;
    words.push(arguments.len() as u64);
    words.extend_from_slice(arguments);
    words.push(0);
    words.extend_from_slice(environment);
    words.push(0);
    words.extend(auxiliary.iter().flat_map(|(key, value)| [u64::from(*key), *value]));
    Ok(words)
}

struct Stack {
    region: Region,
    top: u64,
}

impl Stack {
    /// Pushes bytes, and returns their address.
    fn push(&mut self, bytes: &[u8]) -> Result<u64, Errno> {
        let length = bytes.len() as u64;
        if self.top - self.region.start < length + PAGE {
            return Err(Errno::E2BIG);
        }
        self.top -= length;
        Slice::new(self.top, length).copy_in(bytes)?;
        Ok(self.top)
    }

    /// Pushes strings, each with a NUL, in ascending order, and returns their addresses.
    fn push_strings<'a>(&mut self, strings: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u64>, Errno> {
        let strings: Vec<_> = strings.collect();
        let mut addresses = Vec::with_capacity(strings.len());
        for string in strings.iter().rev() {
            self.push(b"\0")?;
            addresses.push(self.push(string)?);
        }
        addresses.reverse();
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user;
    use alloc::vec;

    #[test]
    fn strings_lie_in_order_and_words_as_the_psabi_says() {
        // More than the stack, because `read_string` reads whole blocks.
        let memory = vec![0u8; 3 * 4096].leak();
        let start = memory.as_ptr() as u64;
        let mut stack = Stack { region: Region { start, length: 8192 }, top: start + 8192 };
        let strings = stack.push_strings([&b"one"[..], b"", b"three"].into_iter()).expect("room");
        let read: Vec<_> = strings.iter().map(|at| user::read_string(*at, 10).expect("readable")).collect();
        assert_eq!(read, [&b"one"[..], b"", b"three"]);
        assert!(strings.is_sorted());
        assert_eq!(words(&[7, 8], &[9], &[(AT_PAGESZ, 4096), (AT_NULL, 0)]), Ok(vec![2, 7, 8, 0, 9, 0, 6, 4096, 0, 0]));
        assert_eq!(stack.push(&[0; 8000]), Err(Errno::E2BIG));
    }
}
