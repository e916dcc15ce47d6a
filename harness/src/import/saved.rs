//! Imported figures in a file of ours, to be gated against later.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ImportError, Imported, sound, source};
use crate::run::{RunError, write_atomically};

/// Version of the file's shape. A reader refuses any other.
pub const SCHEMA: u32 = 1;

#[derive(Serialize, Deserialize)]
struct File {
    /// What the file is; also what tells it from a tool's own output.
    bitgauge_import: u32,
    #[serde(flatten)]
    imported: Imported,
}

#[derive(Deserialize)]
struct Header {
    bitgauge_import: serde_json::Value,
}

/// Writes `imported` to `path`, whole or not at all.
///
/// # Errors
/// The system's.
pub fn save(path: &Path, imported: &Imported) -> Result<(), RunError> {
    write_atomically(path, text(imported).as_bytes())
}

/// The file's text.
pub fn text(imported: &Imported) -> String {
    let file = File {
        bitgauge_import: SCHEMA,
        imported: imported.clone(),
    };
    // Readers let only finite figures through, and these are all that can fail.
    serde_json::to_string_pretty(&file).expect("plain data") + "\n"
}

/// Reads what [`save`] wrote; `None` when `path` is another kind of file or a folder.
///
/// # Errors
/// It can't be read, is truncated or of another schema, or holds an impossible figure or two of a
/// name.
pub fn load(path: &Path) -> Result<Option<Imported>, ImportError> {
    if source::is_folder(path)? {
        return Ok(None);
    }
    let text = source::text(path)?;
    let header = match serde_json::from_str::<Header>(&text) {
        Ok(header) => header,
        // What was cut off still begins as ours does.
        Err(e)
            if text
                .trim_start_matches(['{', ' ', '\n', '\r', '\t'])
                .starts_with("\"bitgauge_import\"") =>
        {
            return Err(ImportError::json(path, &e));
        }
        Err(_) => return Ok(None),
    };
    if header.bitgauge_import != SCHEMA {
        return Err(ImportError::Version {
            path: path.into(),
            what: "saved imports",
            found: header.bitgauge_import.to_string(),
            reads: "1",
        });
    }
    let file: File = serde_json::from_str(&text).map_err(|e| ImportError::json(path, &e))?;
    let Imported {
        figures, left_out, ..
    } = &file.imported;
    sound(path, figures, left_out, &mut BTreeSet::new())?;
    Ok(Some(file.imported))
}
