//! Files that are refused, each with one line that names the file, the reason and the remedy.

use husk_tests::{Guest, build, patience, requires};
use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, ProgramHeader64};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// User that owns nothing.
const NOBODY: u32 = 65534;

type Header = FileHeader64<LE>;
type Segment = ProgramHeader64<LE>;

/// Valid image in memory, to be corrupted.
struct Image(Vec<u8>);

impl Image {
    fn good() -> Self {
        Self(fs::read(build::image("guests", "heap_and_clock")).expect("the image was just built"))
    }

    fn header(&mut self) -> &mut Header {
        object::pod::from_bytes_mut(&mut self.0).expect("an ELF header").0
    }

    fn segments(&mut self) -> &mut [Segment] {
        let header = *self.header();
        let table = &mut self.0[header.e_phoff.get(LE) as usize..];
        object::pod::slice_from_bytes_mut(table, header.e_phnum.get(LE).into()).expect("program headers").0
    }

    /// Segment number `index` of this type.
    fn segment(&mut self, kind: elf::ProgramType, index: usize) -> &mut Segment {
        self.segments().iter_mut().filter(|segment| segment.p_type.get(LE) == kind).nth(index).expect("such a segment")
    }

    fn load(&mut self, index: usize) -> &mut Segment {
        self.segment(elf::PT_LOAD, index)
    }

    /// Runs the changed image, and expects a refusal that has these parts.
    #[track_caller]
    fn refused(self, parts: &[&str]) {
        let (_directory, path) = file(&self.0);
        let name = path.display().to_string();
        Guest::image(path).run().expect_refusal(&[&name]).expect_refusal(parts);
    }
}

fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a directory for the image");
    let path = directory.path().join("image");
    fs::write(&path, bytes).expect("room for the image");
    (directory, path)
}

#[test]
fn a_good_image_is_not_refused() {
    let (_directory, path) = file(&Image::good().0);
    Guest::image(path).argument("7").run().expect_status(7);
}

#[test]
fn something_that_is_not_elf() {
    let (_directory, path) = file(&[b'#'; 4096]);
    Guest::image(path).run().expect_refusal(&["is not an ELF file", "cargo husk build"]);
}

#[test]
fn another_machine_and_another_class() {
    let mut image = Image::good();
    image.header().e_machine.set(LE, elf::EM_AARCH64);
    image.refused(&["for another machine", "x86-64"]);
    let mut image = Image::good();
    image.header().e_ident.class = elf::ELFCLASS32;
    image.refused(&["for another machine"]);
    let mut image = Image::good();
    image.header().e_type.set(LE, elf::ET_REL);
    image.refused(&["not an executable"]);
}

#[test]
fn truncated_at_every_byte_of_its_headers_and_at_many_beyond() {
    let image = Image::good().0;
    let (_directory, path) = file(&image);
    let full = image.len();
    let loaded = Image(image).segments().iter().map(|s| s.p_offset.get(LE) + s.p_filesz.get(LE)).max().expect("some");
    let lengths = (0..64).step_by(3).chain((64..700).step_by(56)).chain((700..loaded as usize).step_by(997));
    for length in lengths.chain([loaded as usize - 1]) {
        assert!(length < full);
        let file = fs::OpenOptions::new().write(true).open(&path).expect("our own file");
        let bytes = Image::good().0;
        fs::write(&path, &bytes).expect("room");
        file.set_len(length as u64).expect("our own file");
        Guest::image(&path).run().expect_refusal(&[&path.display().to_string(), "trunc"]);
    }
}

#[test]
fn writable_and_executable() {
    let mut image = Image::good();
    image.load(1).p_flags.set(LE, elf::PF_R | elf::PF_W | elf::PF_X);
    image.refused(&["both writable and executable"]);
}

