//! What a stream of block log-ratios proves, valid whenever the run stops.
//!
//! # The data
//! One block times both sides twice, in the order A B B A or B A A B, drawn at random for each
//! block. Its log-ratio is `mean ln(time of A) - mean ln(time of B)` per iteration: above 0 the
//! second side ("after") is faster. Mirroring cancels a drift that is linear in log-time.
//!
//! # The assumption
//! Every statement here is about the *median* block log-ratio, and needs one thing: given all
//! earlier blocks, the next log-ratio lies above the true median with probability at most 1/2 and
//! below it with probability at most 1/2. Blocks need not be independent or alike: variance may
//! change, outliers may be of any size, slow phases may last. For equal sides (A/A) the random
//! order alone makes this hold: swapping the labels of a block swaps the sign of its log-ratio,
//! and both labellings are equally likely whatever the machine does. It does *not* cover an
//! effect that belongs to a side for the whole run, such as where its data lie in memory; that is
//! bias, which no number of blocks averages out, and which the margin has to include.
//!
//! # The rule
//! For a threshold `m`, the blocks above `m` are the heads of a coin that under the hypothesis
//! "median <= m" shows heads with probability at most 1/2. Capital that bets a fraction `l` of
//! itself on heads is multiplied by `1 + l` or `1 - l`; with `l = 2p - 1 >= 0` it is a non-negative
//! supermartingale under the hypothesis (betting: Waudby-Smith and Ramdas, "Estimating means of
//! bounded random variables by betting", JRSS B 2024). [`sign::ln_e_value`] spreads the first
//! capital evenly over all `p` in [1/2, 1], so it depends on the counts alone. By Ville's
//! inequality (1939) such capital ever reaches `1/a` with probability at most `a`; so a decision
//! at that level may be looked for after every block.
//!
//! - [`sequential::Sequential`] runs four of these tests: two for "outside the margin" (each at
//!   `alpha / 2`, so that a false alarm of either kind has probability at most `alpha`) and two
//!   for "inside the margin" (each at a level of its own, `equivalence`; both must reject, so by
//!   the intersection-union principle (Berger 1982) a false `Unchanged` has probability at most
//!   that level).
//! - [`median::MedianSequence`] holds the thresholds that no test rejects: a confidence sequence
//!   made of order statistics, as in Howard and Ramdas, "Sequential estimation of quantiles with
//!   applications to A/B testing and best-arm identification", Bernoulli 2022.
//! - [`median::fixed_blocks_interval`] is the classical interval for a number of blocks that was
//!   set beforehand (exact binomial; David and Nagaraja, *Order Statistics*, 2003, section 7.1).
//!   It is narrower, and wrong if one looks at the data to decide when to stop.
//! - [`binomial::Rate`] is the exact interval for a rate that was counted, such as that of false
//!   alarms. [`quantile::percentile`] is a percentile of a sample between order statistics.
//!   [`criterion_rule`] is another tool's rule, kept for comparison.
//!
//! Series of whole runs, over days, are another matter: [`change_point`] and [`shift`].

pub mod binomial;
pub mod change_point;
pub mod criterion_rule;
pub mod median;
pub mod quantile;
pub mod sequential;
pub mod shift;
pub mod sign;
#[cfg(test)]
pub(super) mod simulation;

pub use binomial::Rate;
pub use change_point::{ChangePoint, change_points};
pub use criterion_rule::CriterionRule;
pub use median::{FixedInterval, Interval, MedianSequence, fixed_blocks_interval, range_interval};
pub use quantile::{Between, Percentile, percentile};
pub use sequential::{Evidence, Rules, RulesError, Sequential, Verdict};
pub use shift::Shift;
