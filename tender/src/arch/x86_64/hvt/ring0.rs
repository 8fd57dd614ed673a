//! Every byte that may ever run in ring 0, and the tables that lead there.
//!
//! The guest is entered at CPL 3 and reaches ring 0 in two ways only: a `syscall` instruction runs the three
//! instructions of [`system_call_stub`], and an exception runs the one instruction of its vector in
//! [`exception_stubs`], after which the guest continues only if it has touched a page of its sparse region for the first
//! time. Neither writes memory (the processor itself pushes the exception's frame), both lie in pages without write access.
//!
//! No guest can cause a double fault, which takes an exception during the delivery of another (SDM volume 3, table 6-5).
//! At CPL 3, delivery reads the descriptor tables and the task state, and writes to the exception stack: all are mapped, have
//! the rights for that, and their accessed and dirty bits; the guest can change none of them. Every vector below 32 has a
//! gate, any other is beyond the table's limit, which is a protection fault of the `int` that names it. There is no
//! interrupt controller, and none of ring 0's instructions raises an exception: `out` leaves the guest, the frame of `iretq` is
//! constant, and FMASK clears TF, NT and AC; only the tender can set debug registers and so breakpoints in ring 0, and sets
//! none. Still, a double fault has a stack of its own, so that a defect here is reported as what it is.
//!
//! `syscall` is entered with CPL 3 on a KVM that emulates ring 0 in software, and with CPL 0 on hardware: so the stub
//! and its frame are readable by the guest, and it uses nothing that CPL 3 may not.

use crate::image::Image;
use crate::memory::Memory;
use crate::vm::gate::{self, DOORBELL, NO_LIBOS};
use husk_abi::memory::{BOOT, FRAME, GATE, PAGE, RING0};
use x86_64::structures::gdt::DescriptorFlags;

/// Port of the gate. Ports below 0x100 have a two-byte `out` with no register to set up.
pub const GATE_PORT: u8 = 0x10;
/// Port of the doorbell, open only if there are devices.
pub const DOORBELL_PORT: u8 = 0x11;
/// Value that the doorbell writes: KVM turns a one-byte write of this value into an event without an exit to the tender
/// (ioeventfd). Any other write is an exit, and a fault.
pub const DOORBELL_VALUE: u8 = 0xdb;
/// Port that the stub of exception 0 writes to; those of the others follow. The I/O bitmap denies them to the
/// guest, so a write there comes from a stub.
pub const EXCEPTION_PORT: u8 = 0x20;
/// Exceptions that the processor knows (SDM volume 3, 6.3.1).
pub const VECTORS: u8 = 32;

/// Address of the system call stub, in the gate page.
pub const SYSTEM_CALL_STUB: u64 = GATE + 0x10;

/// Descriptor tables and task state, in one page.
pub const TABLES: u64 = RING0;
/// Exception stubs.
pub const STUBS: u64 = RING0 + PAGE;
/// The exception stack, one page, and its end.
pub const STACK: u64 = RING0 + 3 * PAGE;
/// End of the exception stack: a multiple of 16, so the processor's frame is where [`frame`] reads it.
const STACK_END: u64 = STACK + PAGE;
/// The stack of double faults, one page. An exception that cannot be delivered on the other stack, or in ring 0 itself,
/// becomes a double fault; on the same stack it would end as a triple fault, which reports nothing.
pub const DOUBLE_FAULT_STACK: u64 = RING0 + 5 * PAGE;
/// Vector of the double fault.
const DOUBLE_FAULT: u8 = 8;

/// Selectors (index times 8, plus the privilege level).
pub mod selector {
    #![expect(missing_docs, reason = "the names say it")]
    pub const KERNEL_CODE: u16 = 0x08;
    pub const KERNEL_DATA: u16 = 0x10;
    pub const USER_DATA: u16 = 0x18 | 3;
    pub const USER_CODE: u16 = 0x20 | 3;
    pub const TASK: u16 = 0x28;
}

/// Offsets inside [`TABLES`].
pub const GDT_SIZE: u16 = 7 * 8;
const IDT_OFFSET: u64 = 0x100;
const TSS_OFFSET: u64 = 0x400;
/// Address and size of the interrupt descriptor table.
pub const IDT: (u64, u16) = (TABLES + IDT_OFFSET, VECTORS as u16 * 16);
/// Bytes of a 64-bit task state segment (SDM volume 3, 8.7).
const TSS_SIZE: usize = 104;
/// Bytes of the I/O bitmap: a bit per port 0 to 255, and the byte of ones that must follow.
const IO_BITMAP_SIZE: usize = 256 / 8 + 1;
/// Address and size of the task state segment. Ports beyond the bitmap are denied.
pub const TSS: (u64, u16) = (TABLES + TSS_OFFSET, (TSS_SIZE + IO_BITMAP_SIZE) as u16);

