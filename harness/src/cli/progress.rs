//! Progress on stderr: a bar on a terminal, a line a stage elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::{shows_progress, tell};
use crate::report::wording::one_line;

/// A stage of known length: how much is done, and how long the rest will take at this pace.
const COUNTED: &str = "{spinner} {wide_msg} {bar:24} {pos}/{len}  {elapsed}, about {eta} left";
/// A stage of unknown length.
const OPEN: &str = "{spinner} {wide_msg} {elapsed}";

/// Progress of one command.
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Shows nothing until the first stage.
    pub fn new() -> Self {
        let bar = shows_progress().then(|| {
            let bar = ProgressBar::new(0);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar }
    }

    /// Begins a stage of `steps` steps; 0 where their number is unknown.
    pub fn stage(&self, title: &str, steps: usize) {
        match &self.bar {
            Some(bar) => {
                let template = if steps == 0 { OPEN } else { COUNTED };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                bar.reset();
                bar.set_length(steps as u64);
                bar.set_message(one_line(title));
            }
            None => tell(format!("{title} ...")),
        }
    }

    /// One step of the stage is done.
    pub fn step(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Shows what is being done within the stage.
    pub fn detail(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(one_line(text));
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
