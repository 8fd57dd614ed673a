//! Switches on this processor, with every combination of its state components.
//!
//! A switch runs in one block of assembly, so that the compiler uses no vector register in between: the processor gets
//! one state, which is saved; then another one, as if another thread had run; then the first is loaded again.

use super::*;
use core::arch::x86_64::__cpuid_count;
use core::mem::offset_of;
use husk_skip::skip;

const X87: u64 = 1 << 0;
const AVX: u64 = 1 << 2;
const AVX_512: u64 = 0b111 << 5;
const PKRU: u64 = 1 << 9;
const TILE_CONFIGURATION: u64 = 1 << 17;
const TILE_DATA: u64 = 1 << 18;
const GROUPS: [u64; 6] = [X87, SSE, AVX, AVX_512, PKRU, TILE_CONFIGURATION | TILE_DATA];

/// XSAVE area, as large as that of any processor.
#[derive(Clone)]
#[repr(C, align(64))]
struct Area([u8; 16 << 10]);

/// Operation of a switch on an area: `save` or `load`.
type Operation = unsafe extern "sysv64" fn(*mut Area, u64);

/// Arguments of a switch, for the assembly.
#[repr(C)]
struct Switch {
    all: u64,
    initial: *mut Area,
    first: *const Area,
    other: *const Area,
    kept: *mut Area,
    after: *mut Area,
    mask: u64,
    save: Operation,
    load: Operation,
}

unsafe extern "sysv64" fn save_masked(area: *mut Area, mask: u64) {
    // SAFETY: the area is as large as any processor's.
    unsafe { save(area.cast(), mask) }
}

unsafe extern "sysv64" fn load_masked(area: *mut Area, mask: u64) {
    // SAFETY: the area was saved.
    unsafe { load(area.cast(), mask) }
}

unsafe extern "sysv64" fn save_only_sse(area: *mut Area, _: u64) {
    // SAFETY: the area is as large as any processor's.
    unsafe { save_sse(area.cast()) }
}

unsafe extern "sysv64" fn load_only_sse(area: *mut Area, _: u64) {
    // SAFETY: the area was saved, and nothing else is in use.
    unsafe { load_sse(area.cast()) }
}

/// Components that this test may use: all but tiles, if the kernel does not permit them; 0 without XSAVE.
fn all() -> u64 {
    const OSXSAVE: u32 = 1 << 27;
    if __cpuid_count(1, 0).ecx & OSXSAVE == 0 {
        return 0;
    }
    let enabled = enabled() & (0b111 | AVX_512 | PKRU | TILE_CONFIGURATION | TILE_DATA);
    if enabled & TILE_DATA == 0 || request_tiles() {
        return enabled;
    }
    skip!("tiles, which this kernel does not give");
    enabled & !(TILE_CONFIGURATION | TILE_DATA)
}

/// What is to be kept: what FXSAVE keeps, without XSAVE.
fn components(all: u64) -> u64 {
    if all == 0 { X87 | SSE } else { all }
}

/// arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
fn request_tiles() -> bool {
    let result: u64;
    // SAFETY: a system call without memory operands.
    unsafe {
        asm!("syscall", inout("rax") 158u64 => result, in("rdi") 0x1023, in("rsi") 18, out("rcx") _, out("r11") _)
    };
    result == 0
}

/// Offsets of a component in an area.
fn place(component: u32) -> core::ops::Range<usize> {
    let answer = __cpuid_count(0xd, component);
    answer.ebx as usize..(answer.ebx + answer.eax) as usize
}

/// State with these components in use, different for each seed.
fn state(components: u64, seed: u8) -> Area {
    let mut area = Area([0; 16 << 10]);
    area.0[512..520].copy_from_slice(&components.to_le_bytes());
    area.0[0..2].copy_from_slice(&0x37f_u16.to_le_bytes());
    area.0[MXCSR..MXCSR + 4].copy_from_slice(&(0x1f80 | u32::from(seed % 4) << 13).to_le_bytes());
    let bytes = |at: usize| (at as u8).wrapping_mul(7).wrapping_add(seed) | 1;
    if components & X87 != 0 {
        area.0[4] = 0xff;
        (0..8).for_each(|number| (0..10).for_each(|byte| area.0[32 + number * 16 + byte] = bytes(number * 16 + byte)));
    }
    if components & SSE != 0 {
        (XMM..XMM + 256).for_each(|at| area.0[at] = bytes(at));
    }
    for component in (2..32).filter(|component| components & 1 << component != 0) {
        let place = place(component);
        match 1 << component {
            // No key may be taken from the pages of this test, which have key 0.
            PKRU => area.0[place.start] = seed & !0b11,
            TILE_CONFIGURATION => {
                let tiles = &mut area.0[place];
                tiles[0] = 1;
                (0..8).for_each(|tile| (tiles[16 + tile * 2], tiles[48 + tile]) = (64, 1 + (seed % 8) + tile as u8));
            }
            _ => place.for_each(|at| area.0[at] = bytes(at)),
        }
    }
    area
}

