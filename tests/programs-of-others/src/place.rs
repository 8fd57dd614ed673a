//! Place in which a program runs: a folder with its files, and a port, for one side each.

use crate::list::Program;
use crate::{Result, folder};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// A folder and a port.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    port: u16,
}

impl Place {
    /// Makes a new place with the files of a program, in place of one that was left.
    pub fn new(program: &Program, side: &str) -> Result<Self> {
        let folder = folder().join("places").join(side).join(&program.name);
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(failed)?;
        }
        fs::create_dir_all(&folder).map_err(failed)?;
        // Only one program runs at a time: nothing takes the port between here and its start.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map_err(failed)?.port();
        let place = Self { folder: folder.clone(), port };
        for (name, text) in &program.files {
            let path = folder.join(name);
            path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
            fs::write(&path, place.fill(text)).map_err(failed)?;
        }
        Ok(place)
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Puts this place into a word of the list.
    pub fn fill(&self, word: &str) -> String {
        word.replace("{here}", &self.folder.display().to_string()).replace("{port}", &self.port.to_string())
    }

    /// Takes this place out of an output: what [`Self::fill`] puts in.
    pub fn blank(&self, output: &str) -> String {
        output.replace(&self.folder.display().to_string(), "{here}").replace(&self.port.to_string(), "{port}")
    }
}
