//! Whether what counts instructions is installed, in the right version.

/// The version of gungraun in Cargo.toml. Its runner must be of the same.
pub const GUNGRAUN: &str = "0.20.0";

/// What a program printed when it was asked for its version, or why it could not be asked.
pub type Asked = Result<String, String>;

/// Why instructions can't be counted here and what would change that, as one line; `None` when
/// both programs are there.
pub fn missing(valgrind: &Asked, runner: &Asked) -> Option<String> {
    let mut missing = Vec::new();
    let mut remedies = Vec::new();
    match valgrind {
        Ok(version) if version.trim().starts_with("valgrind-") => {}
        Ok(other) => missing.push(format!(
            "valgrind calls itself `{}`, not valgrind-X.Y.Z",
            other.trim()
        )),
        Err(why) => missing.push(format!("valgrind did not run ({why})")),
    }
    if !missing.is_empty() {
        remedies.push("install valgrind, such as by `apt-get install valgrind`".to_owned());
    }
    let before = missing.len();
    match runner {
        Ok(version) if version.trim() == format!("gungraun-runner {GUNGRAUN}") => {}
        Ok(other) => missing.push(format!(
            "gungraun-runner calls itself `{}`, and {GUNGRAUN} is needed",
            other.trim()
        )),
        Err(why) => missing.push(format!("gungraun-runner did not run ({why})")),
    }
    if missing.len() > before {
        remedies.push(format!(
            "`cargo install gungraun-runner --version ={GUNGRAUN} --locked`"
        ));
    }
    (!missing.is_empty()).then(|| {
        format!(
            "instructions: unavailable: {}; to have it: {}",
            missing.join("; "),
            remedies.join(" and ")
        )
    })
}
