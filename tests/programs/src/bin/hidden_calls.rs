//! Makes system calls that no search through its code can find: `all` of them, each with meaningless arguments, or the one
//! with the number and the arguments on the command line, in which `@` stands for the last argument, a path.

use std::arch::asm;
use std::ffi::CString;

/// Calls that would not return, or after which nothing can be printed.
const NOT_MADE: &[usize] = &[
    1,   // write, which prints this
    3,   // close
    15,  // rt_sigreturn
    23,  // select, for ever
    34,  // pause
    35,  // nanosleep
    56,  // clone
    57,  // fork
    58,  // vfork
    60,  // exit
    130, // rt_sigsuspend
    158, // arch_prctl
    218, // set_tid_address
    231, // exit_group
    270, // pselect6, for ever
    271, // ppoll, for ever
    335, // uretprobe and uprobe: the kernel's own trampolines make them, so seccomp lets
    336, // them through; a program that makes them without a probe is killed
    435, // clone3
    436, // close_range
];

/// Makes a system call by the second and third byte of another instruction.
fn call(number: usize, arguments: [usize; 5]) -> isize {
    let result;
    // SAFETY: none: the outcome is what is tested.
    unsafe {
        asm!(
            "call 2f + 1", "jmp 3f",
            "2:", ".byte 0xb8, 0x0f, 0x05, 0xc3, 0x90", // mov $0x90c3050f, %eax; from its second byte on: syscall; ret
            "3:",
            inout("rax") number => result, in("rdi") arguments[0], in("rsi") arguments[1], in("rdx") arguments[2],
            in("r10") arguments[3], in("r8") arguments[4], in("r9") 0, out("rcx") _, out("r11") _,
        );
    }
    result
}

fn main() {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some("all") {
        for number in (0..1024).filter(|number| !NOT_MADE.contains(number)) {
            let result = call(number, [usize::MAX; 5]);
            println!("{number}: {}", if result < 0 { result } else { 0 });
        }
        return;
    }
    let words: Vec<String> = words.collect();
    let path = words.last().and_then(|path| CString::new(path.as_str()).ok()).expect("a path as last argument");
    let values = words.iter().map(|word| match word.as_str() {
        "@" => path.as_ptr() as usize,
        word => word.parse().unwrap_or(0),
    });
    let mut arguments = [0; 6];
    arguments.iter_mut().zip(values).for_each(|(to, value)| *to = value);
    let [number, arguments @ ..] = arguments;
    println!("{}", call(number, arguments));
}