#[test]
fn overlapping_unordered_oversized_and_wrapping_segments() {
    let mut image = Image::good();
    let address = image.load(0).p_vaddr.get(LE);
    let offset = image.load(0).p_offset.get(LE);
    image.load(1).p_vaddr.set(LE, address);
    image.load(1).p_offset.set(LE, offset);
    image.refused(&["shares a page"]);

    let mut image = Image::good();
    let (first, second) = (*image.load(0), *image.load(1));
    *image.load(0) = second;
    *image.load(1) = first;
    image.refused(&["out of order"]);

    let mut image = Image::good();
    image.load(1).p_filesz.set(LE, 1 << 40);
    image.load(1).p_memsz.set(LE, 1 << 40);
    image.refused(&["truncated", "beyond the end of the file"]);

    let mut image = Image::good();
    image.load(2).p_memsz.set(LE, 1 << 40);
    image.refused(&["shares a page"]);

    let mut image = Image::good();
    let memory = image.load(1).p_memsz.get(LE);
    image.load(1).p_filesz.set(LE, memory + 4096);
    image.refused(&["larger in the file than in memory"]);

    let mut image = Image::good();
    let address = image.load(1).p_vaddr.get(LE);
    image.load(1).p_vaddr.set(LE, address.wrapping_sub(1 << 40));
    image.load(1).p_memsz.set(LE, 1 << 41);
    image.refused(&["wraps around"]);

    let mut image = Image::good();
    let address = image.load(1).p_vaddr.get(LE);
    image.load(1).p_vaddr.set(LE, address + (1 << 50));
    image.refused(&["beyond the addresses of a guest"]);

    let mut image = Image::good();
    let address = image.load(1).p_vaddr.get(LE);
    image.load(1).p_vaddr.set(LE, address + 8);
    image.refused(&["page by page"]);
}

#[test]
fn a_fixed_image_where_the_null_page_must_be() {
    let mut image = Image::good();
    // The image is linked for address 0, as relocatable images are.
    image.header().e_type.set(LE, elf::ET_EXEC);
    image.refused(&["below the 4 MiB that a fixed image must leave free", "position-independent"]);
}

#[test]
fn strange_headers() {
    let mut image = Image::good();
    image.header().e_phnum.set(LE, 0);
    image.refused(&["0 program headers"]);
    let mut image = Image::good();
    image.header().e_phnum.set(LE, 9999);
    image.refused(&["9999 program headers"]);
    let mut image = Image::good();
    image.header().e_phentsize.set(LE, 32);
    image.refused(&["program headers of 32 bytes"]);
    let mut image = Image::good();
    image.header().e_phoff.set(LE, u64::MAX - 8);
    image.refused(&["truncated"]);
    let mut image = Image::good();
    image.header().e_entry.set(LE, 0x10);
    image.refused(&["entry point", "outside its code"]);
}

#[test]
fn another_version_missing_notes_and_malformed_notes() {
    let mut image = Image::good();
    let at = contract_note(&image.0);
    image.0[at + 8] = 99;
    image.refused(&["contract version 99", "install a newer husk"]);

    let mut image = Image::good();
    for segment in image.segments().iter_mut().filter(|segment| segment.p_type.get(LE) == elf::PT_NOTE) {
        segment.p_type.set(LE, elf::PT_NULL);
    }
    image.refused(&["not a husk image: build it with `cargo husk build`"]);

    let mut image = Image::good();
    let at = contract_note(&image.0);
    image.0[at - 12..at - 8].copy_from_slice(&u32::MAX.to_le_bytes());
    image.refused(&["malformed note"]);
}

#[test]
fn relocations_of_the_packed_kind() {
    let mut image = Image::good();
    let offset = image.segment(elf::PT_DYNAMIC, 0).p_offset.get(LE) as usize;
    image.0[offset..offset + 8].copy_from_slice(&36u64.to_le_bytes());
    image.refused(&["RELR", "without `-z pack-relative-relocs`"]);
}

