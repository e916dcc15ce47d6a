//! The search over a line of commits of which some can't be judged.

/// What is known of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As fast as GOOD.
    Good,
    /// Slower than GOOD.
    Bad,
    /// Not to be judged: it can't be built or served, or its duel stayed unclear.
    Skipped,
}

/// A line of commits, oldest first. What comes before it is good, its last one is bad, and
/// between the two it changes once.
#[derive(Debug)]
pub struct Search {
    skipped: Vec<bool>,
    /// Position of the oldest commit that may be the first bad one.
    oldest: usize,
    /// Position of the oldest commit that is known to be bad.
    bad: usize,
}

impl Search {
    /// Over so many commits, at least one.
    pub fn over(commits: usize) -> Self {
        Self {
            skipped: vec![false; commits],
            oldest: 0,
            bad: commits - 1,
        }
    }

    /// The commit to judge next: the middle of the longest run of commits without a skipped one, so
    /// that a stretch that does not build is left soon. `None` when no more can be known.
    pub fn next(&self) -> Option<usize> {
        let (mut best, mut begin) = (self.oldest..self.oldest, self.oldest);
        for at in self.oldest..=self.bad {
            if at == self.bad || self.skipped[at] {
                if at - begin > best.len() {
                    best = begin..at;
                }
                begin = at + 1;
            }
        }
        (!best.is_empty()).then(|| best.start + (best.len() - 1) / 2)
    }

    /// Takes what was found of the commit at `at`.
    pub fn tell(&mut self, at: usize, state: State) {
        match state {
            State::Good => self.oldest = self.oldest.max(at + 1),
            State::Bad => self.bad = self.bad.min(at),
            State::Skipped => self.skipped[at] = true,
        }
    }

    /// The commits that may be the first bad one; the last of them is bad, the others were skipped
    /// once [`Search::next`] has none left.
    pub fn suspects(&self) -> std::ops::RangeInclusive<usize> {
        self.oldest..=self.bad
    }

    /// How many more commits have to be judged if none is skipped.
    pub fn left(&self) -> u32 {
        let open = (self.oldest..self.bad).filter(|&at| !self.skipped[at]);
        // Each answer halves what is open, and the last may end on either side.
        usize::BITS - open.count().leading_zeros()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::SplitMix64;

    /// Searches until nothing is left; returns the suspects and how many commits were judged.
    fn search(commits: usize, culprit: usize, breaks: impl Fn(usize) -> bool) -> (Search, u32) {
        let mut search = Search::over(commits);
        let mut judged = 0;
        while let Some(at) = search.next() {
            assert!(search.suspects().contains(&at) && at != commits - 1);
            judged += 1;
            let state = match breaks(at) {
                true => State::Skipped,
                false if at < culprit => State::Good,
                false => State::Bad,
            };
            search.tell(at, state);
            assert!(judged <= commits as u32, "it goes round in circles");
        }
        (search, judged)
    }

    #[test]
    fn the_first_bad_commit_is_found_in_as_many_steps_as_was_said() {
        for commits in 1..=70 {
            let said = Search::over(commits).left();
            for culprit in 0..commits {
                let (search, judged) = search(commits, culprit, |_| false);
                assert_eq!(
                    search.suspects(),
                    culprit..=culprit,
                    "{culprit} of {commits}"
                );
                assert!(judged <= said, "{judged} of {said} for {commits}");
            }
        }
        assert_eq!(
            [1, 2, 3, 4, 5, 8, 9].map(|n| Search::over(n).left()),
            [0, 1, 2, 2, 3, 3, 4]
        );
    }

    #[test]
    fn skipped_commits_leave_a_range_that_holds_the_culprit() {
        let mut rng = SplitMix64::new(4);
        for _ in 0..2000 {
            let commits = 1 + rng.below(40);
            let culprit = rng.below(commits);
            let broken: Vec<bool> = (0..commits).map(|_| rng.below(3) == 0).collect();
            let (search, _) = search(commits, culprit, |at| broken[at]);
            let (oldest, bad) = (*search.suspects().start(), *search.suspects().end());
            assert!((oldest..=bad).contains(&culprit));
            assert!(
                (oldest..bad).all(|at| broken[at]),
                "all but the last were skipped"
            );
            assert!(bad == commits - 1 || !broken[bad]);
            assert!(
                oldest == 0 || !broken[oldest - 1],
                "what comes before was judged"
            );
        }
    }

    #[test]
    fn a_long_stretch_that_does_not_build_is_left_soon() {
        let (search, judged) = search(200, 180, |at| (60..160).contains(&at));
        assert_eq!(search.suspects(), 180..=180);
        assert!(judged <= 12, "{judged}");
    }
}
