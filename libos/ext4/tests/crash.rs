//! Losses of power: a disk that loses, tears and reorders what was not flushed is cut off in the middle of random work. After
//! the journal's replay, by the volume and by e2fsck, the file system has no fault, and all that was synced is there.
//!
//! `HUSK_CUTS` sets the number of cuts (1000), `HUSK_SEED` the first seed.

mod support;

use support::model::crowded::ENOSPC;
use support::model::{Model, Step, Tree, steps};
use support::random::Random;
use support::recorder::Recorder;
use support::*;

/// Steps of one run.
const STEPS: usize = 120;
/// Cuts in one run.
const CUTS: usize = 25;

/// Kinds of file system: MiB, and arguments of mkfs.ext4.
const KINDS: [(usize, &[&str]); 3] = [
    (8, &["-b", "1024", "-J", "size=1", "-N", "600"]),
    (14, &["-b", "4096", "-J", "size=4", "-N", "600"]),
    (8, &["-b", "1024", "-J", "size=1", "-N", "600", "-O", "^metadata_csum,^64bit", "-I", "128"]),
];

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Does steps on a disk, and returns it with the model.
fn run(steps: &[Step], base: &[u8]) -> (Recorder, Model) {
    let disk = Recorder::new(base.to_vec());
    let mut guest = Guest::mount(disk.clone());
    let mut model = Model::new(Tree::new(), disk.told());
    for step in steps {
        model.run(step, &mut guest, &disk, || disk.told());
    }
    (disk, model)
}

/// Cuts a disk off, and checks what is left.
fn cut(disk: &Recorder, model: &Model, random: &mut Random, with_fsck: bool) -> Result<(), String> {
    let (told, left) = {
        let state = disk.0.lock().expect("no panic");
        let told = random.below(state.told.len() + 1);
        (told, state.cut(told, random))
    };
    let about = |text: String| format!("cut after {told}: {text}");
    // The replay is cut off too, twice.
    let mut left = left;
    for _ in 0..2 * random.below(2) {
        left = interrupted(left, random).map_err(about)?;
    }
    replayed(left.clone(), model, told).map_err(about)?;
    if with_fsck {
        let (status, text, mended) = check(&left, &["-f", "-y", "-E", "no_optimize_extents"]);
        let is_fault = |line: &&str| {
            let expected = [
                "recovering journal",
                "Clearing orphaned inode",
                "Truncating orphaned inode",
                "Setting free",
                "Pass ",
                ": ",
            ];
            !line.is_empty() && !expected.iter().any(|part| line.contains(part)) && !line.starts_with("e2fsck ")
        };
        let is_mended = text.contains("FILE SYSTEM WAS MODIFIED") && text.contains("Fix?");
        let fault = text.lines().find(is_fault).filter(|line| !line.contains("FILE SYSTEM WAS MODIFIED"));
        if status > 1 || is_mended || fault.is_some() {
            return Err(about(format!("e2fsck -fy had more to do than to replay the journal: {text}")));
        }
        replayed(mended.unwrap_or_default(), model, told)
            .map_err(|error| about(format!("after e2fsck -fy: {error}")))?;
    }
    Ok(())
}

/// Mounts a disk, which loses power meanwhile.
fn interrupted(disk: Vec<u8>, random: &mut Random) -> Result<Vec<u8>, String> {
    let disk = Recorder::new(disk);
    Guest::try_mount(disk.clone(), false).map(drop).map_err(|error| format!("mount before a cut: {error}"))?;
    let state = disk.0.lock().expect("no panic");
    let told = random.below(state.told.len() + 1);
    Ok(state.cut(told, random))
}

/// Mounts a disk, compares it with the model, writes to it, and has it checked.
fn replayed(disk: Vec<u8>, model: &Model, told: usize) -> Result<(), String> {
    let disk = Memory::new(disk);
    let mut guest = Guest::try_mount(disk.clone(), false).map_err(|error| format!("mount: {error}"))?;
    model.check(&mut guest, told)?;
    match guest.put("after the crash", &[7; 50_000]) {
        Ok(()) => {}
        Err(ENOSPC) if model.is_filling(told) => {}
        Err(error) => return Err(format!("writing: error {error}")),
    }
    guest.volume.unmount().map_err(|_| "unmount failed".to_owned())?;
    let disk = disk.0.lock().expect("no panic");
    let (status, text, _) = check(&disk, &["-f", "-n"]);
    if status == 0 { Ok(()) } else { Err(format!("e2fsck -fn: {text}")) }
}

/// Runs steps and cuts; returns the first fault.
fn fault(steps: &[Step], base: &[u8], seed: u64, cuts: usize) -> Option<String> {
    let (disk, model) = run(steps, base);
    let mut random = Random::new(seed);
    (0..cuts).find_map(|number| cut(&disk, &model, &mut random, number % 4 == 0).err())
}

/// Leaves steps out as long as there is a fault.
fn shrink(mut steps: Vec<Step>, base: &[u8], seed: u64, mut text: String) -> (Vec<Step>, String) {
    let (mut size, mut tries) = (steps.len() / 2, 60);
    while size > 0 && tries > 0 {
        let mut at = 0;
        while at < steps.len() && tries > 0 {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + size).min(fewer.len()));
            tries -= 1;
            match fault(&fewer, base, seed, CUTS) {
                Some(other) => (steps, text) = (fewer, other),
                None => at += size,
            }
        }
        size /= 2;
    }
    (steps, text)
}

#[test]
fn what_was_synced_survives_a_loss_of_power_at_any_point() {
    if !has_tools() {
        return;
    }
    let (runs, first) = (number("HUSK_CUTS", 1000).div_ceil(CUTS), number("HUSK_SEED", 1));
    let bases = KINDS.map(|(size, arguments)| make(size, arguments));
    let mut threads = Vec::new();
    for thread in 0..2 {
        let bases = bases.clone();
        threads.push(std::thread::spawn(move || {
            for seed in (first..first + runs).filter(|seed| seed % 2 == thread) {
                let base = &bases[seed % bases.len()];
                let all = steps(&mut Random::new(seed as u64), STEPS);
                if let Some(text) = fault(&all, base, seed as u64, CUTS) {
                    let (steps, text) = shrink(all, base, seed as u64, text);
                    panic!("HUSK_SEED={seed} on {:?}: {text}\nafter {steps:#?}", KINDS[seed % KINDS.len()]);
                }
            }
        }));
    }
    let results: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
    assert!(results.iter().all(Result::is_ok), "see above");
}
