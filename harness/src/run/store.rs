//! Reading and writing run folders.

use super::{
    Agreement, CacheStudy, Checks, CostStudy, Defect, Generation, KernelRow, Ladder, Latency,
    MachineSummary, Measured, ModelSummary, Product, Profile, PromptProduct, Run, RunError, SCHEMA,
    ScalingPoint, Selection, Settings, Target, Totals, WholeToken, Yardsticks,
};
use crate::whole_file;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Name of the one file that everything is rendered from.
pub const RUN_FILE: &str = "run.json";

/// One section of a run, to be recorded.
#[derive(Debug, Clone, PartialEq)]
// A section is made once and moved into the run at once.
#[allow(missing_docs, clippy::large_enum_variant)]
pub enum Section {
    Machine(Measured<MachineSummary>),
    Kernels(Measured<Vec<KernelRow>>),
    Selection(Measured<Selection>),
    Model(Measured<ModelSummary>),
    Yardsticks(Measured<Yardsticks>),
    Checks(Measured<Checks>),
    Agreement(Measured<Agreement>),
    Defects(Measured<Vec<Defect>>),
    Ladder(Measured<Ladder>),
    Scaling(Measured<Vec<ScalingPoint>>),
    Profiles(Measured<Vec<Profile>>),
    Products(Measured<Vec<Product>>),
    Prompts(Measured<Vec<PromptProduct>>),
    Tokens(Measured<Vec<WholeToken>>),
    Targets(Measured<Vec<Target>>),
    Latency(Measured<Latency>),
    Generation(Measured<Generation>),
    Cache(Measured<CacheStudy>),
    Counters(Measured<CostStudy>),
    Totals(Measured<Totals>),
}

/// The name of a section, as `done` in `run.json` lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum SectionName {
    Machine,
    Kernels,
    Selection,
    Model,
    Yardsticks,
    Checks,
    Agreement,
    Defects,
    Ladder,
    Scaling,
    Profiles,
    Products,
    Prompts,
    Tokens,
    Targets,
    Latency,
    Generation,
    Cache,
    Counters,
    Totals,
}

impl Section {
    /// Which section this is.
    pub fn name(&self) -> SectionName {
        match self {
            Self::Machine(_) => SectionName::Machine,
            Self::Kernels(_) => SectionName::Kernels,
            Self::Selection(_) => SectionName::Selection,
            Self::Model(_) => SectionName::Model,
            Self::Yardsticks(_) => SectionName::Yardsticks,
            Self::Checks(_) => SectionName::Checks,
            Self::Agreement(_) => SectionName::Agreement,
            Self::Defects(_) => SectionName::Defects,
            Self::Ladder(_) => SectionName::Ladder,
            Self::Scaling(_) => SectionName::Scaling,
            Self::Profiles(_) => SectionName::Profiles,
            Self::Products(_) => SectionName::Products,
            Self::Prompts(_) => SectionName::Prompts,
            Self::Tokens(_) => SectionName::Tokens,
            Self::Targets(_) => SectionName::Targets,
            Self::Latency(_) => SectionName::Latency,
            Self::Generation(_) => SectionName::Generation,
            Self::Cache(_) => SectionName::Cache,
            Self::Counters(_) => SectionName::Counters,
            Self::Totals(_) => SectionName::Totals,
        }
    }

    fn put_into(self, run: &mut Run) {
        match self {
            Self::Machine(s) => run.machine = s,
            Self::Kernels(s) => run.kernels = s,
            Self::Selection(s) => run.selection = s,
            Self::Model(s) => run.model = s,
            Self::Yardsticks(s) => run.yardsticks = s,
            Self::Checks(s) => run.checks = s,
            Self::Agreement(s) => run.agreement = s,
            Self::Defects(s) => run.defects = s,
            Self::Ladder(s) => run.ladder = s,
            Self::Scaling(s) => run.scaling = s,
            Self::Profiles(s) => run.profiles = s,
            Self::Products(s) => run.products = s,
            Self::Prompts(s) => run.prompts = s,
            Self::Tokens(s) => run.tokens = s,
            Self::Targets(s) => run.targets = s,
            Self::Latency(s) => run.latency = s,
            Self::Generation(s) => run.generation = s,
            Self::Cache(s) => run.cache = s,
            Self::Counters(s) => run.counters = s,
            Self::Totals(s) => run.totals = s,
        }
    }
}

/// A run folder that is being written.
///
/// Each call writes `run.json` whole, to a temporary file beside it that then takes its place: a
/// reader, or a resumed run, sees the old file or the new one and never a part.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    run: Run,
    resumed: bool,
}