#[test]
fn relocations_that_cannot_be_applied() {
    let table = |image: &mut Image| {
        let dynamic = image.segment(elf::PT_DYNAMIC, 0).p_offset.get(LE) as usize;
        let entry = |tag: u64| {
            let entries = image.0[dynamic..].chunks_exact(16);
            let at = entries.take(64).position(|entry| entry[..8] == tag.to_le_bytes()).expect("a relocation table");
            dynamic + at * 16 + 8
        };
        let (address, size) = (entry(7), entry(8));
        let first = u64::from_le_bytes(image.0[address..address + 8].try_into().expect("eight bytes")) as usize;
        (address, size, first)
    };
    // The table lies in the first segment, where addresses and offsets are the same.
    let mut image = Image::good();
    let (_, _, first) = table(&mut image);
    image.0[first + 8] = 37;
    image.refused(&["relocations that cannot be applied", "not of the type R_X86_64_RELATIVE"]);

    for target in [0u64, 0x40, 1 << 40, u64::MAX - 3] {
        let mut image = Image::good();
        let (_, _, first) = table(&mut image);
        image.0[first..first + 8].copy_from_slice(&target.to_le_bytes());
        image.refused(&["relocations that cannot be applied", "not in the image's data"]);
    }

    let mut image = Image::good();
    let (address, ..) = table(&mut image);
    image.0[address..address + 8].copy_from_slice(&(u64::MAX - 8).to_le_bytes());
    image.refused(&["relocations that cannot be applied", "not in the image"]);

    let mut image = Image::good();
    let (_, size, _) = table(&mut image);
    image.0[size..size + 8].copy_from_slice(&(1u64 << 50).to_le_bytes());
    image.refused(&["relocations that cannot be applied", "too large"]);
}

#[test]
fn a_plain_linux_executable() {
    Guest::image("/bin/sh").run().expect_refusal(&["/bin/sh", "not a husk image: build it with `cargo husk build`"]);
}

#[test]
fn too_little_and_too_much_memory() {
    Guest::native("heap_and_clock")
        .flag("--memory=64K")
        .run()
        .expect_refusal(&["needs 4M of memory but has 2M", "--memory 4M"]);
    Guest::native("heap_and_clock").flag("--memory=900G").run().expect_refusal(&["at most 128G", "--memory"]);
}

#[test]
fn an_image_that_asks_for_more_memory_than_it_gets_by_itself() {
    let asked = (64_u64 << 20).to_le_bytes();
    let stack = (1_u64 << 20).to_le_bytes();
    let mut image = Image::good();
    let at = image.0.windows(16).position(|bytes| bytes == [asked, stack].concat()).expect("a manifest");
    image.0[at..at + 8].copy_from_slice(&(600_u64 << 20).to_le_bytes());
    let (_directory, path) = file(&image.0);
    let guest = || Guest::image(&path);
    let name = path.display().to_string();
    guest().run().expect_refusal(&[&name, "asks for 600M", "at most 512M", "--memory-max 600M", "--memory"]);
    guest().flag("--explain").run().expect_refusal(&[&name, "asks for 600M"]);
    guest().flag("--memory-max=599M").run().expect_refusal(&["at most 599M"]);
    for allowed in ["--memory-max=600M", "--memory-max=none", "--memory=64M", "--memory=700M"] {
        guest().flag(allowed).run().expect_success();
    }
    // `--memory-max` limits the image's request, not the operator's own `--memory`.
    guest().flag("--memory-max=1M").flag("--memory=64M").run().expect_success();
    Guest::native("heap_and_clock").flag("--memory-max=32M").run().expect_refusal(&["asks for 64M", "at most 32M"]);
}

#[test]
fn a_directory_a_missing_file_and_one_without_permission() {
    let (directory, path) = file(&Image::good().0);
    Guest::image(directory.path()).run().expect_refusal(&["is a directory"]);
    Guest::image(directory.path().join("nowhere")).run().expect_refusal(&["no such file"]);
    Guest::image("/dev/null").run().expect_refusal(&["not a regular file"]);
    drop(path);
}

