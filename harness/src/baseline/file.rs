//! The file of a baseline: what it holds, and how one is read that cannot be trusted.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::format::to_json;
use super::provenance::{self, is_name};
use super::yardstick::unit_of;
use crate::exit::{Exit, Failure};
use crate::machine::Machine;
use crate::measure::stats::{MedianSequence, fixed_blocks_interval};
use crate::measure::trial::{Block, ln_ns};
use crate::run::{ready_folder, write_atomically};
use crate::scaling::{self, Stored};

/// What the field `kind` says.
pub const KIND: &str = "bitgauge-baseline";

/// Version of the layout. A reader refuses any other, and any field that it does not know.
pub const SCHEMA: u32 = 1;

/// Level of the intervals in the file.
pub const LEVEL: f64 = 0.95;

/// Larger files are not read: a baseline of a whole suite has some 0.2 MB.
const LARGEST: u64 = 16 << 20;

/// Fewer placements have no interval of [`LEVEL`].
const FEWEST: usize = 6;

/// More placements are not read: a run has some twenty.
const MOST: usize = 10_000;

/// Ratios to yardsticks and efficiencies of one class of machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// [`KIND`].
    pub kind: String,
    /// [`SCHEMA`].
    pub schema: u32,
    /// [`Machine::class`] of the machine that measured.
    pub machine: String,
    /// When measuring began, as RFC 3339 in UTC.
    pub date: String,
    /// Version of bitgauge.
    pub version: String,
    /// Revision of the sources that were measured; `None` outside of a work tree.
    pub revision: Option<String>,
    /// The best extension for int8 products, [`crate::machine::IsaFeatures::level`].
    pub isa: String,
    /// What was asked for.
    pub settings: Settings,
    /// The machine, in full.
    pub described: Machine,
    /// Efficiencies over threads; `None` where they were not measured.
    pub scaling: Option<Stored>,
    /// The ratios, in the order of the suite.
    pub cases: Vec<StoredCase>,
}

/// What a baseline was asked to hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Whether the short form was asked for.
    pub quick: bool,
    /// Texts of which each case's id holds one; all cases when empty.
    pub filters: Vec<String>,
    /// The most threads.
    pub threads: usize,
    /// Seed of every random order and place.
    pub seed: u64,
}

/// One case, beside its yardstick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredCase {
    /// Its id. Another revision may not have it.
    pub id: String,
    /// The kernel that ran, also where the id says `best`; `None` where nothing is multiplied.
    pub kernel: Option<String>,
    /// The instruction set of that kernel.
    pub isa: Option<String>,
    /// What it ran beside.
    pub yardstick: StoredYardstick,
    /// How long an iteration takes, in units of the yardstick's work: medians over placements.
    pub ratio: Ratio,
    /// Nanoseconds an iteration; for information, never gated.
    pub ns: f64,
    /// Digest of its results.
    pub digest: String,
    /// Iterations a slice of the yardstick and of the case.
    pub iterations: [u64; 2],
    /// Every slice: a list of numbers for each placement. In the first, bit `i` says whether the
    /// case ran first and last in block `i`, else the yardstick did. Then follow four slices for
    /// each block, in nanoseconds, in the order they ran.
    pub placements: Vec<Slices>,
}

/// A yardstick as a case was held against it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredYardstick {
    /// Its name, which says on which instructions and how many threads.
    pub name: String,
    /// What its work is counted in.
    pub unit: Unit,
    /// Work of an iteration.
    pub per_iteration: f64,
}

/// What the work of a yardstick is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// A million bytes read.
    #[serde(rename = "MB")]
    Megabytes,
    /// A million operations; one multiply-add is two.
    #[serde(rename = "MOP")]
    MegaOps,
    /// Products of the naive kernel.
    #[serde(rename = "naive products")]
    Products,
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Megabytes => "MB",
            Self::MegaOps => "MOP",
            Self::Products => "naive products",
        })
    }
}

