//! Where stored figures come from: the texts that name a run, in a baseline as in a history.
//!
//! They are shown on terminals and pages, so nothing is let through that a run does not write.

/// Refuses what names no run: the class of machine, when measuring began, version and revision.
///
/// # Errors
/// What is wrong, and what would be right.
pub fn sound(
    machine: &str,
    date: &str,
    version: &str,
    revision: Option<&str>,
) -> Result<(), String> {
    if !is_date(date) {
        let date = date.escape_debug();
        return Err(format!(
            "`{date}` is no time; one is written like 2026-01-31T12:00:00Z"
        ));
    }
    if !is_class(machine) {
        let machine = machine.escape_debug();
        return Err(format!("`{machine}` is no class of machine"));
    }
    for text in [Some(version), revision].into_iter().flatten() {
        if !is_name(text) {
            let text = text.escape_debug();
            return Err(format!("`{text}` is neither a version nor a revision"));
        }
    }
    Ok(())
}

/// Whether this names a case, a version or a revision.
pub fn is_name(text: &str) -> bool {
    (1..=200).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Also the name of a folder.
fn is_class(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    (1..=120).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('.')
}

/// `2026-01-31T12:00:00Z`, perhaps with a fraction of a second: such times sort as text.
fn is_date(text: &str) -> bool {
    let pattern = b"dddd-dd-ddTdd:dd:dd";
    let bytes = text.as_bytes();
    let like = |(b, p): (&u8, &u8)| {
        if *p == b'd' {
            b.is_ascii_digit()
        } else {
            b == p
        }
    };
    text.len() <= 32
        && bytes.len() > pattern.len()
        && bytes.iter().zip(pattern).all(like)
        && text.ends_with('Z')
}