#[test]
fn an_image_that_the_host_cannot_open_now() {
    let guest = Guest::native("heap_and_clock").through(&["sh", "-c", "ulimit -n 3 && exec \"$@\"", "sh"]);
    guest.run().expect_refusal(&["cannot be opened", "os error 24"]);
}

#[test]
fn an_image_that_may_not_be_read() {
    if !requires::root() {
        return;
    }
    let (directory, path) = file(&Image::good().0);
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("our own directory");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our own file");
    Guest::image(path).user(NOBODY).run().expect_refusal(&["no permission to read it"]);
}

#[test]
fn no_kvm_and_no_permission_to_use_it() {
    if !requires::root() {
        return;
    }
    let (directory, path) = file(&Image::good().0);
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("our own directory");
    let private_dev = "mount --make-rprivate / && mount -t tmpfs none /dev && exec \"$@\"";
    let without_dev = ["unshare", "--mount", "sh", "-c", private_dev, "sh"];
    let guest = || Guest::image(&path).flag("--target=hvt");
    guest().through(&without_dev).run().expect_refusal(&["/dev/kvm does not exist"]);
    let kept_for_root = "mount --make-rprivate / && mount -t tmpfs none /dev && mknod -m 600 /dev/kvm c 10 232 \
        && exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"";
    let as_nobody = ["unshare", "--mount", "sh", "-c", kept_for_root, "sh"];
    guest().through(&as_nobody).run().expect_refusal(&["no permission to use /dev/kvm", "usermod"]);
}

/// Offset of the name of the note that holds the version of the contract.
fn contract_note(bytes: &[u8]) -> usize {
    find(bytes, &[&b"Husk\0\0\0\0"[..], &husk_abi::VERSION.to_le_bytes()].concat())
}

/// Offset of `pattern`.
fn find(bytes: &[u8], pattern: &[u8]) -> usize {
    bytes.windows(pattern.len()).position(|window| window == pattern).expect("the pattern is there")
}

/// Pseudorandom numbers (xorshift), so that a seed identifies a case.
fn numbers(seed: u64) -> impl FnMut() -> usize {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize
    }
}

/// Runs a command. Returns its output and status; `None` if the command had to be killed after a while.
fn briefly(command: &mut Command) -> Option<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the tender starts");
    let deadline = Instant::now() + patience(Duration::from_millis(200));
    while Instant::now() < deadline {
        if child.try_wait().expect("our own child").is_some() {
            return Some(child.wait_with_output().expect("our own child"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("our own child");
    child.wait().expect("our own child");
    None
}

#[test]
fn random_damage_to_what_the_tender_reads_is_survived() {
    let mut good = Image::good();
    let dynamic = good.segment(elf::PT_DYNAMIC, 0).p_offset.get(LE) as usize;
    let headers = 64 + size_of_val(good.segments());
    let read = [0..headers, headers..headers + 0x400, dynamic..dynamic + 0xe0];
    let directory = TempDir::new().expect("a directory for the images");
    for seed in 0..400 {
        let mut next = numbers(seed + 1);
        let mut bytes = good.0.clone();
        for _ in 0..1 + next() % 4 {
            let part = &read[next() % read.len()];
            let at = part.start + next() % part.len();
            bytes[at] = [0, 0xff, 0x7f, bytes[at] ^ (1 << (next() % 8)), next() as u8][next() % 5];
        }
        let path = directory.path().join(format!("seed-{seed}"));
        fs::write(&path, &bytes).expect("room for the image");
        for command in ["inspect", "run"] {
            // A guest with another entry point may run for ever, which does no harm to the tender.
            let Some(output) = briefly(Command::new(build::husk()).arg(command).arg(&path)) else { continue };
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code().is_some(), "seed {seed}: {} {stderr}", output.status);
            assert!(!stderr.contains("panicked at tender"), "seed {seed}: {stderr}");
        }
        fs::remove_file(&path).expect("our own file");
    }
}
