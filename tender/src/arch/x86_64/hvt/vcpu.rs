//! The virtual processor: its state at entry, one run after the other, its state at a stop.

use super::cpuid::{Cpu, Model};
use super::ring0::{self, Frame, selector};
use super::{counter, tables};
use crate::arch::exception::PAGE_FAULT;
use crate::arch::registers::Registers;
use crate::confine::{Descriptors, Role};
use crate::memory::Memory;
use crate::vm::clock::{Counter, Moment, Offset};
use crate::vm::target::{Error, Vcpu, VmExit};
use husk_abi::memory::BOOT;
use husk_abi::note::kind;
use husk_abi::registers::Registers as General;
use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, Msrs, kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs, kvm_xcr, kvm_xcrs};
use kvm_ioctls::{SyncReg, VcpuExit, VcpuFd};
use std::ptr::NonNull;
use std::sync::Arc;
use x86_64::registers::control::{Cr0Flags, Cr4Flags};
use x86_64::registers::model_specific::EferFlags;
use x86_64::registers::rflags::RFlags;

/// Model-specific registers (SDM volume 4) that the tender sets; a guest reads and writes none (`msrs`).
mod msr {
    pub const STAR: u32 = 0xc000_0081;
    pub const LSTAR: u32 = 0xc000_0082;
    pub const FMASK: u32 = 0xc000_0084;
}

/// IA32_APIC_BASE after a reset (SDM volume 3, 12.4.4): its value on a processor for which no local APIC was made.
const APIC_BASE: u64 = 0xfee0_0900;

/// Start of a processor.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Entry of the image, as a guest address.
    pub entry: u64,
    /// Kind of the program: a value of [`kind`].
    pub kind: u32,
    /// Processor model that a std program sees.
    pub cpu: Cpu,
}

/// A virtual processor of KVM.
#[derive(Debug)]
pub struct Processor {
    vcpu: VcpuFd,
    memory: Arc<Memory>,
    /// Frame that the processor pushed, if it stopped for an exception.
    frame: Option<Frame>,
    /// Special registers at a page fault.
    special: kvm_sregs,
}

impl Processor {
    /// Sets up `vcpu`, in a machine with this memory, for its start.
    pub fn new(mut vcpu: VcpuFd, memory: Arc<Memory>, start: Start) -> Result<Self, Error> {
        prepare(&mut vcpu, start, tables::FIRST_TABLE)?;
        Ok(Self { vcpu, memory, frame: None, special: kvm_sregs::default() })
    }

    /// Returns the exit for an exception.
    fn exception(&mut self, vector: u8) -> Result<VmExit, Error> {
        let frame = ring0::frame(vector, |address| self.memory.tender_word(address));
        self.frame = Some(frame);
        // A page fault of the stubs is never answered.
        if vector != PAGE_FAULT || !is_guests(&frame) {
            return Ok(VmExit::Exception { vector, error: frame.error });
        }
        self.special = self.vcpu.get_sregs().map_err(Error::kvm("read the guest's registers"))?;
        Ok(VmExit::PageFault { address: self.special.cr2, error: frame.error })
    }
}

impl Vcpu for Processor {
    fn list(&self, descriptors: &mut Descriptors) {
        descriptors.add(Role::Processor, &self.vcpu);
    }

    fn start_counter(&mut self, began: Moment) -> Counter {
        counter::start(&self.vcpu, began)
    }

    fn counter(&self) -> Option<Offset> {
        counter::offset(&self.vcpu)
    }

    fn run(&mut self) -> Result<VmExit, Error> {
        const LAST_EXCEPTION_PORT: u16 = ring0::EXCEPTION_PORT as u16 + ring0::VECTORS as u16 - 1;
        let exit = self.vcpu.run();
        #[cfg(feature = "slow-host")]
        crate::hvt::slow::exit();
        let exit = match exit {
            Ok(VcpuExit::IoOut(port @ (GATE_PORT | DOORBELL_PORT), _)) => used(port, &self.vcpu.sync_regs().regs),
            Ok(VcpuExit::IoOut(port @ 0x20..=LAST_EXCEPTION_PORT, _)) => {
                return self.exception((port - u16::from(ring0::EXCEPTION_PORT)) as u8);
            }
            // A write to a page with a read-only host mapping may appear as an access to a device that does not exist.
            Ok(VcpuExit::MmioRead(..) | VcpuExit::MmioWrite(..) | VcpuExit::MemoryFault { .. }) => VmExit::Forbidden,
            Ok(VcpuExit::IoOut(port, _) | VcpuExit::IoIn(port, _)) => VmExit::Port(port),
            Ok(VcpuExit::Shutdown) => VmExit::Shutdown,
            Ok(VcpuExit::Intr) => VmExit::Interrupted,
            Ok(other) => VmExit::Strange(format!("{other:?}")),
            Err(error) => match error.errno() {
                libc::EINTR | libc::EAGAIN => VmExit::Interrupted,
                libc::EFAULT => VmExit::Forbidden,
                _ => return Err(Error::kvm("run the guest")(error)),
            },
        };
        Ok(exit)
    }

