//! Writing files that are whole or not there: to a temporary file beside the target, which then
//! takes its place.

use std::fs::{self, File};
use std::io::{self, Error, ErrorKind};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// As many links as Linux follows.
const LINKS: usize = 40;

/// Letters and digits at the end of a temporary file's name.
const RANDOM: usize = 6;

/// Replaces the file at `path` by what `write` writes, or leaves it as it is. Where `path` is a
/// link, what it leads to is replaced. Others may write the same file at once: one of them is last.
///
/// # Errors
/// Those of `write` and the system's; [`ErrorKind::InvalidInput`] for what is no regular file.
pub fn replace<T>(path: &Path, write: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
    let target = followed(path)?;
    let folder = folder_of(&target);
    let prefix = prefix(&target);
    remove_leftovers(folder, &prefix);
    let mut file = locked(folder, &prefix)?;
    let written = write(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|e| e.error)?;
    // The rename itself is durable only once the folder is.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(written)
}

/// Whether [`replace`] could begin, for what takes long before there is anything to write.
///
/// # Errors
/// As [`replace`]'s own.
pub fn may_write(path: &Path) -> io::Result<()> {
    let target = followed(path)?;
    tempfile::tempfile_in(folder_of(&target)).map(drop)
}

/// Where `path` leads; also where nothing is there yet.
fn followed(path: &Path) -> io::Result<PathBuf> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "this is no regular file",
            ));
        }
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut target = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&target) {
            Ok(next) => target = folder_of(&target).join(next),
            Err(_) => break,
        }
    }
    Ok(target)
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// What the names of temporary files for `target` begin with: no more of its name than leaves room
/// in the 255 bytes of a name for the rest, four bytes a letter.
fn prefix(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let beginning: String = name.chars().take(50).collect();
    format!(".writing-{beginning}-")
}

/// A temporary file, locked for as long as it is written.
fn locked(folder: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(prefix).rand_bytes(RANDOM);
    // tempfile makes private files; these are meant to be read by others as the umask says.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    loop {
        let file = builder.tempfile_in(folder)?;
        // Where files can't be locked, nobody takes this one for a leftover either.
        let _ = file.as_file().lock();
        // Another writer may have done so before the lock was there.
        if file.path().try_exists()? {
            return Ok(file);
        }
    }
}

/// Removes what writers of the same target left when they were killed: only they have no lock.
fn remove_leftovers(folder: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let is_left =
            |random: &[u8]| random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric);
        if name.strip_prefix(prefix.as_bytes()).is_some_and(is_left)
            && fs::symlink_metadata(&path).is_ok_and(|found| found.is_file())
            && let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::io::Write;

    fn write(path: &Path, text: &str) -> io::Result<()> {
        replace(path, |file| file.write_all(text.as_bytes()))
    }

    fn names(folder: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn what_is_not_written_whole_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write(&path, "before").unwrap();
        let failed = replace(&path, |file| -> io::Result<()> {
            file.write_all(b"a part")?;
            assert_eq!(names(dir.path()).len(), 2);
            Err(Error::other("no more"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_its_target_is_replaced() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("below")).unwrap();
        symlink("below/second", at("first")).unwrap();
        symlink("../real", at("below/second")).unwrap();
        for text in ["made", "replaced"] {
            write(&at("first"), text).unwrap();
            assert!(at("first").is_symlink() && at("below/second").is_symlink());
            assert_eq!(fs::read_to_string(at("real")).unwrap(), text);
        }
        symlink("loop", at("loop")).unwrap();
        assert!(write(&at("loop"), "x").is_err());
        assert!(at("loop").is_symlink());
    }

    #[test]
    fn what_is_no_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        for error in [write(dir.path(), "x"), may_write(dir.path())] {
            assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        may_write(&dir.path().join("file")).unwrap();
        assert!(names(dir.path()).is_empty());
        assert!(may_write(&dir.path().join("missing/file")).is_err());
    }

    #[test]
    fn a_name_may_be_as_long_as_the_system_has_them() {
        let dir = tempfile::tempdir().unwrap();
        for letter in ["n", "\u{1f600}"] {
            let name = letter.repeat(255 / letter.len());
            write(&dir.path().join(&name), "text").unwrap();
            assert_eq!(fs::read(dir.path().join(&name)).unwrap(), b"text");
        }
    }

    #[test]
    fn only_what_a_killed_writer_of_the_same_file_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let left = [".writing-file-abc123", ".writing-file-XYZ789"];
        let others = [
            ".writing-other-abc123",
            ".writing-file-abc12",
            ".writing-file-abc-23",
            "writing-file-abc123",
        ];
        for name in left.iter().chain(&others) {
            fs::write(at(name), "a part").unwrap();
        }
        let writing = locked(dir.path(), &prefix(&at("file"))).unwrap();
        write(&at("file"), "text").unwrap();
        assert!(left.iter().all(|name| !at(name).exists()));
        assert!(others.iter().all(|name| at(name).exists()));
        assert!(writing.path().exists(), "its writer lives");
    }

    /// Each takes the others' files for leftovers, if it can.
    #[test]
    fn many_write_the_same_file_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| write(&path, "text").unwrap()));
            }
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        assert_eq!(names(dir.path()), ["file"]);
    }
}
