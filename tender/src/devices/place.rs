//! Places in the guest's tree, where a folder or a disk can be.

use husk_abi::folder::NAME_MAXIMUM;

/// Checks a path of the guest, and removes needless slashes.
pub fn place(path: &str) -> Result<String, String> {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    if !path.starts_with('/') || names.is_empty() {
        return Err(format!("{path} is no place in the guest; write an absolute path below /, such as /data"));
    }
    if names.iter().any(|name| matches!(*name, "." | "..")) {
        return Err(format!("{path} has . or .. in it; write the path without"));
    }
    if path.chars().any(char::is_control) {
        // Not repeated: it would go to the user's terminal, and may come from an image.
        return Err("a place in the guest has control characters in its path; write it without".to_owned());
    }
    if names.iter().any(|name| name.len() > 255) || path.len() >= NAME_MAXIMUM as usize {
        return Err(format!("{path} is too long; a name has 255 bytes at most"));
    }
    Ok(format!("/{}", names.join("/")))
}
