//! Generated functions: bytes select instructions, which are assembled.
//!
//! Generated code always ends and touches no memory but its own: no instruction writes `r14`, which points to that memory;
//! branches lead forward, and back or into functions only as long as `r15` counts down; each function keeps its caller's
//! frame pointer and leaves by its own.

/// Registers that instructions may read and write: all but rsp, rbp, r14 and r15.
const REGISTERS: [u8; 12] = [0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13];
/// Most pieces of code.
const PIECES: usize = 96;
/// `push rbp; mov rbp, rsp`.
const ENTER: [u8; 4] = [0x55, 0x48, 0x89, 0xe5];
/// `mov rsp, rbp; pop rbp; ret`.
const LEAVE: [u8; 5] = [0x48, 0x89, 0xec, 0x5d, 0xc3];
/// `test r15d, r15d; jz` past what follows, of 8 bytes: `dec r15d`, and a branch.
const COUNT_DOWN: [u8; 8] = [0x45, 0x85, 0xff, 0x74, 0x08, 0x41, 0xff, 0xcf];
/// Instructions without operands that change nothing but flags, and some that hold the bytes of `syscall`.
const FIXED: [&[u8]; 13] = [
    &[0x90],
    &[0x66, 0x90],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0xf3, 0x0f, 0x1e, 0xfa],
    &[0xf8],
    &[0xf9],
    &[0xf5],
    &[0x99],
    &[0xb8, 0x0f, 0x05, 0x0f, 0x05],
    &[0x3d, 0x00, 0x0f, 0x05, 0x90],
    &[0x48, 0xb9, 0x0f, 0x05, 0x0f, 0x05, 0x0f, 0x05, 0x0f, 0x05],
    &[0x66, 0x48, 0x0f, 0x6e, 0xc3, 0x66, 0x48, 0x0f, 0x7e, 0xc2],
    &[0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0],
];

/// Code, as offsets from its start.
#[derive(Debug, Default)]
pub struct Code {
    /// The instructions.
    pub bytes: Vec<u8>,
    /// Offset of each `syscall`.
    pub sites: Vec<usize>,
    /// Start of each function; the end of the code last.
    pub functions: Vec<usize>,
    /// Start of each piece.
    pub pieces: Vec<usize>,
    /// Distances that are not known yet: their offset, and the piece that they lead to.
    branches: Vec<(usize, usize)>,
    /// Distances to functions that are not known yet: their offset, and the function.
    calls: Vec<(usize, usize)>,
}

/// Bytes that are left.
#[derive(Debug)]
pub struct Source<'b>(pub &'b [u8]);

impl Source<'_> {
    /// Returns the next byte, if there is one.
    pub fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Returns the next byte, or 0.
    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    fn register(&mut self) -> u8 {
        REGISTERS[usize::from(self.byte()) % REGISTERS.len()]
    }
}

impl Code {
    /// Assembles the code that the bytes select; `scratch` is the distance from its start to 256 bytes that it may use.
    pub fn assemble(source: &mut Source<'_>, scratch: usize) -> Self {
        let mut code = Self::default();
        code.enter();
        while code.pieces.len() < PIECES
            && let Some(what) = source.next()
        {
            code.pieces.push(code.bytes.len());
            match what {
                0..48 => {
                    code.sites.push(code.bytes.len());
                    code.bytes.extend([0x0f, 0x05]);
                }
                48..64 => code.branch(source),
                64..76 => code.count_down(source),
                76..84 => code.call(source),
                84..88 => code.jump_computed(source),
                88..96 => {
                    code.bytes.extend(LEAVE);
                    code.enter();
                }
                _ => code.plain(what, source, scratch),
            }
        }
        code.pieces.push(code.bytes.len());
        code.bytes.extend(LEAVE);
        code.functions.push(code.bytes.len());
        code.link();
        code
    }

    fn enter(&mut self) {
        self.functions.push(self.bytes.len());
        self.bytes.extend(ENTER);
    }

    /// Adds a distance to a piece behind this one, which a byte selects; or, if `back`, to one before it.
    fn distance(&mut self, source: &mut Source<'_>, back: bool) {
        let by = usize::from(source.byte());
        let this = self.pieces.len() - 1;
        let to = if back { this - by % (this + 1) } else { this + 1 + by % 16 };
        self.branches.push((self.bytes.len(), to));
        self.bytes.extend([0; 4]);
    }

