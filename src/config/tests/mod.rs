//! What the configuration promises.

mod complete;
mod kafka;
mod layers;
mod listen;
mod mistakes;
mod s3;
mod secrets;
mod sources;

use super::{Errors, Layers, Loaded, load};
use crate::ids::{Kind, VolumeName};
use regex::Regex;
use std::path::Path;
use tempfile::TempDir;

/// A configuration directory with a main file, files of `conf.d`, environment and flags.
struct Setup {
    directory: TempDir,
    layers: Layers,
}

impl Setup {
    /// `text` is the main file.
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("headworks.toml");
        std::fs::write(&file, text).unwrap();
        Self { directory, layers: Layers { file: Some(file), ..Layers::default() } }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes the main file anew.
    fn rewrite(&self, text: &str) {
        std::fs::write(self.path().join("headworks.toml"), text).unwrap();
    }

    fn conf_d(self, name: &str, text: &str) -> Self {
        std::fs::create_dir_all(self.path().join("conf.d")).unwrap();
        std::fs::write(self.path().join("conf.d").join(name), text).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.layers.environment.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, flag: &str) -> Self {
        self.layers.flags.push(flag.to_owned());
        self
    }

    fn load(&self) -> Result<Loaded, Errors> {
        load(&self.layers)
    }

    /// The mistakes, one per line, without the directory's name. What a new kind, volume or setting would change reads `KINDS`,
    /// `VOLUMES`, `default:LINE`.
    fn mistakes(&self) -> String {
        let errors = self.load().err().expect("must be refused").to_string();
        let errors = errors.replace(&format!("{}/", self.path().display()), "");
        let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.word()).collect();
        let volumes: Vec<_> = VolumeName::ALL.iter().map(|name| name.word()).collect();
        let errors = errors.replace(&kinds.join(", "), "KINDS").replace(&volumes.join(", "), "VOLUMES");
        Regex::new("default:[0-9]+").unwrap().replace_all(&errors, "default:LINE").into_owned()
    }
}