/// Code that the `syscall` instruction runs. `syscall` itself has put the return address into rcx and kept rsp.
pub fn system_call_stub() -> [u8; 10] {
    let mut stub = [
        0x49, 0x89, 0xe3, // mov %rsp, %r11        the guest's stack pointer; r11 is free, `syscall` clobbers it
        0xbc, 0, 0, 0, 0, // mov $FRAME, %esp      the constant frame, below 4 GiB
        0x48, 0xcf, //       iretq                 to the libos, at CPL 3
    ];
    stub[4..8].copy_from_slice(&(FRAME as u32).to_le_bytes());
    stub
}

/// Code that the exceptions run, two bytes a vector.
pub fn exception_stubs() -> [u8; 2 * VECTORS as usize] {
    let mut stubs = [0; 2 * VECTORS as usize];
    for (vector, stub) in (0..VECTORS).zip(stubs.chunks_exact_mut(2)) {
        stub.copy_from_slice(&[0xe6, EXCEPTION_PORT + vector]); // out %al, $port      leaves all registers as they were
    }
    stubs
}

/// The page of the gate. Except for the stub, it only ever runs at CPL 3.
pub fn gate_page() -> [u8; PAGE as usize] {
    gate::page(&[
        (GATE, &[0xe6, GATE_PORT, 0xc3]), // out %al, $port; ret: the call; the tender reads and writes the registers
        (SYSTEM_CALL_STUB, &system_call_stub()),
        (DOORBELL, &[0xb0, DOORBELL_VALUE, 0xe6, DOORBELL_PORT, 0xc3]), // mov $value, %al; out %al, $port; ret
    ])
}

/// Returns true if an `out` at `rip`, or one that has just been executed before it, is the gate's own. The guest may execute
/// others at its ports: of several bytes, or `outs`, which KVM emulates. They are not calls.
pub fn is_gate(rip: u64) -> bool {
    rip / PAGE == GATE / PAGE
}

/// The frame that the stub returns through: to `dispatcher`, with an empty stack.
pub fn return_frame(dispatcher: u64) -> [u8; 40] {
    const RESERVED_FLAG: u64 = 2;
    let mut frame = [0; 40];
    let words = [dispatcher, selector::USER_CODE.into(), RESERVED_FLAG, 0, selector::USER_DATA.into()];
    for (slot, word) in frame.chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&u64::to_le_bytes(word));
    }
    frame
}

/// Writes what the processor needs in the tender's own pages: gate, return frame, descriptor tables, stubs; and the boot
/// information area, `boot`. `has_devices` is true if there is a doorbell.
pub fn write(memory: &mut Memory, image: &Image, boot: &[u8], has_devices: bool) {
    let bias = memory.layout().load_bias;
    let ports = if has_devices { &[GATE_PORT, DOORBELL_PORT][..] } else { &[GATE_PORT] };
    let dispatcher = image.notes.system_calls.map_or(NO_LIBOS, |address| address.wrapping_add(bias));
    memory.write_tender_page(GATE, &gate_page());
    memory.write_tender_page(FRAME, &return_frame(dispatcher));
    memory.write_tender_page(TABLES, &tables_page(ports));
    memory.write_tender_page(STUBS, &exception_stubs());
    memory.write_tender_page(BOOT, boot);
}