/// State of the processor after a switch away from `first` and back to it; read by FXSAVE if `all` is 0.
fn switch(all: u64, first: &Area, other: &Area, mask: u64, (save, load): (Operation, Operation)) -> Area {
    let empty = Area([0; 16 << 10]);
    let (mut initial, mut kept, mut after) = (empty.clone(), empty.clone(), empty);
    let switch =
        Switch { all, initial: &mut initial, first, other, kept: &mut kept, after: &mut after, mask, save, load };
    // SAFETY: all components are put back as they were; the areas are large enough and their headers zero or whole.
    unsafe {
        asm!(
            ".macro husk_test_all operation, place",
            "mov eax, [r12 + {all}]",
            "mov edx, [r12 + {all} + 4]",
            "mov rcx, [r12 + \\place]",
            "test eax, eax",
            "jz 2f",
            "x\\operation [rcx]",
            "jmp 3f",
            "2: fx\\operation [rcx]",
            "3:",
            ".endm",
            ".macro husk_test_call operation",
            "mov rdi, [r12 + {kept}]",
            "mov rsi, [r12 + {mask}]",
            "call [r12 + \\operation]",
            ".endm",
            "husk_test_all save64, {initial}",
            "husk_test_all rstor64, {first}",
            "husk_test_call {save}",
            "husk_test_all rstor64, {other}",
            "husk_test_call {load}",
            "husk_test_all save64, {after}",
            "husk_test_all rstor64, {initial}",
            ".purgem husk_test_all",
            ".purgem husk_test_call",
            in("r12") &raw const switch,
            all = const offset_of!(Switch, all),
            initial = const offset_of!(Switch, initial),
            first = const offset_of!(Switch, first),
            other = const offset_of!(Switch, other),
            kept = const offset_of!(Switch, kept),
            after = const offset_of!(Switch, after),
            mask = const offset_of!(Switch, mask),
            save = const offset_of!(Switch, save),
            load = const offset_of!(Switch, load),
            clobber_abi("sysv64"),
        );
    }
    after
}

/// Returns true if two states have equal contents in this component.
fn agree(one: &Area, two: &Area, component: u32) -> bool {
    let same = |range: core::ops::Range<usize>| one.0[range.clone()] == two.0[range];
    match 1 << component {
        X87 => same(0..2) && same(4..5) && (0..8).all(|number| same(32 + number * 16..42 + number * 16)),
        SSE => same(XMM..XMM + 256),
        _ => same(place(component)),
    }
}

#[test]
fn a_switch_keeps_the_components_in_its_mask_and_leaves_the_others() {
    let all = all();
    let groups: Vec<u64> = GROUPS.into_iter().filter(|group| all & group != 0).collect();
    let (first, other) = (state(components(all), 0x31), state(components(all), 0x6e));
    for chosen in 0..1 << groups.len() {
        let parts = groups.iter().enumerate().filter(|(index, _)| chosen & 1 << index != 0);
        let mask = parts.fold(0, |mask, (_, group)| mask | group) & all;
        // FXSAVE and FXRSTOR save these two components.
        let kept = if mask == 0 { X87 | SSE } else { mask };
        let after = switch(all, &first, &other, mask, (save_masked, load_masked));
        for component in (0..32).filter(|component| components(all) & 1 << component != 0) {
            let (expected, whose) =
                if kept & 1 << component != 0 { (&first, "its own") } else { (&other, "the other's") };
            assert!(agree(&after, expected, component), "mask {mask:#x}: component {component} is not {whose}");
        }
        let control = |area: &Area| area.0[MXCSR..MXCSR + 4].to_vec();
        // AVX alone has MXCSR as well, but not for QEMU's processors; no thread is kept so.
        if kept & (SSE | AVX) == AVX {
            continue;
        }
        let expected = if kept & SSE != 0 { &first } else { &other };
        assert_eq!(control(&after), control(expected), "mask {mask:#x}: MXCSR");
    }
}

#[test]
fn components_that_were_not_in_use_are_not_after_a_switch() {
    let all = all();
    if all == 0 {
        skip!("components in use, as there is no XSAVE");
        return;
    }
    let (first, other) = (state(SSE, 0x31), state(all, 0x6e));
    let after = switch(all, &first, &other, all, (save_masked, load_masked));
    let present = u64::from_le_bytes(after.0[512..520].try_into().expect("eight bytes"));
    let initial = Area([0; 16 << 10]);
    for component in (2..32).filter(|component| all & 1 << component != 0) {
        assert!(present & 1 << component == 0 || agree(&after, &initial, component), "component {component}");
    }
    assert!(agree(&after, &first, 1));
}

#[test]
fn moves_keep_the_sse_registers_when_nothing_else_is_in_use() {
    let (first, other) = (state(SSE, 0x31), state(SSE, 0x6e));
    for operations in [(save_only_sse as Operation, load_only_sse as Operation), (save_only_sse, load_masked)] {
        let all = all();
        let after = switch(all, &first, &other, all, operations);
        assert!(agree(&after, &first, 1));
        assert_eq!(after.0[MXCSR..MXCSR + 4], first.0[MXCSR..MXCSR + 4]);
    }
}

#[test]
fn a_processor_tells_which_bits_its_control_register_has() {
    // Those of every processor with SSE; bits that it does not tell are not set by any program.
    assert_eq!((control_mask() & CONTROL, control_mask() >> 18), (CONTROL, 0));
}
