//! What was looked at, how it stands, and what to do about it.

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// As it has to be.
    Ok,
    /// It could not be looked at, because of something else.
    NotTried,
    /// To be known: workflows run without, or not all of them do.
    Warning,
    /// To be put right: workflows cannot run.
    Failed,
}

impl Outcome {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotTried => "not tried",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// What was looked at and found. Texts may hold what a cluster said: they are made inert where they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word or two: `sbatch`, `data folder`.
    pub step: String,
    /// How it stands.
    pub outcome: Outcome,
    /// What was found.
    pub told: String,
    /// What to do, where something is to be done: as far as there is one, a command to type.
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub fn ok(step: impl Into<String>, told: impl Into<String>) -> Self {
        Self { step: step.into(), outcome: Outcome::Ok, told: told.into(), remedy: None }
    }

    /// To be known.
    #[must_use]
    pub fn warning(step: impl Into<String>, told: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { step: step.into(), outcome: Outcome::Warning, told: told.into(), remedy }
    }

    /// To be put right.
    #[must_use]
    pub fn failed(step: impl Into<String>, told: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { step: step.into(), outcome: Outcome::Failed, told: told.into(), remedy }
    }

    /// Not looked at.
    #[must_use]
    pub fn not_tried(step: impl Into<String>, because: impl Into<String>) -> Self {
        Self { step: step.into(), outcome: Outcome::NotTried, told: because.into(), remedy: None }
    }
}

/// The worst of them.
#[must_use]
pub fn worst(findings: &[Finding]) -> Outcome {
    findings.iter().map(|finding| finding.outcome).max().unwrap_or(Outcome::Ok)
}
