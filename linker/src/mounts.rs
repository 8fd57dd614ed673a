//! Mounts that a package asks for: `[package.metadata.husk.mounts]` in its `Cargo.toml`.
//!
//! ```toml
//! [package.metadata.husk.mounts]   # places of the file systems on disks
//! data = "/var/lib/app"            # or "/var/lib/app:ro"
//! ```

use husk_abi::note::{Device, device_kind, is_device_name};
use serde_json::Value;

/// Reads the table: each name is that of a disk among `devices`. Returns the mounts as `--mount` takes them.
pub fn read(table: &Value, devices: &[Device]) -> Result<Vec<String>, String> {
    let Value::Object(table) = table else { return Err("mounts is not a table".into()) };
    let is_disk = |name: &str| {
        devices.iter().any(|device| device.kind == device_kind::BLOCK && device.name().is_some_and(|own| own == name))
    };
    let read = |(name, value): (&String, &Value)| match value.as_str() {
        _ if !is_disk(name) => {
            Err(format!("mounts has '{name}', which is no disk; add {name} = \"block\" to the devices"))
        }
        Some(path) if is_place(path) => Ok(format!("{name}:{path}")),
        _ => Err(format!("mounts: {name} = {value} is no absolute path without . and .., such as \"/var/lib/app\"")),
    };
    table.iter().map(read).collect()
}

/// Checks the value of a `--mount` of the build.
pub fn check(mount: &str) -> Result<(), String> {
    match mount.split_once(':') {
        Some((name, path)) if is_device_name(name) && is_place(path) => Ok(()),
        _ => Err(format!("--mount {mount}: write NAME:PATH or NAME:PATH:ro, such as data:/var/lib/app")),
    }
}

/// Returns true if a disk can be mounted there. The environment separates mounts by spaces, so a path has none.
fn is_place(path: &str) -> bool {
    let path = path.strip_suffix(":ro").unwrap_or(path);
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    path.starts_with('/')
        && path.len() < 4095
        && !names.is_empty()
        && names.iter().all(|name| !matches!(*name, "." | "..") && name.len() <= 255)
        && !path.contains(|one: char| one.is_whitespace() || one.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_disk_has_its_place() {
        let devices = [("data", device_kind::BLOCK), ("front", device_kind::NETWORK)];
        let devices = devices.map(|(name, kind)| Device::new(name, kind).expect("a name"));
        let mounts = |table: Value| read(&table, &devices);
        assert_eq!(mounts(json!({ "data": "/var/lib/app" })), Ok(vec!["data:/var/lib/app".into()]));
        assert_eq!(mounts(json!({ "data": "/srv:ro" })), Ok(vec!["data:/srv:ro".into()]));
        assert_eq!(mounts(json!({})), Ok(vec![]));
        for (table, part) in [
            (json!({ "front": "/x" }), "add front = \"block\""),
            (json!({ "none": "/x" }), "add none = \"block\""),
            (json!({ "data": "x" }), "no absolute path"),
            (json!({ "data": "/" }), "no absolute path"),
            (json!({ "data": "/a/../b" }), "no absolute path"),
            (json!({ "data": "/a b" }), "no absolute path"),
            (json!({ "data": 7 }), "no absolute path"),
            (json!("data"), "not a table"),
        ] {
            let error = mounts(table.clone()).expect_err("refused");
            assert!(error.contains(part), "{table}: {error}");
        }
    }
}
