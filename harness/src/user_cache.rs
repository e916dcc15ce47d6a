//! What is known of this machine, kept in the user's cache folder: one JSON file a kind and
//! machine, written whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{text_file, whole_file};

/// Something that is kept. Its JSON has a field `schema`, which holds [`Kept::SCHEMA`].
pub trait Kept: Serialize + DeserializeOwned {
    /// What it is called, in the file's name too.
    const KIND: &'static str;
    /// Version of the stored shape. A reader refuses any other.
    const SCHEMA: u32;
    /// The command that writes a new one.
    const COMMAND: &'static str;

    /// The machine that it is about, fit for a file's name.
    fn machine(&self) -> &str;

    /// Whether what it says can be.
    ///
    /// # Errors
    /// What can't be.
    fn check(&self) -> Result<(), String>;
}

/// Something kept that can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Nothing says where.
    #[error("there is no cache folder: none of BITGAUGE_CACHE, XDG_CACHE_HOME and HOME is set")]
    NoFolder,
    /// The system refused.
    #[error("{}: {error}", file.display())]
    File {
        /// The file or folder.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is damaged.
    #[error("{}: this is no {kind}: {problem}; `{command}` writes a new one", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// [`Kept::KIND`]
        kind: &'static str,
        /// [`Kept::COMMAND`]
        command: &'static str,
        /// Where, and what is wrong.
        problem: String,
    },
    /// Another version wrote it.
    #[error("{}: schema {found}, and this version reads {reads}; `{command}` writes a new one", file.display())]
    Schema {
        /// The file.
        file: PathBuf,
        /// Its schema.
        found: u64,
        /// [`Kept::SCHEMA`]
        reads: u32,
        /// [`Kept::COMMAND`]
        command: &'static str,
    },
}

/// Where things are kept: the folder `BITGAUGE_CACHE`, else `bitgauge` in the user's cache folder
/// (`XDG_CACHE_HOME`, or `.cache` in the home folder).
///
/// # Errors
/// When nothing says where that is.
pub fn folder() -> Result<PathBuf, CacheError> {
    folder_from(|name| std::env::var_os(name))
}

fn folder_from(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, CacheError> {
    let set = |name| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("BITGAUGE_CACHE")
        // Relative paths there are invalid and to be ignored (XDG Base Directory Specification).
        .or_else(|| {
            Some(
                set("XDG_CACHE_HOME")
                    .filter(|p| p.is_absolute())?
                    .join("bitgauge"),
            )
        })
        .or_else(|| Some(set("HOME")?.join(".cache/bitgauge")))
        .ok_or(CacheError::NoFolder)
}

fn file_in<T: Kept>(folder: &Path, machine: &str) -> PathBuf {
    folder.join(format!("{}-{machine}.json", T::KIND))
}

/// What `folder` holds about `machine`; `None` where there is nothing.
///
/// # Errors
/// When it can't be read, is damaged, or was written by a version with another schema.
pub fn read<T: Kept>(folder: &Path, machine: &str) -> Result<Option<T>, CacheError> {
    #[derive(Deserialize)]
    struct Versioned {
        schema: u64,
    }
    let file = file_in::<T>(folder, machine);
    let corrupt = |problem: String| CacheError::Corrupt {
        file: file.clone(),
        kind: T::KIND,
        command: T::COMMAND,
        problem,
    };
    let text = match text_file::read(&file) {
        Ok(text) => text,
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => return Ok(None),
            io::ErrorKind::InvalidData => return Err(corrupt(error.to_string())),
            _ => return Err(CacheError::File { file, error }),
        },
    };
    let Versioned { schema } = serde_json::from_str(&text).map_err(|e| corrupt(e.to_string()))?;
    if schema != u64::from(T::SCHEMA) {
        return Err(CacheError::Schema {
            file,
            found: schema,
            reads: T::SCHEMA,
            command: T::COMMAND,
        });
    }
    let kept: T = serde_json::from_str(&text).map_err(|e| corrupt(e.to_string()))?;
    if kept.machine() != machine {
        let of = kept.machine();
        return Err(corrupt(format!("it is about {of}, not about {machine}")));
    }
    kept.check().map_err(corrupt)?;
    Ok(Some(kept))
}

