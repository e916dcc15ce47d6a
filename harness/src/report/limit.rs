//! How near the products come to the read bandwidth.

use super::wording::{NBSP, number, plural, significant};
use crate::run::{Estimate, Product, Yardsticks};

/// The products of the fastest kernel with some number of threads.
pub struct Reach {
    /// Threads.
    pub threads: usize,
    /// The kernel.
    pub kernel: String,
    /// Per cent of the read bandwidth: of the product that reaches least, and of the one that
    /// reaches most.
    pub percent: (f64, f64),
    /// The read bandwidth with as many threads, GB/s.
    pub roof: Estimate,
}

impl Reach {
    /// `23 to 33 %`.
    pub fn share(&self) -> String {
        let (low, high) = self.percent;
        let [low, high] = [low, high].map(|x| significant(x, 2));
        let range = if low == high {
            low
        } else {
            format!("{low} to {high}")
        };
        format!("{range}{NBSP}%")
    }

    /// `23 to 33 % with 2 threads`.
    pub fn words(&self) -> String {
        format!("{} with {}", self.share(), plural(self.threads, "thread"))
    }

    /// `34.8 GB/s with 2 threads`.
    pub fn roof(&self) -> String {
        format!(
            "{}{NBSP}GB/s with {}",
            number(self.roof.value),
            plural(self.threads, "thread")
        )
    }
}

/// The reach with the fewest threads and with the most.
///
/// The fastest kernel is the one that gets through most weights a second: the output head's float
/// product, which has bytes of its own, never is.
pub fn reaches(products: &[Product], yardsticks: &Yardsticks) -> Vec<Reach> {
    let counts = products.iter().map(|p| p.threads);
    let ends = [counts.clone().min(), counts.max()];
    let mut out: Vec<Reach> = Vec::new();
    for threads in ends.into_iter().flatten() {
        if out.iter().all(|r| r.threads != threads) {
            out.extend(reach(products, yardsticks, threads));
        }
    }
    out
}

fn reach(products: &[Product], yardsticks: &Yardsticks, threads: usize) -> Option<Reach> {
    let roof = *yardsticks.bandwidth(threads)?;
    let here = || products.iter().filter(|p| p.threads == threads);
    let weights_a_second = |kernel: &str| {
        let of = here().filter(|p| p.kernel == kernel);
        let (weights, us) = of.fold((0.0, 0.0), |(weights, us), p| match p.us.get() {
            Some(e) => (weights + p.n as f64 * p.k as f64, us + e.value),
            None => (weights, us),
        });
        if us > 0.0 { weights / us } else { 0.0 }
    };
    let kernel = here()
        .map(|p| p.kernel.as_str())
        .max_by(|a, b| weights_a_second(a).total_cmp(&weights_a_second(b)))?;
    let shares = here()
        .filter(|p| p.kernel == kernel)
        .filter_map(|p| p.percent_of_bandwidth.get().copied());
    let percent = shares.fold(None, |ends: Option<(f64, f64)>, x| {
        Some(ends.map_or((x, x), |(low, high)| (low.min(x), high.max(x))))
    })?;
    Some(Reach {
        threads,
        kernel: kernel.to_owned(),
        percent,
        roof,
    })
}
