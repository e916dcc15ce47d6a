//! Files and folders of other tools, read with limits: they come from anywhere.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::ImportError;
use crate::text_file;

/// Larger files are refused: results of some hundred cases have less than a megabyte.
const LARGEST: u64 = 32 << 20;
/// A tree with more entries is no folder of results.
const ENTRIES: usize = 200_000;
/// Folders lie at most this deep within one another.
const DEPTH: usize = 16;

/// Whether `path` is a folder.
pub fn is_folder(path: &Path) -> Result<bool, ImportError> {
    let found = fs::metadata(path).map_err(|e| ImportError::io(path, e))?;
    Ok(found.is_dir())
}

/// The text of a regular file.
pub fn text(path: &Path) -> Result<String, ImportError> {
    let read = || {
        let bytes = fs::metadata(path)?.len();
        if bytes > LARGEST {
            let message = format!("{bytes} bytes; at most {LARGEST} are imported");
            return Err(Error::new(ErrorKind::FileTooLarge, message));
        }
        text_file::read(path)
    };
    read().map_err(|e| ImportError::io(path, e))
}

/// A file of one JSON document.
pub fn json<T: DeserializeOwned>(path: &Path) -> Result<T, ImportError> {
    serde_json::from_str(&text(path)?).map_err(|e| ImportError::json(path, &e))
}

/// Files below `folder` that `wanted` accepts, in order of their paths. Links to folders are not
/// followed, so that a link to a parent does not make the walk endless.
pub fn files(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, ImportError> {
    let mut found = Vec::new();
    let mut entries = 0;
    let mut open = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let failed = |e| ImportError::io(&folder, e);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            entries += 1;
            if entries > ENTRIES {
                return Err(ImportError::content(
                    &folder,
                    format!("more than {ENTRIES} files; name the folder of the results alone"),
                ));
            }
            let path = entry.path();
            if entry.file_type().map_err(failed)?.is_dir() {
                if depth < DEPTH {
                    open.push((path, depth + 1));
                }
            } else if wanted(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
