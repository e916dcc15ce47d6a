//! Choosing by parts of names, as `--case` and `--only` do.

/// Whether a name holds one of these texts, or there are none.
pub fn chosen(name: &str, filters: &[String]) -> bool {
    filters.is_empty() || filters.iter().any(|text| name.contains(text.as_str()))
}

/// The first of these texts that no name holds: it is misspelt, whatever the others hold for.
pub fn idle<'f>(filters: &'f [String], names: &[impl AsRef<str>]) -> Option<&'f str> {
    let held = |text: &str| names.iter().any(|name| name.as_ref().contains(text));
    filters.iter().map(String::as_str).find(|text| !held(text))
}
