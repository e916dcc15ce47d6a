//! Regular files: read whole when small, mapped when large.

use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;
#[cfg(unix)]
use memmap2::{Advice, UncheckedAdvice};
use rayon::prelude::*;

use super::error::CheckpointError;

/// Largest JSON that is read: `config.json`, an index, or a safetensors
/// header. The header of the 2B4T model has about 80 KB. A bound of our own,
/// so that a hostile file costs neither memory nor time.
pub(super) const MAX_JSON: u64 = 4 << 20;

/// The text of a small file.
pub(super) fn read_text(path: &Path) -> Result<String, CheckpointError> {
    let (file, _) = open_regular(path)?;
    let mut bytes = Vec::new();
    // The size that the system reports is not trusted here: some files lie.
    file.take(MAX_JSON + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| CheckpointError::io(path, "read", e))?;
    if bytes.len() as u64 > MAX_JSON {
        let found = format!("has more than {MAX_JSON} bytes");
        return Err(CheckpointError::file(
            path,
            found,
            "a JSON file within that limit",
        ));
    }
    String::from_utf8(bytes).map_err(|e| CheckpointError::Syntax {
        path: path.to_owned(),
        offset: e.utf8_error().valid_up_to() as u64,
        found: "a byte sequence that is not UTF-8".into(),
        right: "JSON in UTF-8".into(),
    })
}

/// Maps a file of at least `at_least` bytes for reading.
pub(super) fn map(path: &Path, at_least: u64, content: &str) -> Result<Mmap, CheckpointError> {
    let (file, size) = open_regular(path)?;
    if size < at_least {
        let found = format!("has {size} bytes");
        let right = format!("at least {at_least} bytes: {content}");
        return Err(CheckpointError::file(path, found, right));
    }
    // SAFETY: the map is read-only and private to us, and `file` is a regular
    // file. What the type system can't rule out is another process that
    // writes to or truncates the file while it is mapped: values could then
    // change under a `&[u8]`, and reading past a new end raises SIGBUS. So a
    // checkpoint must not be modified in place while it is open (the usual
    // way, writing a new file and renaming it, is safe). The damage would be
    // wrong numbers at worst: headers, texts and values are copied into memory
    // of our own and checked there, no `str` lies in the map, and nothing in
    // it is ever used as an index.
    let map = unsafe { Mmap::map(&file) };
    map.map_err(|e| CheckpointError::io(path, "map", e))
}

/// Values of a tensor that one thread decodes at a time; a multiple of the length of every block.
const PIECE: usize = 4 << 20;

/// Decodes a tensor in pieces on all threads, so that neither the file's bytes in memory nor a
/// thread's share of the work is ever large. The tensor starts at byte `start`, and blocks of
/// `block.0` values have `block.1` bytes; `decode` is told which value is the first of its piece.
///
/// Fails with what `decode` says of the first piece that it refuses.
pub(super) fn decode<T: Send, E: Send>(
    map: &Mmap,
    start: usize,
    block: (usize, usize),
    out: &mut [T],
    decode: impl Fn(usize, &mut [T], &[u8]) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let (values, width) = block;
    out.par_chunks_mut(PIECE)
        .enumerate()
        .map(|(i, out)| {
            let start = start + i * PIECE / values * width;
            let bytes = start..start + out.len() / values * width;
            expect(map, bytes.clone());
            let outcome = decode(i * PIECE, out, &map[bytes.clone()]);
            release(map, bytes);
            outcome
        })
        .find_first(Result::is_err)
        .unwrap_or(Ok(()))
}

/// Reads all of `out` from a place of a file; its end is an error.
pub(super) fn read_at(file: &File, out: &mut [u8], at: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, out, at);
    #[cfg(not(unix))]
    {
        // A file that is open twice has two positions; `file` has but one for all threads.
        static POSITION: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _held = POSITION.lock().unwrap_or_else(|e| e.into_inner());
        let mut file = file;
        io::Seek::seek(&mut file, io::SeekFrom::Start(at))?;
        file.read_exact(out)
    }
}

/// Says that a range will be read soon and whole, so that the system reads ahead of it.
pub(super) fn expect(map: &Mmap, bytes: Range<usize>) {
    // A hint: where it is refused, pages are read when they are met.
    #[cfg(unix)]
    let _ = map.advise_range(Advice::WillNeed, bytes.start, bytes.len());
    #[cfg(not(unix))]
    let _ = (map, bytes);
}

/// Takes the pages of a range out of this process's memory; read again, they come from the file.
pub(super) fn release(map: &Mmap, bytes: Range<usize>) {
    #[cfg(unix)]
    {
        // SAFETY: the map is shared with the file and never written to, so that dropping its pages
        // loses nothing: the next read finds the same bytes.
        let advised = unsafe {
            map.unchecked_advise_range(UncheckedAdvice::DontNeed, bytes.start, bytes.len())
        };
        // Where it is refused the pages stay, which is right too.
        let _ = advised;
    }
    #[cfg(not(unix))]
    let _ = (map, bytes);
}

/// Opens `path` if a regular file is there. Looks before it opens, since
/// opening a FIFO would wait for a writer.
pub(super) fn open_regular(path: &Path) -> Result<(File, u64), CheckpointError> {
    let regular = |kind: FileType| {
        if kind.is_file() {
            return Ok(());
        }
        let found = format!("is {}", kind_name(kind));
        Err(CheckpointError::file(path, found, "a regular file"))
    };
    let before = fs::metadata(path).map_err(|e| CheckpointError::io(path, "open", e))?;
    regular(before.file_type())?;
    let file = File::open(path).map_err(|e| CheckpointError::io(path, "open", e))?;
    let opened = file
        .metadata()
        .map_err(|e| CheckpointError::io(path, "look at", e))?;
    regular(opened.file_type())?;
    Ok((file, opened.len()))
}

fn kind_name(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a FIFO";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if kind.is_dir() {
        "a folder"
    } else {
        "no regular file"
    }
}