/// A ratio with its interval of [`LEVEL`], between order statistics over placements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Median.
    pub median: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Ratio {
    /// Of the logarithms of ratios; `None` for fewer than six.
    pub fn of(ln_ratios: &[f64]) -> Option<Self> {
        let interval = fixed_blocks_interval(ln_ratios, LEVEL)?;
        let median = ln_ratios.iter().copied().collect::<MedianSequence>();
        Some(Self {
            median: median.median()?.exp(),
            low: interval.low.exp(),
            high: interval.high.exp(),
        })
    }

    /// Equal up to the rounding of another machine's logarithm.
    fn is_about(&self, other: &Self) -> bool {
        let about = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
        about(self.median, other.median)
            && about(self.low, other.low)
            && about(self.high, other.high)
    }
}

/// The blocks of one placement; at least one, and at most 52, so that any reader of JSON can hold
/// the first number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u64>", into = "Vec<u64>")]
pub struct Slices(Vec<Block>);

const MOST_BLOCKS: usize = 52;

impl Slices {
    /// Of blocks, of which those beyond the 52nd are left out.
    pub fn of(blocks: &[Block]) -> Self {
        Self(blocks[..blocks.len().min(MOST_BLOCKS)].to_vec())
    }

    /// The blocks.
    pub fn blocks(&self) -> &[Block] {
        &self.0
    }
}

impl From<Slices> for Vec<u64> {
    fn from(Slices(blocks): Slices) -> Self {
        let bit = |(i, block): (usize, &Block)| u64::from(block.after_outside) << i;
        let order = blocks.iter().enumerate().map(bit).sum();
        std::iter::once(order)
            .chain(blocks.iter().flat_map(|b| b.ns))
            .collect()
    }
}

impl TryFrom<Vec<u64>> for Slices {
    type Error = String;

    fn try_from(numbers: Vec<u64>) -> Result<Self, String> {
        let (order, slices) = numbers
            .split_first()
            .ok_or("a placement without numbers; it has an order and four slices a block")?;
        let (blocks, rest) = slices.as_chunks::<4>();
        if blocks.is_empty() || blocks.len() > MOST_BLOCKS || !rest.is_empty() {
            return Err(format!(
                "a placement of {} slices; it has four a block, and 1 to {MOST_BLOCKS} blocks",
                slices.len()
            ));
        }
        if order >> blocks.len() != 0 {
            return Err(format!(
                "a placement whose order {order} speaks of more than its {} blocks",
                blocks.len()
            ));
        }
        if slices.contains(&0) {
            return Err("a slice of 0 ns; no work takes none".to_owned());
        }
        let block = |(i, ns): (usize, &[u64; 4])| Block {
            after_outside: order >> i & 1 == 1,
            ns: *ns,
        };
        Ok(Self(blocks.iter().enumerate().map(block).collect()))
    }
}

impl StoredCase {
    /// Logarithms of the ratio, one a placement, made from the slices.
    pub fn ln_ratios(&self) -> Vec<f64> {
        let of = |p: &Slices| ln_ratio(p.blocks(), self.iterations, self.yardstick.per_iteration);
        self.placements.iter().map(of).collect()
    }

