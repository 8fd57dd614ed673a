//! Boot disk of a machine: an ISO 9660 image with the content, a kernel, and an initramfs with the first process.

use crate::content::{Content, find};
use crate::emulator::Machine;
use crate::modules::{self, Kernel};
use crate::plan::Plan;
use husk_tests::run_briefly;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// ISOLINUX, and its library, which another package has.
const LOADER: [&str; 2] = ["/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios/ldlinux.c32"];

/// Files that an emulator boots from.
#[derive(Debug)]
pub struct Disk {
    /// ISO image, which a BIOS can boot.
    pub image: PathBuf,
    /// Kernel, for emulators that load one themselves.
    pub kernel: PathBuf,
    /// Initramfs of the kernel.
    pub initramfs: PathBuf,
}

/// Makes the disk of `machine`.
pub fn disk(machine: Machine, content: &Content, plan: &Plan) -> Disk {
    let kernel = Kernel::find(&crate::emulator::kernel_folder()).expect("it was found before");
    let folder = &content.folder;
    fs::write(folder.join("plan"), plan.lines()).expect("the target directory is ours");
    fs::write(folder.join("settings"), machine.settings()).expect("the target directory is ours");
    // One of the folders in which ISOLINUX looks for its library.
    let boot = folder.join("isolinux");
    fs::create_dir_all(&boot).expect("the target directory is ours");
    fs::copy(&kernel.image, boot.join("linux")).expect("the kernel can be read");
    initramfs(&kernel, &boot.join("initramfs"));
    for file in LOADER.map(Path::new) {
        fs::copy(file, boot.join(file.file_name().expect("a file"))).expect("it was found before");
    }
    let menu =
        format!("default linux\nlabel linux\nkernel linux\ninitrd initramfs\nappend {}\n", machine.kernel_line());
    fs::write(boot.join("isolinux.cfg"), menu).expect("the target directory is ours");
    let image = folder.with_extension("iso");
    let mut xorriso = Command::new("xorriso");
    xorriso.args([
        "-as",
        "mkisofs",
        "-quiet",
        "-R",
        "-b",
        "isolinux/isolinux.bin",
        "-c",
        "isolinux/catalogue",
        "-no-emul-boot",
    ]);
    xorriso.args(["-boot-load-size", "4", "-boot-info-table", "-o"]).arg(&image).arg(folder);
    run_briefly(&mut xorriso).expect_success();
    Disk { image, kernel: boot.join("linux"), initramfs: boot.join("initramfs") }
}

/// Checks for the programs and files that making a disk takes. Returns an error that names a missing one.
pub fn available() -> Result<(), String> {
    for (program, package) in [("busybox", "busybox-static"), ("cpio", "cpio"), ("xorriso", "xorriso")] {
        find(program).ok_or_else(|| format!("there is no {program}: apt-get install {package}"))?;
    }
    if LOADER.iter().any(|file| !Path::new(file).is_file()) {
        return Err("there is no ISOLINUX: apt-get install isolinux syslinux-common".to_owned());
    }
    Ok(())
}

/// Writes an archive with the first process, busybox and the modules to `to`. Not compressed, because an emulator takes
/// longer to expand than to read it.
fn initramfs(kernel: &Kernel, to: &Path) {
    let folder = to.with_extension("root");
    let _ = fs::remove_dir_all(&folder);
    for part in ["bin", "modules"] {
        fs::create_dir_all(folder.join(part)).expect("the target directory is ours");
    }
    fs::copy(find("busybox").expect("it was found before"), folder.join("bin/busybox")).expect("a file");
    let mut order = String::new();
    for module in &kernel.modules {
        let name = format!("{}.ko", modules::stem(module).expect("it was found before"));
        let bytes = modules::read(module).expect("it was read before");
        fs::write(folder.join("modules").join(&name), bytes).expect("the target directory is ours");
        order.push_str(&format!("{name}\n"));
    }
    fs::write(folder.join("modules/order"), &order).expect("the target directory is ours");
    let init = folder.join("init");
    fs::write(&init, include_str!("init.sh")).expect("the target directory is ours");
    executable(&init);
    let names = ["init", "bin", "bin/busybox", "modules", "modules/order"].map(str::to_owned).into_iter();
    let modules = order.lines().map(|name| format!("modules/{name}"));
    let list: String = names.chain(modules).map(|name| format!("{name}\n")).collect();
    let mut cpio = Command::new("cpio");
    cpio.args(["--quiet", "-o", "-H", "newc"]).current_dir(&folder);
    cpio.stdin(Stdio::piped()).stdout(fs::File::create(to).expect("the target directory is ours"));
    let mut cpio = cpio.spawn().expect("it was found before");
    cpio.stdin.take().expect("piped").write_all(list.as_bytes()).expect("it reads");
    assert!(cpio.wait().expect("our child").success(), "cpio failed");
    fs::remove_dir_all(&folder).expect("the target directory is ours");
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("our own file");
}
