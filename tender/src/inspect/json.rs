//! An inspection as JSON (RFC 8259): one object, sizes and addresses as numbers, absent values as `null`.
//!
//! Written by hand: JSON is only written, in one place, and a number never exceeds what a double represents exactly, because
//! addresses of a guest have 47 bits.

use super::{Inspection, rights};
use crate::image::Wanted;
use crate::report::names::hexadecimal;
use std::fmt;
use std::path::Path;

/// A JSON value.
pub enum Value {
    Nothing,
    Flag(bool),
    Number(u64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(&'static str, Value)>),
}

impl Inspection {
    /// Returns the inspection as one line of JSON.
    pub fn json(&self) -> String {
        use Value::{Flag, List, Nothing, Number, Object, Text};
        let path = |path: &Path| Text(path.to_string_lossy().into_owned());
        let segment = |segment: &crate::image::Segment| {
            Object(vec![
                ("address", Number(segment.region.start)),
                ("file_offset", Number(segment.file_offset)),
                ("file_size", Number(segment.file_size)),
                ("memory_size", Number(segment.region.length)),
                ("rights", Text(rights(segment.rights))),
            ])
        };
        let device = |device: &Wanted| {
            Object(vec![("kind", Text(device.kind.name().into())), ("name", Text(device.name.clone()))])
        };
        let build_id = Some(hexadecimal(&self.build_id)).filter(|id| !id.is_empty());
        Object(vec![
            ("path", path(&self.path)),
            ("contract_version", Number(self.contract.into())),
            ("kind", Text(self.kind.name())),
            ("static_pie", Flag(self.relocatable)),
            ("entry", Number(self.entry)),
            ("build_id", build_id.map_or(Nothing, Text)),
            ("memory", Number(self.memory)),
            ("main_stack", Number(self.main_stack)),
            ("patched_sites", Number(self.patched_sites.into())),
            ("trapping_sites", Number(self.trapping_sites.into())),
            ("devices", List(self.devices.iter().map(device).collect())),
            ("mounts", List(self.mounts.iter().map(|mount| Text(mount.to_string())).collect())),
            ("files_count", Number(self.files.map_or(0, |files| files.count))),
            ("files_offset", self.files.map_or(Nothing, |files| Number(files.offset))),
            ("files_size", Number(self.files.map_or(0, |files| files.length))),
            ("file_size", Number(self.file_size)),
            ("text_size", Number(self.sizes.text)),
            ("read_only_size", Number(self.sizes.read_only)),
            ("data_size", Number(self.sizes.data)),
            ("zeros_size", Number(self.sizes.zeros)),
            ("segments", List(self.segments.iter().map(segment).collect())),
            ("symbols_inside", Flag(self.names.symbols)),
            ("debug_information_inside", Flag(self.names.lines)),
            ("debug_file", self.names.debug_file.as_deref().map_or(Nothing, path)),
        ])
        .to_string()
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("null"),
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => string(f, text),
            Self::List(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", separator(index))?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    f.write_str(separator(index))?;
                    string(f, name)?;
                    write!(f, ":{value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn separator(index: usize) -> &'static str {
    if index == 0 { "" } else { "," }
}

fn string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write;
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(f, "\\{character}")?,
            _ if character.is_control() => write!(f, "\\u{:04x}", u32::from(character))?,
            _ => f.write_char(character)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn text_is_escaped() {
        let value = Value::Text("a\"b\\c\n\u{7f}é\u{202e}".to_string());
        assert_eq!(value.to_string(), "\"a\\\"b\\\\c\\u000a\\u007fé\u{202e}\"");
    }

    #[test]
    fn an_inspection_is_one_object() {
        let json = example().json();
        let start = r#"{"path":"app \"1\".husk","contract_version":1,"kind":"std","static_pie":true,"entry":4112,"build_id":"abcd","memory":67108864,"#;
        assert!(json.starts_with(start), "{json}");
        let device = r#""devices":[{"kind":"network","name":"front\u001b"}],"mounts":["data:/srv:ro"],"#;
        assert!(json.contains(device), "{json}");
        assert!(json.contains(r#""files_count":3,"files_offset":20480,"files_size":8192,"#), "{json}");
        let segment = r#"{"address":16384,"file_offset":16384,"file_size":4096,"memory_size":12288,"rights":"rw-"}]"#;
        assert!(json.contains(segment), "{json}");
        assert!(json.ends_with(r#""debug_file":null}"#), "{json}");
    }
}
