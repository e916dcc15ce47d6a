//! Progress on stderr: a bar on a terminal, a line a stage elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::shows_progress;

/// Progress of one command.
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Shows nothing until the first stage.
    pub fn new() -> Self {
        let bar = shows_progress().then(|| {
            let bar = ProgressBar::new(0);
            let style = "{spinner} {wide_msg} {bar:24} {pos}/{len} {elapsed} (left: {eta})";
            bar.set_style(
                ProgressStyle::with_template(style)
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar }
    }

    /// Begins a stage of `steps` steps.
    pub fn stage(&self, title: &str, steps: usize) {
        match &self.bar {
            Some(bar) => {
                bar.reset();
                bar.set_length(steps as u64);
                bar.set_message(title.to_owned());
            }
            None => eprintln!("{title} ..."),
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
            bar.set_message(text.to_owned());
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