/// Replaces what `folder` holds about `machine` by what `change` makes of it. Writes the whole file
/// or leaves the old one; of two processes at once, one waits for the other. Returns where.
///
/// # Errors
/// When it can't be written, or the system does not give an earlier one out. One that is damaged or of
/// another schema is replaced.
pub fn update<T: Kept>(
    folder: &Path,
    machine: &str,
    change: impl FnOnce(Option<T>) -> T,
) -> Result<PathBuf, CacheError> {
    let file = file_in::<T>(folder, machine);
    let failed = |error: io::Error| CacheError::File {
        file: file.clone(),
        error,
    };
    fs::create_dir_all(folder).map_err(failed)?;
    // A system that locks no folders may lose what the other process adds, never the file.
    let lock = File::open(folder).ok();
    let _ = lock.as_ref().map(File::lock);
    let earlier = match read(folder, machine) {
        Err(error @ CacheError::File { .. }) => return Err(error),
        earlier => earlier.unwrap_or_default(),
    };
    let kept = change(earlier);
    let text = serde_json::to_string_pretty(&kept).map_err(|e| failed(e.into()))?;
    whole_file::replace(&file, |out| writeln!(out, "{text}")).map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Notes {
        schema: u32,
        machine: String,
        numbers: Vec<u32>,
    }

    impl Kept for Notes {
        const KIND: &'static str = "notes";
        const SCHEMA: u32 = 1;
        const COMMAND: &'static str = "bitgauge note";

        fn machine(&self) -> &str {
            &self.machine
        }

        fn check(&self) -> Result<(), String> {
            match self.numbers.contains(&13) {
                true => Err("13 can't be".to_owned()),
                false => Ok(()),
            }
        }
    }

    fn notes(numbers: &[u32]) -> Notes {
        Notes {
            schema: Notes::SCHEMA,
            machine: "here".to_owned(),
            numbers: numbers.to_vec(),
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("made/on/demand");
        assert_eq!(read::<Notes>(&folder, "here").unwrap(), None);
        let file = update(&folder, "here", |earlier: Option<Notes>| {
            assert_eq!(earlier, None);
            notes(&[1])
        });
        assert_eq!(file.unwrap(), folder.join("notes-here.json"));
        assert_eq!(read(&folder, "here").unwrap(), Some(notes(&[1])));
        assert_eq!(read::<Notes>(&folder, "elsewhere").unwrap(), None);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn damage_is_told_with_the_file_and_never_believed() {
        let dir = tempfile::tempdir().unwrap();
        let write = || update(dir.path(), "here", |_: Option<Notes>| notes(&[7]));
        let file = write().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        for (damage, said) in [
            (text[..text.len() / 2].to_owned(), "no notes"),
            (String::new(), "no notes"),
            (text.replace("\"schema\": 1", "\"schema\": 2"), "schema 2"),
            (text.replace("here", "there"), "it is about there"),
            (text.replace('7', "13"), "13 can't be"),
            (text.replace('7', "\"seven\""), "seven"),
        ] {
            assert_ne!(damage, text);
            fs::write(&file, damage).unwrap();
            let error = read::<Notes>(dir.path(), "here").unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
            assert!(error.contains("notes-here.json"), "{error}");
            assert!(error.contains("`bitgauge note`"), "{error}");
        }
        // And a new one takes its place.
        write().unwrap();
        assert_eq!(read(dir.path(), "here").unwrap(), Some(notes(&[7])));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn ten_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for number in 0..10 {
                let folder = dir.path();
                scope.spawn(move || {
                    update(folder, "here", |earlier: Option<Notes>| {
                        let mut all = earlier.unwrap_or(notes(&[]));
                        all.numbers.push(number);
                        all
                    })
                    .unwrap()
                });
            }
        });
        let mut all: Notes = read(dir.path(), "here").unwrap().unwrap();
        all.numbers.sort_unstable();
        assert_eq!(all, notes(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    }

    #[test]
    fn the_folder_is_the_users_unless_another_is_named() {
        let folder = |set: &[(&str, &str)]| {
            let found = |name: &str| set.iter().find(|(n, _)| *n == name);
            folder_from(|name| found(name).map(|(_, v)| OsString::from(v)))
        };
        let (home, xdg) = (("HOME", "/home/a"), ("XDG_CACHE_HOME", "/var/a"));
        let is =
            |set: &[(&str, &str)], want: &str| assert_eq!(folder(set).unwrap(), Path::new(want));
        is(&[home], "/home/a/.cache/bitgauge");
        is(&[home, xdg], "/var/a/bitgauge");
        is(&[home, xdg, ("BITGAUGE_CACHE", "here")], "here");
        is(
            &[home, ("XDG_CACHE_HOME", "relative")],
            "/home/a/.cache/bitgauge",
        );
        is(&[home, ("XDG_CACHE_HOME", "")], "/home/a/.cache/bitgauge");
        assert!(folder(&[]).is_err());
    }

    /// Too large a file is not read, and holds who knows what.
    #[test]
    fn what_the_system_does_not_give_out_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let change = |_: Option<Notes>| notes(&[1]);
        let file = update(dir.path(), "here", change).unwrap();
        let kept = OpenOptions::new().write(true).open(&file).unwrap();
        kept.set_len(257 << 20).unwrap();
        let refused = update(dir.path(), "here", change).unwrap_err();
        assert!(matches!(refused, CacheError::File { .. }), "{refused}");
        assert_eq!(file.metadata().unwrap().len(), 257 << 20);
        // Damage is replaced, as the reader's warning says.
        fs::write(&file, [0xff]).unwrap();
        update(dir.path(), "here", change).unwrap();
        assert_eq!(read(dir.path(), "here").unwrap(), Some(notes(&[1])));
    }
}