    fn sound(&self) -> Result<(), String> {
        let above_0 = |name: &str, x: f64| match x.is_finite() && x > 0.0 {
            true => Ok(()),
            false => Err(format!("`{name}` is {x}; it must be above 0")),
        };
        match unit_of(&self.yardstick.name) {
            Some(unit) if unit == self.yardstick.unit => {}
            Some(unit) => {
                return Err(format!(
                    "yardstick {} counts in {unit}, not in {}",
                    self.yardstick.name, self.yardstick.unit
                ));
            }
            None => return Err(format!("`{}` is no yardstick", self.yardstick.name)),
        }
        above_0("per_iteration", self.yardstick.per_iteration)?;
        above_0("ns", self.ns)?;
        if self.iterations.contains(&0) {
            return Err("a slice of 0 iterations".to_owned());
        }
        if self.digest.len() != 16 || !self.digest.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!(
                "`{}` is no digest, which has sixteen hexadecimal digits",
                self.digest
            ));
        }
        if self.placements.len() < FEWEST {
            return Err(format!(
                "{} placements; {FEWEST} are the fewest that have an interval",
                self.placements.len()
            ));
        }
        if self.placements.len() > MOST {
            return Err(format!(
                "{} placements; at most {MOST} are read",
                self.placements.len()
            ));
        }
        match Ratio::of(&self.ln_ratios()) {
            Some(made) if self.ratio.is_about(&made) => Ok(()),
            Some(made) => Err(format!(
                "its ratio is {:?} ({:?} to {:?}), and its slices give {:?} ({:?} to {:?}): one of them was changed",
                self.ratio.median,
                self.ratio.low,
                self.ratio.high,
                made.median,
                made.low,
                made.high
            )),
            None => Err("its slices give no ratio".to_owned()),
        }
    }
}

/// Logarithm of the time of an iteration of the case over the time in which the yardstick does
/// one unit of its work.
pub(super) fn ln_ratio(blocks: &[Block], iterations: [u64; 2], per_iteration: f64) -> f64 {
    let [yardstick, case] = ln_ns(blocks, iterations);
    case - yardstick + per_iteration.ln()
}

/// A baseline that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct BaselineError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, where, and what would be right.
    pub what: String,
}

impl BaselineError {
    fn new(path: &Path, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    /// There is no usable baseline.
    pub fn failure(self) -> Failure {
        Failure {
            exit: Exit::NoBaseline,
            message: format!("no usable baseline: {self}"),
        }
    }
}

/// The little that every version has.
#[derive(Deserialize)]
struct Header {
    kind: Option<String>,
    schema: Option<u64>,
    machine: Option<String>,
    version: Option<String>,
}

impl Baseline {
    /// Reads the baseline at `path`, of whatever class of machine.
    ///
    /// # Errors
    /// For what is no regular file of a sensible size, no baseline, of another schema, or holds
    /// what no run gives.
    pub fn read(path: &Path) -> Result<Self, BaselineError> {
        let (text, header) = open(path)?;
        let wrong = |what: String| BaselineError::new(path, what);
        if header.schema != Some(u64::from(SCHEMA)) {
            let found = header.schema.map_or("none".to_owned(), |s| s.to_string());
            let by = header.version.unwrap_or_else(|| "(not stated)".to_owned());
            return Err(wrong(format!(
                "schema {found}, written by bitgauge {}; this one reads schema {SCHEMA}. Use the version that wrote it, or save one anew with `bitgauge baseline save`",
                by.escape_debug()
            )));
        }
        let mut unknown = Vec::new();
        let mut parser = serde_json::Deserializer::from_str(&text);
        let baseline: Self =
            serde_ignored::deserialize(&mut parser, |field| unknown.push(field.to_string()))
                .map_err(|e| wrong(format!("the baseline can't be read: {e}")))?;
        if !unknown.is_empty() {
            return Err(wrong(format!(
                "schema {SCHEMA} has no field {}",
                unknown.join(", ")
            )));
        }
        baseline.sound().map_err(wrong)?;
        Ok(baseline)
    }

    /// [`Baseline::read`], of this class of machine alone.
    ///
    /// # Errors
    /// As [`Baseline::read`], and for another class.
    pub fn read_of(path: &Path, class: &str) -> Result<Self, BaselineError> {
        let baseline = Self::read(path)?;
        if baseline.machine == class {
            return Ok(baseline);
        }
        Err(BaselineError::new(
            path,
            format!(
                "the baseline is of machine class `{}`, this is `{class}`: save one on this machine with `bitgauge baseline save`",
                baseline.machine
            ),
        ))
    }