impl Store {
    /// Opens `dir` and goes on with the run there, or makes the folder and starts `fresh`.
    ///
    /// A resumed run keeps its own start time, command and tool.
    ///
    /// # Errors
    /// The folder holds a run with other settings, another tool or another schema; `run.json` can't be read;
    /// the folder can't be made or written.
    pub fn open_or_create(dir: &Path, fresh: Run) -> Result<Self, RunError> {
        match read(dir) {
            Ok(found) => {
                let differences = differences(&found, &fresh);
                if !differences.is_empty() {
                    return Err(RunError::OtherSettings {
                        path: dir.join(RUN_FILE),
                        differences: differences.join(", "),
                    });
                }
                Ok(Self {
                    dir: dir.to_owned(),
                    run: found,
                    resumed: true,
                })
            }
            Err(RunError::Missing { .. }) => {
                fs::create_dir_all(dir).map_err(|e| RunError::io("create the folder", dir, e))?;
                let store = Self {
                    dir: dir.to_owned(),
                    run: fresh,
                    resumed: false,
                };
                store.save()?;
                Ok(store)
            }
            Err(other) => Err(other),
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What has been recorded so far.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Whether the folder already held this run.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// Whether a section is complete.
    pub fn is_done(&self, section: SectionName) -> bool {
        self.run.done.contains(&section)
    }

    /// Records a complete section.
    ///
    /// # Errors
    /// A number in it is not finite; `run.json` can't be written. The section is then not recorded.
    pub fn record(&mut self, section: Section) -> Result<(), RunError> {
        let name = section.name();
        let mut next = self.run.clone();
        section.put_into(&mut next);
        next.done.insert(name);
        let text = to_json(&next).map_err(|what| RunError::NotWritable {
            section: format!("{name:?}").to_lowercase(),
            what,
        })?;
        write_atomically(&self.dir.join(RUN_FILE), text.as_bytes())?;
        self.run = next;
        Ok(())
    }

    fn save(&self) -> Result<(), RunError> {
        let text = to_json(&self.run).map_err(|what| RunError::NotWritable {
            section: "settings".into(),
            what,
        })?;
        write_atomically(&self.dir.join(RUN_FILE), text.as_bytes())
    }
}

/// `run` as it stands in the file. JSON has no NaN: serde_json writes `null` for it, which a
/// reader would refuse, so the text is read back before it replaces anything.
fn to_json(run: &Run) -> Result<String, String> {
    let mut text = serde_json::to_string_pretty(run).map_err(|e| e.to_string())?;
    text.push('\n');
    match serde_json::from_str::<Run>(&text) {
        Ok(back) if back == *run => Ok(text),
        Ok(_) => Err("does not read back as it was written (a figure that is not finite)".into()),
        Err(e) => Err(format!("does not read back ({e})")),
    }
}

/// Reads `dir/run.json`.
///
/// # Errors
/// No such file; not JSON or not a run, with line and column; another schema; unreadable.
pub fn read(dir: &Path) -> Result<Run, RunError> {
    let path = dir.join(RUN_FILE);
    let text = crate::text_file::read(&path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => RunError::Missing { path: path.clone() },
        _ => RunError::io("read", &path, e),
    })?;
    let corrupt = |e: &serde_json::Error| RunError::Corrupt {
        path: path.clone(),
        line: e.line(),
        column: e.column(),
        what: without_position(&e.to_string()),
    };
    // The version comes first: a file of another version need not look like a run at all.
    let header: Header = serde_json::from_str(&text).map_err(|e| corrupt(&e))?;
    if header.schema != Some(SCHEMA) {
        return Err(RunError::Schema {
            path,
            found: header.schema.map_or("not stated".into(), |s| s.to_string()),
            written_by: header
                .tool
                .and_then(|t| t.version)
                .unwrap_or_else(|| "(version not stated)".into()),
        });
    }
    serde_json::from_str(&text).map_err(|e| corrupt(&e))
}

/// The little that every version must have.
#[derive(Deserialize)]
struct Header {
    schema: Option<u64>,
    tool: Option<HeaderTool>,
}

#[derive(Deserialize)]
struct HeaderTool {
    version: Option<String>,
}

/// serde_json appends " at line L column C", which the error states itself.
fn without_position(message: &str) -> String {
    match message.rfind(" at line ") {
        Some(at) => message[..at].to_owned(),
        None => message.to_owned(),
    }
}

/// What keeps a run from going on as another: settings, and the program that measures.
fn differences(found: &Run, asked: &Run) -> Vec<String> {
    let (a, b): (&Settings, &Settings) = (&found.settings, &asked.settings);
    let mut out = Vec::new();
    let mut differ = |what: &str, there: String, asked: String| {
        if there != asked {
            out.push(format!("{what}: {there} there, {asked} asked for"));
        }
    };
    let revision = |r: &Run| match &r.tool.revision {
        Measured::Is(revision) => revision.clone(),
        Measured::Unavailable(_) => "unknown".to_owned(),
    };
    differ(
        "tool",
        found.tool.version.clone(),
        asked.tool.version.clone(),
    );
    differ("revision", revision(found), revision(asked));
    differ("suite", a.suite.clone(), b.suite.clone());
    differ("quick", a.quick.to_string(), b.quick.to_string());
    differ("threads", a.threads.to_string(), b.threads.to_string());
    differ("seed", a.seed.to_string(), b.seed.to_string());
    differ("model", a.model.clone(), b.model.clone());
    for key in a
        .options
        .keys()
        .chain(b.options.keys().filter(|k| !a.options.contains_key(*k)))
    {
        let value = |s: &Settings| {
            s.options
                .get(key)
                .cloned()
                .unwrap_or_else(|| "not set".into())
        };
        differ(key, value(a), value(b));
    }
    out
}

/// Makes `folder` where it is missing, and sees that it takes files: minutes of measuring are too much
/// for one that then refuses them.
///
/// # Errors
/// The system's, with the path and what would help.
pub fn ready_folder(folder: &Path) -> Result<(), RunError> {
    fs::create_dir_all(folder).map_err(|e| RunError::io("create the folder", folder, e))?;
    tempfile::tempfile_in(folder).map_err(|e| RunError::io("write into", folder, e))?;
    Ok(())
}

/// Makes `bytes` the content of the file at `path`, as [`whole_file::replace`] does.
///
/// # Errors
/// The system's, with the path and what would help.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    whole_file::replace(path, |file| file.write_all(bytes))
        .map_err(|e| RunError::io("write", path, e))
}
