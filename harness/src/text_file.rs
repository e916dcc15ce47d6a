//! Reading text that a user names: from a regular file of a size that makes sense.

use std::fs;
use std::io::{self, Error, ErrorKind};
use std::path::Path;

/// Larger files are not read: the largest that this program writes have a few megabytes.
const LARGEST: u64 = 256 << 20;

/// The whole text of `path`.
///
/// # Errors
/// The system's, and for what is no regular file (reading a FIFO would wait for ever), is larger
/// than 256 MiB, or holds no UTF-8.
pub fn read(path: &Path) -> io::Result<String> {
    let found = fs::metadata(path)?;
    if !found.is_file() {
        let message = "this is no regular file";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    if found.len() > LARGEST {
        let message = format!("{} bytes; at most {LARGEST} are read", found.len());
        return Err(Error::new(ErrorKind::FileTooLarge, message));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_a_sensible_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            read(dir.path()).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        let large = dir.path().join("large");
        fs::File::create(&large)
            .unwrap()
            .set_len(LARGEST + 1)
            .unwrap();
        assert_eq!(read(&large).unwrap_err().kind(), ErrorKind::FileTooLarge);
        let text = dir.path().join("text");
        fs::write(&text, "x").unwrap();
        assert_eq!(read(&text).unwrap(), "x");
    }
}
