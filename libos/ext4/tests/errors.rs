//! Disks that refuse writes: the volume becomes read-only and says so, and a later replay finds all that was synced.

mod support;

use support::model::{Model, Tree, steps};
use support::random::Random;
use support::recorder::Recorder;
use support::*;

const EIO: u32 = 5;
const EROFS: u32 = 30;

#[test]
fn a_refused_write_makes_the_volume_read_only() {
    if !has_tools() {
        return;
    }
    let base = make(8, &["-b", "1024", "-J", "size=1"]);
    for after in 0..40 {
        let disk = Recorder::new(base.clone());
        let mut guest = Guest::mount(disk.clone());
        guest.put("kept", &[1; 9000]).expect("room");
        let kept = guest.open("kept", RDWR).expect("it is there");
        guest.sync(kept, false).expect("the disk works");
        let fails_after = disk.told() + after;
        disk.0.lock().expect("no panic").fails_after = Some(fails_after);
        let mut errors = Vec::new();
        for number in 0..6 {
            let path = format!("f{number}");
            let written = guest.put(&path, &[2; 5000]);
            let synced = guest.open(&path, RDWR).and_then(|handle| guest.sync(handle, false).and(guest.close(handle)));
            errors.extend([written, synced].into_iter().filter_map(Result::err));
        }
        let has_failed = guest.volume.has_failed();
        assert_eq!(has_failed, disk.0.lock().expect("no panic").has_failed, "after {after}");
        if has_failed {
            // The error itself is told by the first sync.
            assert!(errors.contains(&EIO), "after {after}: {errors:?}");
            assert_eq!(guest.put("g", b"x"), Err(EROFS), "after {after}");
            assert_eq!(guest.unlink("kept"), Err(EROFS), "after {after}");
            assert_eq!(guest.sync(kept, false), Err(EIO), "after {after}");
        }
        assert_eq!(guest.get("kept"), Ok(vec![1; 9000]), "after {after}");
        let unmounted = guest.volume.unmount();
        assert_eq!(unmounted.is_err(), disk.0.lock().expect("no panic").has_failed, "after {after}");
        let left = disk.now();
        let (status, text, mended) = check(&left, &["-f", "-y"]);
        assert!(status <= 1, "after {after}: {text}");
        assert_clean(&mended.expect("a disk"));
        let mut guest = Guest::mount(Memory::new(left));
        assert_eq!(guest.get("kept"), Ok(vec![1; 9000]), "after {after}");
        guest.put("again", b"x").expect("room");
        guest.volume.unmount().expect("it is unmounted");
    }
}

#[test]
fn what_was_synced_survives_a_disk_that_refuses_writes() {
    if !has_tools() {
        return;
    }
    let base = make(8, &["-b", "1024", "-J", "size=1"]);
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let disk = Recorder::new(base.clone());
        let mut guest = Guest::mount(disk.clone());
        let mut model = Model::new(Tree::new(), disk.told());
        for step in steps(&mut random, 60) {
            model.run(&step, &mut guest, &disk, || disk.told());
        }
        let told = disk.told();
        disk.0.lock().expect("no panic").fails_after = Some(told + random.below(30));
        for number in 0..20 {
            let path = format!("late{number}");
            let _ = guest.put(&path, &[3; 20_000]);
            let _ = guest.open(&path, RDWR).and_then(|handle| guest.sync(handle, false));
        }
        drop(guest);
        let mut guest = Guest::mount(Memory::new(disk.now()));
        // Only what the model has done is compared: later files have other names.
        for number in 0..20 {
            let _ = guest.unlink(&format!("late{number}"));
        }
        model.check(&mut guest, told).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}