    fn resume_with(&mut self, result: u64) {
        self.vcpu.sync_regs_mut().regs.rax = result;
        self.vcpu.set_sync_dirty_reg(SyncReg::Register);
    }

    /// Resumes the guest where an exception has stopped it, as if the exception had not happened: the stub has changed no general
    /// register.
    fn retry(&mut self) -> Result<(), Error> {
        let Some(frame) = self.frame.take() else { return Ok(()) };
        // The exception has changed these two alone (SDM volume 3, 6.14.2).
        (self.special.cs, self.special.ss) = user_segments();
        // KVM reports this one as busy in any case.
        self.special.tr.type_ = TSS_TYPE;
        self.vcpu.set_sregs(&self.special).map_err(Error::kvm("let the guest go on"))?;
        let registers = &mut self.vcpu.sync_regs_mut().regs;
        (registers.rip, registers.rsp, registers.rflags) = (frame.rip, frame.rsp, frame.rflags);
        self.vcpu.set_sync_dirty_reg(SyncReg::Register);
        Ok(())
    }

    fn jump(&mut self, pc: u64) -> Result<(), Error> {
        let mut registers = self.vcpu.get_regs().map_err(Error::kvm("read the guest's registers"))?;
        registers.rip = pc;
        self.vcpu.set_regs(&registers).map_err(Error::kvm("set the processor's registers"))
    }

    fn registers(&self) -> Result<Registers, Error> {
        let mut registers = registers(&self.vcpu)?;
        if let Some(frame) = self.frame {
            // The stubs leave all other registers as they were.
            let general = &mut registers.general;
            (general.rip, general.rsp, general.rflags) = (frame.rip, frame.rsp, frame.rflags);
        }
        Ok(registers)
    }

    fn halt(&mut self) -> NonNull<u8> {
        NonNull::from(&mut self.vcpu.get_kvm_run().immediate_exit)
    }
}

/// Sets up `vcpu` to enter the image, at CPL 3, with the page tables at `root`.
///
/// A native program is built without vector instructions: it gets x87 and SSE state, and no CPUID. Setting a CPUID
/// is a tenth of the start of a small guest.
fn prepare(vcpu: &mut VcpuFd, start: Start, root: u64) -> Result<(), Error> {
    let Start { entry, kind, cpu } = start;
    let model = (kind != kind::NATIVE).then(|| Model::new(cpu));
    if let Some(model) = &model {
        if !model.has_base_instructions {
            return Err(Error::NoBaseInstructions);
        }
        let cpuid = model.to_kvm().ok_or(Error::KvmTooOld("room for the guest's CPUID"))?;
        vcpu.set_cpuid2(&cpuid).map_err(Error::kvm("set the guest's CPUID"))?;
        if cpu == Cpu::Baseline && !hides(vcpu, model)? {
            return Err(Error::OwnFeatures);
        }
    }
    let special = special(root, model.as_ref());
    vcpu.set_sregs(&special).map_err(Error::kvm("set the processor's state"))?;
    if let Some(value) = model.and_then(|model| model.xcr0) {
        let mut enabled = kvm_xcrs { nr_xcrs: 1, ..Default::default() };
        enabled.xcrs[0] = kvm_xcr { xcr: 0, value, ..Default::default() };
        vcpu.set_xcrs(&enabled).map_err(Error::kvm("set the processor's extended state"))?;
    }
    set_system_call_entry(vcpu)?;
    // The other registers are set by the first run.
    vcpu.sync_regs_mut().regs =
        kvm_regs { rip: entry, rdi: BOOT, rflags: RFlags::INTERRUPT_FLAG.bits() | 2, ..Default::default() };
    vcpu.set_sync_dirty_reg(SyncReg::Register);
    vcpu.set_sync_valid_reg(SyncReg::Register);
    Ok(())
}

/// Returns true if the guest finds no more features than the model has: some KVMs add what the processor shows in any case.
fn hides(vcpu: &VcpuFd, model: &Model) -> Result<bool, Error> {
    let shown = vcpu.get_cpuid2(KVM_MAX_CPUID_ENTRIES).map_err(Error::kvm("read the guest's CPUID"))?;
    Ok(model.covers(shown.as_slice()))
}

