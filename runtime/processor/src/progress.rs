//! How far long work is: a bar on standard error, where somebody looks at it.

use std::time::Duration;

use biomero_events::rebuild::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that is gone when this is.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar for this work; drawn nowhere unless standard error is a terminal.
    pub(crate) fn new(work: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let template = "{msg} [{bar:30}] {percent}% of {len} events, {elapsed_precise}, {eta} to go";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(work);
        Self(bar)
    }

    /// Whether anybody sees it.
    pub(crate) fn is_seen(&self) -> bool {
        !self.0.is_hidden()
    }

    /// So far.
    pub(crate) fn at(&self, progress: Progress) {
        self.0.set_length(progress.total.unsigned_abs());
        self.0.set_position(progress.done.unsigned_abs());
    }

    /// How long it took.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A bar for bytes on their way.
pub(crate) struct Transfer(ProgressBar);

impl Transfer {
    /// Drawn nowhere unless standard error is a terminal.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let template = "[{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} to go";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    /// So far.
    pub(crate) fn at(&self, bytes: u64, of: Option<u64>) {
        if let Some(of) = of {
            self.0.set_length(of);
        }
        self.0.set_position(bytes);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// The same for data that moves.
pub(crate) struct Bytes(ProgressBar);

impl Bytes {
    /// A bar for this work; drawn nowhere unless standard error is a terminal.
    pub(crate) fn new(work: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let template = "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} to go";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(work);
        Self(bar)
    }

    /// So far.
    pub(crate) fn at(&self, bytes: u64, of_bytes: u64) {
        self.0.set_length(of_bytes);
        self.0.set_position(bytes);
    }

    /// So far, of another work than before.
    pub(crate) fn doing(&self, work: &'static str, bytes: u64, of_bytes: u64) {
        self.0.set_message(work);
        self.at(bytes, of_bytes);
    }

    /// Takes it away.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// How far a workflow is.
pub(crate) struct Stage(ProgressBar);

impl Stage {
    /// Drawn nowhere unless standard error is a terminal.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos}%, {elapsed_precise}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    /// Whether anybody sees it.
    pub(crate) fn is_seen(&self) -> bool {
        !self.0.is_hidden()
    }

    /// Where it stands, and how much of that is done where it is known.
    pub(crate) fn at(&self, stage: String, percent: Option<u64>) {
        self.0.set_message(stage);
        self.0.set_position(percent.unwrap_or(0).min(100));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
