//! The file that Cachegrind writes: events by function ("Cachegrind: file format", Valgrind's
//! manual).

use std::collections::BTreeMap;

/// Events that are used, in this order.
pub const EVENTS: [&str; 11] = [
    "Ir", "Dr", "Dw", "D1mr", "D1mw", "DLmr", "DLmw", "Bc", "Bcm", "Bi", "Bim",
];

/// Counts in the order of [`EVENTS`].
pub type Costs = [u64; EVENTS.len()];

/// What one run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// The simulated caches, as the file describes them.
    pub caches: Vec<String>,
    /// Counts by function.
    pub functions: BTreeMap<String, Costs>,
}

/// Reads the file.
///
/// # Errors
/// Which line is not as the format has it, or which event is missing.
pub fn parse(text: &str) -> Result<Profile, String> {
    let mut profile = Profile::default();
    let mut places: Option<[usize; EVENTS.len()]> = None;
    let mut function = "";
    for (n, line) in (1..).zip(text.lines()) {
        if let Some(cache) = line.strip_prefix("desc: ") {
            let words: Vec<&str> = cache.split_whitespace().collect();
            profile.caches.push(words.join(" "));
        } else if let Some(events) = line.strip_prefix("events: ") {
            let events: Vec<&str> = events.split_whitespace().collect();
            let mut at = [0; EVENTS.len()];
            for (at, name) in at.iter_mut().zip(EVENTS) {
                let found = events.iter().position(|e| *e == name);
                *at = found.ok_or_else(|| format!("line {n}: no event {name}"))?;
            }
            places = Some(at);
        } else if let Some(name) = line.strip_prefix("fn=") {
            function = name;
        } else if line.starts_with(|c: char| c.is_ascii_digit()) {
            let places = places.ok_or_else(|| format!("line {n}: counts before their events"))?;
            // The first number is the line of the source; zeros at the end may be left out.
            let counts = line.split_whitespace().skip(1).map(|word| match word {
                "." => Ok(0),
                word => word.parse::<u64>(),
            });
            let counts: Vec<u64> = counts
                .collect::<Result<_, _>>()
                .map_err(|e| format!("line {n}: {e}"))?;
            let sums = profile.functions.entry(function.to_owned()).or_default();
            for (sum, at) in sums.iter_mut().zip(places) {
                *sum += counts.get(at).copied().unwrap_or(0);
            }
        }
    }
    match places {
        Some(_) => Ok(profile),
        None => Err("it names no events".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "desc: D1 cache:         49152 B, 64 B, 12-way associative\ncmd: made up\n\
        events: Ir I1mr ILmr Dr D1mr DLmr Dw D1mw DLmw Bc Bcm Bi Bim\nfl=/a.rs\nfn=first\n\
        10 5 0 0 3 1 0 2 1 0 4 1 0 0\n11 7\nfl=/b.rs\nfn=second\n1 1 . . 1\nfl=/c.rs\nfn=first\n\
        9 100 0 0 0 0 0 0 0 0 0 0 6 2\nsummary: 113 0\n";

    #[test]
    fn functions_add_up_over_lines_and_files() {
        let profile = parse(FILE).unwrap();
        assert_eq!(
            profile.caches,
            ["D1 cache: 49152 B, 64 B, 12-way associative"]
        );
        assert_eq!(
            profile.functions["first"],
            [112, 3, 2, 1, 1, 0, 0, 4, 1, 6, 2]
        );
        assert_eq!(profile.functions["second"][..2], [1, 1]);
    }

    #[test]
    fn what_is_no_such_file_is_refused_with_its_line() {
        for (text, what) in [
            ("", "no events"),
            ("fn=a\n1 2 3\n", "line 2"),
            ("events: Ir Dr\n", "line 1: no event Dw"),
            (&FILE.replace("11 7", "11 7x"), "line 7"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }
}