fn special(root: u64, model: Option<&Model>) -> kvm_sregs {
    let mut special = kvm_sregs { apic_base: APIC_BASE, ..Default::default() };
    let cr0 = Cr0Flags::PROTECTED_MODE_ENABLE
        | Cr0Flags::MONITOR_COPROCESSOR
        | Cr0Flags::EXTENSION_TYPE
        | Cr0Flags::NUMERIC_ERROR
        | Cr0Flags::WRITE_PROTECT
        | Cr0Flags::PAGING;
    // No SMEP and SMAP: where KVM emulates ring 0, the system call stub runs at CPL 3, so its page must be the guest's.
    let mut cr4 = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION | Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE;
    // KVM refuses these two for a guest with a CPUID that does not have them.
    cr4.set(Cr4Flags::OSXSAVE, model.is_some_and(|model| model.xcr0.is_some()));
    cr4.set(Cr4Flags::FSGSBASE, model.is_some());
    let efer = EferFlags::SYSTEM_CALL_EXTENSIONS
        | EferFlags::LONG_MODE_ENABLE
        | EferFlags::LONG_MODE_ACTIVE
        | EferFlags::NO_EXECUTE_ENABLE;
    (special.cr0, special.cr3, special.cr4, special.efer) = (cr0.bits(), root, cr4.bits(), efer.bits());

    let (code, data) = user_segments();
    special.cs = code;
    (special.ss, special.ds, special.es, special.fs, special.gs) = (data, data, data, data, data);
    let (base, size) = ring0::TSS;
    special.tr = kvm_segment {
        selector: selector::TASK,
        type_: TSS_TYPE,
        base,
        limit: u32::from(size) - 1,
        present: 1,
        ..Default::default()
    };
    (special.gdt.base, special.gdt.limit) = (ring0::TABLES, ring0::GDT_SIZE - 1);
    (special.idt.base, special.idt.limit) = (ring0::IDT.0, ring0::IDT.1 - 1);
    special
}

/// Type of the task state segment: busy (SDM volume 3, 8.2.2), as VT-x demands (SDM volume 3, 27.3.1.2). QEMU's emulation of
/// AMD-V looks for "available".
const TSS_TYPE: u8 = if cfg!(feature = "available-tss") { 0x9 } else { 0xb };

/// The segments of a guest at CPL 3: code and data.
fn user_segments() -> (kvm_segment, kvm_segment) {
    const CODE: u8 = 0xb;
    const DATA: u8 = 0x3;
    let flat = kvm_segment { limit: !0, present: 1, dpl: 3, s: 1, g: 1, ..Default::default() };
    let code = kvm_segment { selector: selector::USER_CODE, type_: CODE, l: 1, ..flat };
    (code, kvm_segment { selector: selector::USER_DATA, type_: DATA, db: 1, ..flat })
}

/// Points `syscall` at the stub. SYSENTER stays off: its code selector is 0.
fn set_system_call_entry(vcpu: &VcpuFd) -> Result<(), Error> {
    // `syscall` loads cs from bits 47:32; `sysret`, which no code executes, would take bits 63:48.
    let star = u64::from(selector::KERNEL_CODE) << 32 | u64::from(selector::KERNEL_DATA) << 48;
    // Every flag: with NT, for one, the stub's `iretq` would be a protection fault (SDM volume 2, IRET).
    let entries = [(msr::STAR, star), (msr::LSTAR, ring0::SYSTEM_CALL_STUB), (msr::FMASK, RFlags::all().bits())];
    let entries = entries.map(|(index, data)| kvm_msr_entry { index, data, ..Default::default() });
    let entries = Msrs::from_entries(&entries).map_err(|_| Error::KvmTooOld("room for three registers"))?;
    match vcpu.set_msrs(&entries).map_err(Error::kvm("set the system call entry"))? {
        3 => Ok(()),
        _ => Err(Error::KvmTooOld("the registers of the system call entry")),
    }
}

const GATE_PORT: u16 = ring0::GATE_PORT as u16;
const DOORBELL_PORT: u16 = ring0::DOORBELL_PORT as u16;

/// Returns the exit that a write to one of the guest's two ports causes.
fn used(port: u16, registers: &kvm_regs) -> VmExit {
    match port {
        _ if !ring0::is_gate(registers.rip) => VmExit::Port(port),
        DOORBELL_PORT => VmExit::Doorbell,
        _ => {
            let arguments = [registers.rsi, registers.rdx, registers.rcx, registers.r8];
            VmExit::Call { number: registers.rdi, arguments }
        }
    }
}

/// Returns true if an exception happened at CPL 3.
fn is_guests(frame: &Frame) -> bool {
    frame.cs & 3 == 3
}

/// The guest's registers.
fn registers(vcpu: &VcpuFd) -> Result<Registers, Error> {
    let general = vcpu.get_regs().map_err(Error::kvm("read the guest's registers"))?;
    let special = vcpu.get_sregs().map_err(Error::kvm("read the guest's registers"))?;
    Ok(Registers {
        general: General {
            rax: general.rax,
            rbx: general.rbx,
            rcx: general.rcx,
            rdx: general.rdx,
            rsi: general.rsi,
            rdi: general.rdi,
            rbp: general.rbp,
            rsp: general.rsp,
            r8: general.r8,
            r9: general.r9,
            r10: general.r10,
            r11: general.r11,
            r12: general.r12,
            r13: general.r13,
            r14: general.r14,
            r15: general.r15,
            rip: general.rip,
            rflags: general.rflags,
            cs: special.cs.selector.into(),
            ss: special.ss.selector.into(),
        },
        fs_base: special.fs.base,
        gs_base: special.gs.base,
        cr2: special.cr2,
    })
}
