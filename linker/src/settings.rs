//! Settings that a package has for its images: `[package.metadata.husk]` in its `Cargo.toml`.
//!
//! ```toml
//! [package.metadata.husk]
//! std = false         # a native program over the crate `husk`; true by default
//! memory = "64M"      # guest memory; more than 512M takes `--memory-max` where the image runs elsewhere
//! stack = "1M"        # stack of the main thread
//! files = "assets"    # a folder of the package; the program finds its contents at /
//!
//! [package.metadata.husk.devices]  # devices that it is not started without
//! front = "network"
//! data = "block"
//!
//! [package.metadata.husk.mounts]   # places at which it finds the file systems on disks
//! data = "/var/lib/app"
//! ```

use crate::error::{Error, Result};
use crate::link::files::Tree;
use crate::mounts;
use husk_abi::note::{DEVICE_NAME_MAXIMUM, DEVICES_MAXIMUM, Device, Manifest, device_kind, kind};
use husk_abi::size;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Sort of program that a package makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An ordinary program: the libos answers its system calls.
    Std,
    /// A `no_std` program over the crate `husk`.
    Native,
}

impl Kind {
    /// Returns the rustc target that the kind is built for.
    pub const fn target(self) -> &'static str {
        match self {
            Self::Std => husk_toolchain::MUSL,
            Self::Native => husk_toolchain::NONE,
        }
    }

    /// Returns the name of the kind in the environment of the linker step.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Std => "std",
            Self::Native => "native",
        }
    }
}

/// Separator before the mounts in the environment; a device is a name and a number with a colon between them.
const MOUNTS: &str = " :mounts";
/// Separator before the files.
const FILES: &str = " files ";

/// Settings of a package's images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Sort of program.
    pub kind: Kind,
    /// Guest memory in bytes.
    pub memory: u64,
    /// Stack of the main thread in bytes.
    pub stack: u64,
    /// Devices that the program wants.
    pub devices: Vec<Device>,
    /// True if the images can mount disks.
    pub volumes: bool,
    /// Mounts of disks, as `--mount` takes them.
    pub mounts: Vec<String>,
    /// Folder with the files that go into the images.
    pub files: Option<PathBuf>,
}

impl Settings {
    /// Defaults of a kind of program.
    pub const fn of_kind(kind: Kind) -> Self {
        let (memory, stack) = match kind {
            Kind::Std => (512 << 20, 8 << 20),
            Kind::Native => (64 << 20, 1 << 20),
        };
        Self { kind, memory, stack, devices: Vec::new(), volumes: false, mounts: Vec::new(), files: None }
    }

    /// Reads the value of `package.metadata` of `package`, which is in `folder`.
    pub fn from_metadata(package: &str, folder: &Path, metadata: &Value) -> Result<Self> {
        let complain = |what: String| Error::new(format!("package '{package}', [package.metadata.husk]: {what}"));
        let table = match metadata.get("husk") {
            None => return Ok(Self::of_kind(Kind::Std)),
            Some(Value::Object(table)) => table,
            Some(_) => return Err(complain("it is not a table".into())),
        };
        let kind = match table.get("std") {
            None | Some(Value::Bool(true)) => Kind::Std,
            Some(Value::Bool(false)) => Kind::Native,
            Some(value) => return Err(complain(format!("std = {value} is neither true nor false"))),
        };
        let mut settings = Self::of_kind(kind);
        for (key, value) in table {
            let size = || match value {
                Value::String(text) => size::parse(text).map_err(|error| complain(format!("{key} = {value}: {error}"))),
                _ => Err(complain(format!("{key} = {value} is not a size in quotes, such as \"64M\""))),
            };
            match key.as_str() {
                "std" => {}
                "memory" => settings.memory = size()?,
                "stack" => settings.stack = size()?,
                "devices" => settings.devices = devices(value).map_err(complain)?,
                // Read below, as the devices may come after.
                "mounts" if kind == Kind::Std => {}
                "mounts" => return Err(complain("a native program has no files: remove 'mounts'".into())),
                "files" => match value {
                    Value::String(path) if kind == Kind::Std => settings.files = Some(folder.join(path)),
                    Value::String(_) => return Err(complain("a native program has no files: remove 'files'".into())),
                    _ => return Err(complain(format!("files = {value} is not a folder in quotes"))),
                },
                _ => {
                    let keys = "the keys are std, memory, stack, devices, mounts and files";
                    return Err(complain(format!("there is no key '{key}'; {keys}")));
                }
            }
        }
        if let Some(mounts) = table.get("mounts") {
            settings.volumes = true;
            settings.mounts = mounts::read(mounts, &settings.devices).map_err(complain)?;
        }
        if settings.stack >= settings.memory {
            return Err(complain("the stack does not fit in the memory: raise 'memory' or lower 'stack'".into()));
        }
        Ok(settings)
    }

