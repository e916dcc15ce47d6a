//! What `cargo bench -- ...` asks for. The arguments go to every suite, so those of criterion come
//! here too.

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Count.
    Count(Counting),
    /// Print the names of the cases.
    List,
    /// Nothing, for this reason: the arguments ask for something that a count does not have.
    Nothing(String),
}

/// What to count and what to hold it against.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counting {
    /// A case is counted when its name matches one of these, or when there are none.
    pub filters: Vec<String>,
    /// Name to save the counts under.
    pub save: Option<String>,
    /// Name of the counts to compare with.
    pub baseline: Option<String>,
    /// Whether a case may lack that baseline.
    pub lenient: bool,
}

/// Options of criterion that change how it measures or prints, and mean nothing to a count.
const WITHOUT_VALUE: [&str; 10] = [
    "--bench",
    "--discard-baseline",
    "--exact",
    "--include-ignored",
    "--nocapture",
    "--noplot",
    "--quick",
    "--quiet",
    "--show-output",
    "--verbose",
];
const WITH_VALUE: [&str; 11] = [
    "--color",
    "--confidence-level",
    "--format",
    "--measurement-time",
    "--noise-threshold",
    "--nresamples",
    "--output-format",
    "--plotting-backend",
    "--sample-size",
    "--significance-level",
    "--warm-up-time",
];
/// Those with which criterion does not measure.
const NOT_MEASURING: [&str; 4] = ["--test", "--ignored", "--profile-time", "--load-baseline"];

/// Reads the arguments, the program's name left out.
///
/// # Errors
/// An option that neither this suite nor criterion has, and one that lacks its value.
pub fn read(arguments: &[String]) -> Result<Task, String> {
    if !arguments.iter().any(|a| a == "--bench") {
        return Ok(Task::Nothing("only `cargo bench` counts".to_owned()));
    }
    let mut counting = Counting::default();
    let mut list = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let (name, attached) = match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (argument.as_str(), None),
        };
        let mut value = || {
            attached
                .clone()
                .or_else(|| rest.next().cloned())
                .filter(|v| !v.is_empty() && !v.starts_with("--"))
                .ok_or_else(|| format!("{name} needs a value, as in {name} main"))
        };
        match name {
            "--list" => list = true,
            "--save-baseline" => counting.save = Some(baseline(&value()?)),
            "-b" | "--baseline" => counting.baseline = Some(baseline(&value()?)),
            "--baseline-lenient" => {
                counting.baseline = Some(baseline(&value()?));
                counting.lenient = true;
            }
            _ if NOT_MEASURING.contains(&name) => {
                return Ok(Task::Nothing(format!("{name} is for criterion alone")));
            }
            _ if WITH_VALUE.contains(&name) => drop(value()?),
            "-n" | "-v" => {}
            "-V" | "--version" => return Ok(Task::Nothing(format!("{name} asks for no count"))),
            _ if WITHOUT_VALUE.contains(&name) && attached.is_none() => {}
            _ if name.starts_with('-') => {
                return Err(format!(
                    "there is no option {name}; there are FILTER, --save-baseline NAME, --baseline NAME and --list, and gungraun's GUNGRAUN_... variables"
                ));
            }
            _ => counting.filters.push(argument.clone()),
        }
    }
    Ok(match list {
        true => Task::List,
        false => Task::Count(counting),
    })
}

/// Gungraun takes letters, digits and _ in a baseline's name; anything else becomes its bytes in hex.
fn baseline(name: &str) -> String {
    let mut fitting = String::new();
    for byte in name.bytes() {
        match byte {
            b if b.is_ascii_alphanumeric() || b == b'_' => fitting.push(char::from(b)),
            b => fitting.push_str(&format!("_{b:02x}")),
        }
    }
    fitting
}
