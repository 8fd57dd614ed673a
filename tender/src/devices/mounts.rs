//! Match between mounts and disks.

use super::attach::{Mismatch, What};
use super::folder;
use super::mount::Mount;
use crate::image::Kind;

/// Mounts of a run: those that the user gives, and those of the image for disks that the user gives none for.
pub fn all(given: &[Mount], of_image: &[Mount]) -> Vec<Mount> {
    let is_given = |mount: &&Mount| given.iter().any(|other| other.disk == mount.disk);
    given.iter().chain(of_image.iter().filter(|mount| !is_given(mount))).cloned().collect()
}

/// Gives each disk its mount; an error if there is no such disk, or no place for the mount.
pub fn give(named: &mut [(String, What)], mounts: &[Mount]) -> Result<(), Mismatch> {
    for mount in mounts {
        check_place(named, mount)?;
        let disk = named.iter_mut().find(|(name, what)| *name == mount.disk && what.kind() == Kind::Block);
        let Some((_, What::Block(options))) = disk else {
            return Err(Mismatch::NoDisk { disk: mount.disk.clone(), place: mount.place.clone() });
        };
        if options.mount.is_some() {
            return Err(Mismatch::MountedTwice { disk: mount.disk.clone() });
        }
        options.mount = Some(mount.clone());
    }
    Ok(())
}

/// Returns an error for a mount at the place of another or of a folder, or inside of one.
fn check_place(named: &[(String, What)], mount: &Mount) -> Result<(), Mismatch> {
    for (_, what) in named {
        let other = match what {
            What::Folder(folder::Options { guest, .. }) => guest,
            What::Block(super::block::Options { mount: Some(other), .. }) => &other.place,
            What::Block(_) | What::Network(_) => continue,
        };
        let is_inside = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
        if mount.place == *other || is_inside(&mount.place, other) || is_inside(other, &mount.place) {
            let (disk, place) = (mount.disk.clone(), mount.place.clone());
            return Err(Mismatch::PlaceTaken { disk, place, other: other.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::block;

    #[test]
    fn each_mount_needs_a_disk_and_a_place() {
        let disk = |name: &str| (name.to_owned(), What::Block(block::Options::default()));
        let folder = What::Folder(folder::Options { guest: "/srv/data".into(), ..folder::Options::default() });
        let named = || vec![disk("a"), disk("b"), ("files:2".to_owned(), folder.clone())];
        let refusal = |mounts: &[&str]| {
            let mounts: Vec<_> = mounts.iter().map(|text| Mount::parse(text).expect("well-formed")).collect();
            give(&mut named(), &mounts).err().map(|mismatch| mismatch.to_string())
        };
        assert_eq!(refusal(&["a:/x", "b:/y"]), None);
        for (mounts, part) in [
            (&["c:/x"][..], "add --block c=FILE"),
            (&["files:/x"], "add --block files=FILE"),
            (&["a:/x", "a:/y"], "the disk 'a' is mounted twice"),
            (&["a:/x", "b:/x"], "there is another folder or disk at /x"),
            (&["a:/x", "b:/x/y"], "there is another folder or disk at /x"),
            (&["a:/srv"], "there is another folder or disk at /srv/data"),
            (&["a:/srv/data/x"], "there is another folder or disk at /srv/data"),
        ] {
            let refusal = refusal(mounts).expect("refused");
            assert!(refusal.contains(part), "{mounts:?}: {refusal}");
        }
    }

    #[test]
    fn a_flag_replaces_the_mount_of_the_image() {
        let [a, b, other] = ["a:/x", "b:/y", "a:/z:ro"].map(|text| Mount::parse(text).expect("well-formed"));
        assert_eq!(all(std::slice::from_ref(&other), &[a.clone(), b.clone()]), [other, b.clone()]);
        assert_eq!(all(&[], &[a.clone(), b.clone()]), [a, b]);
    }
}