/// The page of descriptor tables and task state; the guest may use these `ports` below 0x100.
pub fn tables_page(ports: &[u8]) -> [u8; PAGE as usize] {
    let mut page = [0; PAGE as usize];
    let mut put =
        |offset: u64, bytes: &[u8]| page[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
    let segments = [
        DescriptorFlags::KERNEL_CODE64.bits(),
        DescriptorFlags::KERNEL_DATA.bits(),
        DescriptorFlags::USER_DATA.bits(),
        DescriptorFlags::USER_CODE64.bits(),
        task_descriptor(),
        TSS.0 >> 32,
    ];
    for (index, descriptor) in (1..).zip(segments) {
        put(index * 8, &descriptor.to_le_bytes());
    }
    for vector in 0..VECTORS {
        put(IDT_OFFSET + u64::from(vector) * 16, &gate_descriptor(vector));
    }
    #[cfg(feature = "attack")]
    let stack_end = if crate::confine::attack::is_without_stack() { STACK } else { STACK_END };
    #[cfg(not(feature = "attack"))]
    let stack_end = STACK_END;
    put(TSS_OFFSET + 4, &stack_end.to_le_bytes()); // rsp0
    put(TSS_OFFSET + 36, &(DOUBLE_FAULT_STACK + PAGE).to_le_bytes()); // ist1
    put(TSS_OFFSET + 102, &(TSS_SIZE as u16).to_le_bytes()); // where the I/O bitmap starts
    let mut io_bitmap = [0xff; IO_BITMAP_SIZE];
    for port in ports {
        io_bitmap[usize::from(port / 8)] &= !(1 << (port % 8));
    }
    put(TSS_OFFSET + TSS_SIZE as u64, &io_bitmap);
    page
}

/// First half of a descriptor for a busy 64-bit task state segment (SDM volume 3, figure 8-4).
fn task_descriptor() -> u64 {
    let (base, size) = (TSS.0, u64::from(TSS.1));
    const PRESENT_BUSY_TSS: u64 = 0x8b << 40;
    (size - 1) | (base & 0xff_ffff) << 16 | PRESENT_BUSY_TSS | (base >> 24 & 0xff) << 56
}

/// An interrupt gate to the stub of `vector` (SDM volume 3, figure 6-8).
fn gate_descriptor(vector: u8) -> [u8; 16] {
    const INTERRUPT_GATE: u64 = 0x8e << 40;
    const FOR_EVERYBODY: u64 = 0x60 << 40;
    const BREAKPOINT: u8 = 3;
    let stub = STUBS + 2 * u64::from(vector);
    // Only `int3` may be executed as an instruction by the guest; any other `int n` is a protection fault.
    let privilege = if vector == BREAKPOINT { FOR_EVERYBODY } else { 0 };
    // An entry of the interrupt stack table (SDM volume 3, 6.14.5), or 0 for rsp0.
    let stack_table_index: u64 = if vector == DOUBLE_FAULT { 1 } else { 0 };
    let low = (stub & 0xffff)
        | stack_table_index << 32
        | u64::from(selector::KERNEL_CODE) << 16
        | INTERRUPT_GATE
        | privilege
        | (stub >> 16 & 0xffff) << 48;
    let mut descriptor = [0; 16];
    descriptor[..8].copy_from_slice(&low.to_le_bytes());
    descriptor[8..].copy_from_slice(&(stub >> 32).to_le_bytes());
    descriptor
}

/// Stack frame that the processor pushed for an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Error code, 0 for vectors without.
    pub error: u64,
    /// Instruction pointer of the guest.
    pub rip: u64,
    /// Code selector, for the privilege level.
    pub cs: u64,
    /// Flags of the guest.
    pub rflags: u64,
    /// Stack pointer of the guest.
    pub rsp: u64,
}

/// Reads the frame of `vector` from its stack; `at` reads the word at a guest-physical address.
pub fn frame(vector: u8, at: impl Fn(u64) -> u64) -> Frame {
    let end = if vector == DOUBLE_FAULT { DOUBLE_FAULT_STACK + PAGE } else { STACK_END };
    let word = |index: u64| at(end - index * 8);
    const WITH_ERROR_CODE: u32 =
        1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 30;
    let error = if WITH_ERROR_CODE >> vector & 1 == 1 { word(6) } else { 0 };
    Frame { error, rip: word(5), cs: word(4), rflags: word(3), rsp: word(2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_0_runs_74_bytes() {
        assert_eq!(system_call_stub().len() + exception_stubs().len(), 74);
    }

    #[test]
    fn the_guest_may_use_the_ports_that_it_is_given() {
        for ports in [&[GATE_PORT][..], &[GATE_PORT, DOORBELL_PORT]] {
            let page = tables_page(ports);
            let bitmap = (TSS_OFFSET as usize + TSS_SIZE)..(TSS_OFFSET as usize + TSS_SIZE + IO_BITMAP_SIZE);
            let open: u32 = page[bitmap].iter().map(|byte| byte.count_zeros()).sum();
            assert_eq!(open as usize, ports.len());
        }
    }

    #[test]
    fn a_double_fault_has_a_stack_of_its_own() {
        let page = tables_page(&[]);
        let word = |offset: u64| u64::from_le_bytes(page[offset as usize..][..8].try_into().expect("eight bytes"));
        for vector in 0..VECTORS {
            let index = word(IDT_OFFSET + u64::from(vector) * 16) >> 32 & 7;
            assert_eq!(index, u64::from(vector == 8), "vector {vector}");
        }
        // RSP0 and IST1 (SDM volume 3, figure 8-11).
        let stacks = [word(TSS_OFFSET + 4), word(TSS_OFFSET + 36)];
        assert_eq!(stacks.map(|end| end - PAGE), [STACK, DOUBLE_FAULT_STACK]);
        for (vector, end) in [(8, stacks[1]), (14, stacks[0])] {
            assert_eq!(frame(vector, |address| end - address).rip, 5 * 8);
        }
    }

    #[test]
    fn the_tables_fit_beside_each_other() {
        assert!(u64::from(GDT_SIZE) <= IDT_OFFSET);
        assert!(IDT_OFFSET + u64::from(IDT.1) <= TSS_OFFSET);
        assert!(TSS_OFFSET + u64::from(TSS.1) <= PAGE);
    }
}
