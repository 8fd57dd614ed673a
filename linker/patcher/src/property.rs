//! A property of every plan: wherever control may come into a function, the same instructions follow as before, and
//! each `syscall` has become a jump to the libos that knows where to return.

use super::program::{Function, Program, Section};
use super::{Libos, Plan, stub};
use husk_abi::stub::SIZE;
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Register};
use proptest::prelude::*;

const CODE: u64 = 0x1000;
const STUBS: u64 = 0x8000;
const DIRECT: u64 = 0x9000;

/// A piece of a function.
#[derive(Clone, Debug)]
enum Piece {
    /// An instruction that stays what it is.
    Plain(&'static [u8]),
    /// `syscall`.
    SystemCall,
    /// A branch with this opcode to the piece with this number, modulo their count.
    Branch(&'static [u8], usize),
}

/// Ordinary instructions of different lengths: push, xor, mov, endbr64, loads, stores, lea and a store with rip, movabs,
/// ret.
const PLAIN: [&[u8]; 12] = [
    &[0x53],
    &[0x31, 0xff],
    &[0x89, 0x07],
    &[0x4c, 0x89, 0xc2],
    &[0xf3, 0x0f, 0x1e, 0xfa],
    &[0xb8, 1, 0, 0, 0],
    &[0x4c, 0x8b, 0x54, 0x24, 0x08],
    &[0x48, 0x8d, 0x05, 4, 0, 0, 0],
    &[0xc7, 0x05, 0, 1, 0, 0, 7, 0, 0, 0],
    &[0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8],
    &[0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0],
    &[0xc3],
];
/// `jmp`, `je` and `call` with a 32-bit distance.
const BRANCHES: [&[u8]; 3] = [&[0xe9], &[0x0f, 0x84], &[0xe8]];

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        5 => prop::sample::select(&PLAIN[..]).prop_map(Piece::Plain),
        3 => Just(Piece::SystemCall),
        1 => (prop::sample::select(&BRANCHES[..]), any::<usize>()).prop_map(|(opcode, to)| Piece::Branch(opcode, to)),
    ]
}

/// The bytes of a function, and the offset of each piece.
fn assemble(pieces: &[Piece]) -> (Vec<u8>, Vec<usize>) {
    let mut end = 0;
    let mut offsets = Vec::new();
    for piece in pieces {
        offsets.push(end);
        end += match piece {
            Piece::Plain(bytes) => bytes.len(),
            Piece::SystemCall => 2,
            Piece::Branch(opcode, _) => opcode.len() + 4,
        };
    }
    let mut code = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Plain(bytes) => code.extend(*bytes),
            Piece::SystemCall => code.extend([0x0f, 0x05]),
            Piece::Branch(opcode, to) => {
                code.extend(*opcode);
                let distance = offsets[to % offsets.len()] as i32 - (code.len() as i32 + 4);
                code.extend(distance.to_le_bytes());
            }
        }
    }
    (code, offsets)
}

/// Executes from `start` on, until control leaves for good: instructions are listed as bytes, and system calls as the
/// address they return to.
fn follow(memory: &Memory, start: u64) -> Vec<(Vec<u8>, u64)> {
    let mut steps = Vec::new();
    let mut at = start;
    let mut return_address = 0;
    while let Some(instruction) = memory.decode(at) {
        at = instruction.next_ip();
        let target = instruction.near_branch_target();
        if instruction.code() == Code::Syscall {
            steps.push((Vec::new(), at));
        } else if target == DIRECT {
            steps.push((Vec::new(), return_address));
            at = return_address;
        } else if instruction.flow_control() == FlowControl::UnconditionalBranch && target >= STUBS {
            at = target;
        } else if memory.is_stub(instruction.ip()) && instruction.op0_register() == Register::RCX {
            return_address = instruction.ip_rel_memory_address();
        } else {
            steps.push(memory.meaning(&instruction));
            if matches!(instruction.flow_control(), FlowControl::UnconditionalBranch | FlowControl::Return) {
                break;
            }
        }
    }
    steps
}

/// The function and the stubs.
struct Memory {
    code: Vec<u8>,
    stubs: Vec<u8>,
}

impl Memory {
    fn is_stub(&self, address: u64) -> bool {
        address >= STUBS
    }

    fn slice(&self, address: u64) -> &[u8] {
        let (bytes, base) = if self.is_stub(address) { (&self.stubs, STUBS) } else { (&self.code, CODE) };
        bytes.get((address - base) as usize..).unwrap_or_default()
    }

    fn decode(&self, address: u64) -> Option<Instruction> {
        let bytes = self.slice(address);
        (!bytes.is_empty()).then(|| Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode())
    }

    /// Returns the bytes of an instruction without its distance from rip, and the address that the distance leads to.
    fn meaning(&self, instruction: &Instruction) -> (Vec<u8>, u64) {
        let mut bytes = self.slice(instruction.ip())[..instruction.len()].to_vec();
        let mut decoder = Decoder::with_ip(64, &bytes, instruction.ip(), DecoderOptions::NONE);
        let decoded = decoder.decode();
        match stub::relative(&decoder, &decoded, instruction.ip()) {
            Some(place) => {
                bytes[place].fill(0);
                (bytes, decoded.ip_rel_memory_address())
            }
            None => (bytes, 0),
        }
    }

    /// Returns this memory after the writes of `plan`.
    fn patched(&self, plan: &Plan) -> Self {
        let mut patched = Self { code: self.code.clone(), stubs: self.stubs.clone() };
        for (address, bytes) in &plan.writes {
            let (memory, base) =
                if self.is_stub(*address) { (&mut patched.stubs, STUBS) } else { (&mut patched.code, CODE) };
            let start = (address - base) as usize;
            memory[start..start + bytes.len()].copy_from_slice(bytes);
        }
        patched
    }
}

proptest! {
    #[test]
    fn control_finds_the_same_instructions_wherever_it_may_come(
        pieces in prop::collection::vec(piece(), 1..40),
        landmarks in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        room in 0usize..20,
    ) {
        let (code, offsets) = assemble(&pieces);
        let address = |piece: usize| CODE + offsets[piece % offsets.len()] as u64;
        let range = CODE..CODE + code.len() as u64;
        let landmarks: Vec<u64> = landmarks.iter().map(|index| address(index.index(offsets.len()))).collect();
        let program = Program {
            sections: vec![Section { address: CODE, bytes: &code }],
            functions: vec![Function { name: "f".into(), range }],
            landmarks: landmarks.iter().copied().collect(),
            ..Program::default()
        };
        let plan = Plan::for_program(&program, &Libos { stubs: STUBS..STUBS + (room * SIZE) as u64, direct: DIRECT });

        let sites = pieces.iter().filter(|piece| matches!(piece, Piece::SystemCall)).count() as u32;
        prop_assert_eq!(plan.patched + plan.trapping.values().sum::<u32>(), sites);

        let before = Memory { code: code.clone(), stubs: vec![0xcc; room * SIZE] };
        let after = before.patched(&plan);
        let branches = pieces.iter().filter_map(|piece| match piece {
            Piece::Branch(_, to) => Some(address(*to)),
            _ => None,
        });
        // Behind a call and behind a system call control comes back.
        let returns = pieces.iter().zip(offsets.iter().skip(1)).filter_map(|(piece, next)| match piece {
            Piece::SystemCall | Piece::Branch([0xe8], _) => Some(CODE + *next as u64),
            _ => None,
        });
        for entry in branches.chain(returns).chain(landmarks).chain([CODE]) {
            prop_assert_eq!(follow(&before, entry), follow(&after, entry), "from {:#x}", entry);
        }
    }
}