    /// Reads the settings of `package`, which is in `folder` and is built as a program of `kind`.
    pub fn from_manifest(kind: Kind, package: &str, folder: &Path) -> Result<Self> {
        let path = folder.join("Cargo.toml");
        let text = fs::read_to_string(&path).map_err(|error| Error::file("read", &path, error))?;
        let manifest: toml::Table =
            text.parse().map_err(|error| Error::new(format!("cannot read '{}': {error}", path.display())))?;
        let metadata = manifest.get("package").and_then(|package| package.get("metadata"));
        let metadata = metadata.map(serde_json::to_value).transpose();
        let metadata = metadata.map_err(|error| Error::new(format!("cannot read '{}': {error}", path.display())))?;
        let settings = Self::from_metadata(package, folder, &metadata.unwrap_or_default())?;
        if settings.kind != kind {
            return Err(Error::new(format!(
                "package '{package}' is a native program ('std = false'): get its source and use --path"
            )));
        }
        Ok(settings)
    }

    /// Encodes the settings for the linker step, which gets them through the environment: the text changes with the files.
    pub fn to_variable(&self) -> Result<String> {
        let devices = self.devices.iter().filter_map(|device| Some(format!(" {}:{}", device.name()?, device.kind)));
        let mut text = format!("{} {}{}", self.memory, self.stack, devices.collect::<String>());
        if self.volumes {
            text.push_str(MOUNTS);
            self.mounts.iter().for_each(|mount| text.extend([" ", mount]));
        }
        let Some(folder) = &self.files else { return Ok(text) };
        let fingerprint = Tree::read(folder)?.fingerprint();
        Ok(format!("{text}{FILES}{fingerprint:x} {}", folder.display()))
    }

    /// Reads what [`Settings::to_variable`] wrote.
    pub fn from_variable(kind: Kind, text: &str) -> Result<Self> {
        let (start, files) = text.split_once(FILES).map_or((text, None), |(start, files)| (start, Some(files)));
        let (start, mounts) = start.split_once(MOUNTS).map_or((start, None), |(start, mounts)| (start, Some(mounts)));
        let read = || {
            let mut words = start.split(' ');
            let [memory, stack] = [words.next()?, words.next()?];
            let devices = words.map(|word| {
                let (name, kind) = word.split_once(':')?;
                Device::new(name, kind.parse().ok()?)
            });
            let folder = |files: &str| files.split_once(' ').map(|(_, folder)| PathBuf::from(folder));
            Some(Self {
                kind,
                memory: memory.parse().ok()?,
                stack: stack.parse().ok()?,
                devices: devices.collect::<Option<_>>()?,
                volumes: mounts.is_some(),
                mounts: mounts.unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
                files: files.and_then(folder),
            })
        };
        read().ok_or_else(|| Error::new(format!("the linker step cannot read the settings '{text}'")))
    }

    /// Returns the manifest with these settings, without counts.
    pub fn manifest(&self) -> Manifest {
        let kind = match self.kind {
            Kind::Std => kind::STD,
            Kind::Native => kind::NATIVE,
        };
        let device_count = self.devices.len() as u32;
        Manifest { memory: self.memory, main_stack: self.stack, kind, device_count, ..Manifest::default() }
    }
}

/// Names in `/dev` before any disk.
const IN_DEV: [&str; 12] =
    ["null", "zero", "full", "random", "urandom", "tty", "console", "shm", "fd", "stdin", "stdout", "stderr"];

