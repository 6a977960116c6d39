//! What setting up has to do with a thing, or has done.

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// It is as it has to be.
    There,
    /// It was missing.
    Made,
    /// It was different.
    Changed,
    /// It would be made: a dry run.
    WouldMake,
    /// It would be changed: a dry run.
    WouldChange,
    /// It is different by somebody's hand, and stays.
    Kept,
    /// It could not be done.
    Failed,
}

impl Became {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Made => "made",
            Self::Changed => "changed",
            Self::WouldMake => "would make",
            Self::WouldChange => "would change",
            Self::Kept => "kept",
            Self::Failed => "failed",
        }
    }
}

/// A thing of a cluster that was set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What kind of thing: `folder`, `script`, `repository`.
    pub kind: &'static str,
    /// Which.
    pub name: String,
    /// What became of it.
    pub became: Became,
    /// What else is to be said.
    pub told: Option<String>,
    /// What to do, where something is to be done.
    pub remedy: Option<String>,
}

impl Item {
    /// A thing, and what became of it.
    #[must_use]
    pub fn new(kind: &'static str, name: impl Into<String>, became: Became) -> Self {
        Self { kind, name: name.into(), became, told: None, remedy: None }
    }

    /// What else is to be said.
    #[must_use]
    pub fn told(mut self, told: impl Into<String>) -> Self {
        self.told = Some(told.into());
        self
    }

    /// What to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}