    /// Refuses what no run gives, such as a file that was edited.
    fn sound(&self) -> Result<(), String> {
        let points = self.scaling.iter().flat_map(|s| &s.points);
        if self.cases.is_empty() && points.count() == 0 {
            return Err(
                "neither a case nor an efficiency: there is nothing to hold against".into(),
            );
        }
        provenance::sound(
            &self.machine,
            &self.date,
            &self.version,
            self.revision.as_deref(),
        )?;
        let mut seen = BTreeSet::new();
        for (i, case) in self.cases.iter().enumerate() {
            let at = |what: String| format!("cases[{i}] ({}): {what}", case.id.escape_debug());
            if !is_name(&case.id) {
                return Err(at("this is no id of a case".to_owned()));
            }
            if !seen.insert(&case.id) {
                return Err(at("this case stands there twice".to_owned()));
            }
            case.sound().map_err(at)?;
        }
        self.scaling.as_ref().map_or(Ok(()), |stored| {
            scaling::baseline::sound(stored).map_err(|what| format!("scaling: {what}"))
        })
    }

    /// Writes the file, whole or not at all. The folder must exist.
    ///
    /// # Errors
    /// When it holds a figure that is not finite, or the system refuses.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = to_json(self)?;
        // JSON has no NaN: it becomes `null`, which a reader refuses.
        match serde_json::from_str::<Self>(&text) {
            Ok(back) if back == *self => {}
            _ => {
                return Err(Failure::could_not_run(format!(
                    "{}: the baseline does not read back as it was written; nothing was stored",
                    path.display()
                )));
            }
        }
        self.sound().map_err(|what| {
            Failure::could_not_run(format!("{}: nothing was stored: {what}", path.display()))
        })?;
        Ok(write_atomically(path, text.as_bytes())?)
    }
}

/// The text of a file that says it is a baseline, of whatever version.
fn open(path: &Path) -> Result<(String, Header), BaselineError> {
    let wrong = |what: String| BaselineError::new(path, what);
    let unreadable = |e: io::Error| {
        let remedy = match e.kind() {
            ErrorKind::NotFound => "; `bitgauge baseline save` writes one",
            _ => "",
        };
        wrong(format!("the baseline can't be read: {e}{remedy}"))
    };
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > LARGEST {
        return Err(wrong(format!(
            "{bytes} bytes; a baseline has at most {LARGEST}"
        )));
    }
    let text = crate::text_file::read(path).map_err(unreadable)?;
    let header: Header =
        serde_json::from_str(&text).map_err(|e| wrong(format!("this is no baseline: {e}")))?;
    if header.kind.as_deref() != Some(KIND) {
        let found = header.kind.map_or("no kind".to_owned(), |k| {
            format!("kind `{}`", k.escape_debug())
        });
        return Err(wrong(format!(
            "this is no baseline: {found}, where `{KIND}` should stand"
        )));
    }
    Ok((text, header))
}

/// Whether a baseline of `class` may be written to `path`: nothing is there, or a baseline of the
/// same class, of whatever version. The folder is made, and must take a file.
///
/// # Errors
/// When something else is there, or the folder can't be written.
pub fn may_write(path: &Path, class: &str) -> Result<(), Failure> {
    let refused = |what: String| {
        Failure::could_not_run(format!(
            "{}: {what}; name another file with --out",
            path.display()
        ))
    };
    let nothing = path
        .metadata()
        .is_err_and(|e| e.kind() == ErrorKind::NotFound);
    if !nothing {
        let (_, header) =
            open(path).map_err(|e| refused(format!("it would be overwritten, and {}", e.what)))?;
        let found = header.machine.unwrap_or_else(|| "unknown".to_owned());
        if found != class {
            return Err(refused(format!(
                "it holds the baseline of machine class `{}`, this is `{class}`",
                found.escape_debug()
            )));
        }
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    Ok(ready_folder(folder)?)
}
