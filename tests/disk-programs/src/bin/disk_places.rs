//! Reads and writes whole sectors in every kind of memory that a program has: constants, data, stacks, the heap, and stacks of
//! threads where there is little heap left, which have no memory before they are touched.

use std::cell::UnsafeCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;

const LENGTH: usize = 8192;
const THREADS: u8 = 8;

#[repr(align(4096))]
struct Sectors([u8; LENGTH]);

#[repr(align(4096))]
struct Shared(UnsafeCell<[u8; LENGTH]>);

// SAFETY: only the main thread accesses the array.
unsafe impl Sync for Shared {}

static CONSTANT: Sectors = Sectors([0xc0; LENGTH]);
static DATA: Shared = Shared(UnsafeCell::new([1; LENGTH]));

fn main() {
    let file = Arc::new(File::options().read(true).write(true).open("/dev/data").expect("it is attached"));
    file.write_all_at(&CONSTANT.0, 0).expect("constants are written");
    // SAFETY: only the main thread accesses the array, and only by this reference.
    let data = unsafe { &mut *DATA.0.get() };
    file.read_exact_at(data, 0).expect("data is read");
    assert!(data.iter().all(|byte| *byte == 0xc0));
    let mut stack = Sectors([0; LENGTH]);
    file.read_exact_at(&mut stack.0, 0).expect("the stack is read to");
    assert!(stack.0 == CONSTANT.0);
    let mut heap = Box::new(Sectors([0; LENGTH]));
    file.read_exact_at(&mut heap.0, 0).expect("the heap is read to");
    assert!(heap.0 == CONSTANT.0);

    let most_of_the_heap = std::hint::black_box(Vec::<u8>::with_capacity(300 << 20));
    let threads: Vec<_> = (1..=THREADS)
        .map(|number| {
            let file = Arc::clone(&file);
            thread::spawn(move || {
                let offset = u64::from(number) * LENGTH as u64;
                let own = Sectors([number; LENGTH]);
                file.write_all_at(&own.0, offset).expect("a thread's stack is written");
                let mut found = Sectors([0; LENGTH]);
                file.read_exact_at(&mut found.0, offset).expect("a thread's stack is read to");
                assert!(found.0 == own.0, "thread {number}");
                // Deep enough that no earlier call has touched the stack there.
                deep(&file, offset, number, 20);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
    println!("from everywhere, with {} MiB held", most_of_the_heap.capacity() >> 20);
}

fn deep(file: &File, offset: u64, number: u8, depth: u32) {
    let mut found = Sectors([0; LENGTH]);
    if depth > 0 {
        deep(file, offset, number, depth - 1);
    }
    file.read_exact_at(&mut found.0, offset).expect("a deep stack is read to");
    assert!(found.0.iter().all(|byte| *byte == number));
}