/// Reads the table of devices: names, each with its kind.
fn devices(table: &Value) -> std::result::Result<Vec<Device>, String> {
    let Value::Object(table) = table else { return Err("devices is not a table".into()) };
    if table.len() > DEVICES_MAXIMUM {
        return Err(format!("there are more than {DEVICES_MAXIMUM} devices"));
    }
    let read = |(name, value): (&String, &Value)| {
        let kind = match value.as_str() {
            Some("network") => device_kind::NETWORK,
            Some("block") => device_kind::BLOCK,
            _ => return Err(format!("device {name} = {value} is neither \"network\" nor \"block\"")),
        };
        if kind == device_kind::BLOCK && IN_DEV.contains(&&name[..]) {
            return Err(format!("device '{name}': every program has another /dev/{name}; call the disk otherwise"));
        }
        Device::new(name, kind).ok_or_else(|| {
            format!("device '{name}': a name is of up to {DEVICE_NAME_MAXIMUM} letters, digits, '-' and '_' of ASCII")
        })
    };
    table.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(metadata: &Value) -> Result<Settings> {
        Settings::from_metadata("app", Path::new("/the app"), metadata)
    }

    fn complaint(husk: Value) -> String {
        read(&json!({ "husk": husk })).expect_err("not valid").to_string()
    }

    #[test]
    fn a_package_that_says_nothing_is_an_ordinary_program() {
        let expected = Settings {
            kind: Kind::Std,
            memory: 512 << 20,
            stack: 8 << 20,
            devices: vec![],
            volumes: false,
            mounts: vec![],
            files: None,
        };
        assert_eq!(read(&Value::Null).ok(), Some(expected.clone()));
        assert_eq!(read(&json!({ "docs": {} })).ok(), Some(expected));
    }

    #[test]
    fn all_keys_are_read() {
        let table = json!({ "front": "network", "data": "block" });
        let metadata = json!({ "husk": { "std": false, "memory": "1G", "stack": "256K", "devices": table } });
        let devices = [("data", device_kind::BLOCK), ("front", device_kind::NETWORK)];
        let devices = devices.iter().map(|(name, kind)| Device::new(name, *kind).expect("a name")).collect();
        let expected = Settings {
            kind: Kind::Native,
            memory: 1 << 30,
            stack: 256 << 10,
            devices,
            volumes: false,
            mounts: vec![],
            files: None,
        };
        assert_eq!(read(&metadata).ok(), Some(expected.clone()));
        let variable = expected.to_variable().expect("no files");
        assert_eq!(Settings::from_variable(Kind::Native, &variable).ok(), Some(expected));
        // Devices may be named as what follows them.
        let husk = json!({ "mounts": { "data": "/srv:ro" }, "devices": { "data": "block", "mounts": "block", "files": "block" } });
        let mounted = read(&json!({ "husk": husk })).expect("valid");
        assert_eq!(mounted.mounts, ["data:/srv:ro"]);
        let variable = mounted.to_variable().expect("no files");
        assert_eq!(Settings::from_variable(Kind::Std, &variable).ok(), Some(mounted));
        let files = read(&json!({ "husk": { "files": "a folder" } })).expect("valid").files;
        assert_eq!(files.as_deref(), Some(Path::new("/the app/a folder")));
    }

    #[test]
    fn files_get_through_the_environment() {
        let folder = tempfile::Builder::new().prefix("with spaces ").tempdir().expect("a folder");
        let settings = Settings { files: Some(folder.path().into()), ..Settings::of_kind(Kind::Std) };
        let variable = settings.to_variable().expect("the folder is there");
        assert_eq!(Settings::from_variable(Kind::Std, &variable).ok(), Some(settings.clone()));
        std::fs::write(folder.path().join("new"), "").expect("written");
        assert_ne!(settings.to_variable().expect("the folder is there"), variable);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(complaint(json!({ "memroy": "1G" })).contains("no key 'memroy'"));
        assert!(complaint(json!({ "memory": "much" })).contains("memory = \"much\""));
        assert!(complaint(json!({ "memory": 64 })).contains("such as \"64M\""));
        assert!(complaint(json!({ "std": "no" })).contains("neither true nor false"));
        assert!(complaint(json!({ "stack": "1G" })).contains("does not fit"));
        assert!(complaint(json!({ "files": 7 })).contains("not a folder in quotes"));
        assert!(complaint(json!({ "files": "x", "std": false })).contains("a native program has no files"));
        assert!(complaint(json!({ "mounts": { "x": "/x" }, "std": false })).contains("a native program has no files"));
        assert!(complaint(json!({ "mounts": { "x": "/x" } })).contains("which is no disk"));
        assert!(complaint(json!(true)).contains("'app'"));
        assert!(complaint(json!({ "devices": { "a": "disk" } })).contains("device a = \"disk\" is neither"));
        assert!(complaint(json!({ "devices": { "a b": "block" } })).contains("device 'a b': a name is of"));
        assert!(complaint(json!({ "devices": { "": "block" } })).contains("device ''"));
        assert!(complaint(json!({ "devices": { "null": "block" } })).contains("every program has another /dev/null"));
    }
}