    fn branch(&mut self, source: &mut Source<'_>) {
        match source.byte() % 17 {
            16 => self.bytes.push(0xe9),
            condition => self.bytes.extend([0x0f, 0x80 | condition]),
        }
        self.distance(source, false);
    }

    fn count_down(&mut self, source: &mut Source<'_>) {
        self.bytes.extend(COUNT_DOWN);
        self.bytes.push(0xe9);
        self.distance(source, true);
    }

    fn call(&mut self, source: &mut Source<'_>) {
        self.bytes.extend(COUNT_DOWN);
        self.bytes.push(0xe8);
        self.calls.push((self.bytes.len(), source.byte().into()));
        self.bytes.extend([0; 4]);
    }

    /// Adds `lea rax, [rip + …]; jmp rax`, to a piece behind.
    fn jump_computed(&mut self, source: &mut Source<'_>) {
        self.bytes.extend([0x48, 0x8d, 0x05]);
        self.distance(source, false);
        self.bytes.extend([0xff, 0xe0]);
    }

    /// Adds an instruction that continues with the next.
    fn plain(&mut self, what: u8, source: &mut Source<'_>, scratch: usize) {
        let (a, b) = (source.register(), source.register());
        let (low, high) = (a & 7, a >> 3);
        // Both registers as an instruction names them: the first as operand, the second beside it.
        let (prefix, operands) = (0x40 | (b >> 3) << 2 | high, 0xc0 | (b & 7) << 3 | low);
        let wide = prefix | u8::from(what & 1 == 0) << 3;
        let offset = source.byte() & 0x78;
        // [r14 + offset] and the first register.
        let (memory_prefix, memory) = (0x49 | high << 2, 0x46 | low << 3);
        match what % 16 {
            0 | 1 => {
                let operation = [0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0x39, 0x85, 0x89, 0x87];
                let operation = operation[usize::from(source.byte()) % operation.len()];
                self.bytes.extend([wide, operation, operands]);
            }
            2 if high == 0 && b < 8 => self.bytes.extend([0x31, operands]),
            2 | 3 => {
                self.bytes.extend([0x40 | high, 0xb8 | low]);
                self.bytes.extend([source.byte(), source.byte(), 0, 0]);
            }
            4 => self.bytes.extend([memory_prefix, 0x8b, memory, offset]),
            5 => self.bytes.extend([memory_prefix, 0x89, memory, offset]),
            6 => self.bytes.extend([memory_prefix, 0x8d, memory, offset]),
            7 => {
                self.bytes.extend([0x48 | high << 2, 0x8d, 0x05 | low << 3]);
                self.distance(source, what & 16 == 0);
            }
            8 => {
                self.bytes.extend([0x48 | high << 2, 0x8b, 0x05 | low << 3]);
                let distance = scratch - (self.bytes.len() + 4) + usize::from(offset);
                self.bytes.extend((distance as u32).to_le_bytes());
            }
            9 => self.bytes.extend([0x40 | high, 0x50 | low]),
            10 => self.bytes.extend([0x40 | high, 0x50 | low, 0x40 | b >> 3, 0x58 | b & 7]),
            11 => self.bytes.extend([wide & !4, 0xf7, 0xd0 | (what >> 4 & 1) << 3 | low]),
            12 => self.bytes.extend([wide & !4, 0xc1, 0xe0 | low, offset >> 3]),
            13 => self.bytes.extend([wide, 0x0f, 0x40 | what >> 4, operands]),
            14 => self.bytes.extend([wide & !4, 0x83, 0xc0 | (what >> 4 & 7) << 3 | low, offset]),
            _ => self.bytes.extend(FIXED[usize::from(source.byte()) % FIXED.len()]),
        }
    }

    /// Fills in all distances, now that it is known where everything is.
    fn link(&mut self) {
        let last = self.pieces.len() - 1;
        let branches = self.branches.iter().map(|(at, to)| (*at, self.pieces[*to.min(&last)]));
        let calls = self.calls.iter().map(|(at, to)| (*at, self.functions[to % (self.functions.len() - 1)]));
        let all: Vec<_> = branches.chain(calls).collect();
        for (at, to) in all {
            let distance = to as i32 - (at as i32 + 4);
            self.bytes[at..at + 4].copy_from_slice(&distance.to_le_bytes());
        }
    }
}
