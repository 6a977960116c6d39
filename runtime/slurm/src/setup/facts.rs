//! What a login node says about itself (`survey.sh`), in types. The answer is the cluster's: each field may be missing, twice or
//! nonsense, and it may end anywhere.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tokio::io::AsyncReadExt as _;

use super::Containers;
use crate::{Cluster, Command, Error};

/// What runs on the cluster.
const SURVEY: &str = include_str!("survey.sh");

/// How long it may take. Its own questions have 15 seconds each where there is a `timeout`.
const DEADLINE: Duration = Duration::from_secs(180);

/// How long an answer may be.
const LONGEST: u64 = 1 << 20;

/// Facts of a login node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    values: BTreeMap<String, String>,
    /// What it was asked last, where the answer has no end.
    pub hangs_at: Option<String>,
    /// The local time in seconds since 1970, between asking and the answer's beginning.
    pub asked: i64,
    /// How long the answer took to begin: the clocks cannot be compared more exactly.
    pub took: Duration,
}

/// A partition, as `sinfo` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// Whether it takes jobs.
    pub is_up: bool,
    /// The longest time of a job, as Slurm writes it.
    pub limit: String,
    /// Number of nodes and their state, such as `3 idle`.
    pub nodes: Vec<(u32, String)>,
    /// Processors of its smallest nodes, as Slurm writes it (`4+`).
    pub processors: String,
    /// Megabytes of memory, likewise.
    pub memory: String,
    /// Generic resources (`gpu:a100:4`), without those that are none.
    pub resources: Vec<String>,
}

/// What there is of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many there are in all.
    pub all: u64,
    /// How many are free.
    pub free: u64,
}

impl Facts {
    /// Asks a login node. Where it does not come to an end, what was told before is returned, with what it hangs at.
    ///
    /// # Errors
    /// It cannot be asked at all.
    pub async fn ask(
        cluster: &Cluster,
        folders: &[(&str, &str)],
        programs: &[&str],
        containers: &Containers,
    ) -> Result<Self, Error> {
        let command = Command::shell(SURVEY)
            .args(folders.iter().flat_map(|(kind, path)| [*kind, *path]))
            .env("SURVEY_PROGRAMS", programs.join(" "))
            .env("SURVEY_RUNTIMES", containers.runtimes())
            .env("SURVEY_MODULES", containers.modules())
            .deadline(DEADLINE + Duration::from_secs(10))
            .repeatable();
        let begun = tokio::time::Instant::now();
        let before = SystemTime::now();
        let mut running = cluster.spawn(&command).await?;
        let took = begun.elapsed();
        let mut told = Vec::new();
        let read = async {
            drop(running.stdin.take());
            let _ = (&mut running.stdout).take(LONGEST).read_to_end(&mut told).await;
        };
        let ended = tokio::time::timeout(DEADLINE, read).await;
        if ended.is_ok() && told.is_empty() {
            // Why nothing was said is the connection's or the shell's to tell.
            let (status, stderr) = running.wait().await?;
            return Err(Error::Failed {
                host: cluster.name().to_owned(),
                what: command.name(),
                status,
                stderr: String::from_utf8_lossy(&stderr).trim().to_owned(),
            });
        }
        let mut facts = Self::read(&told);
        let since = before.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + took / 2;
        facts.asked = i64::try_from(since.as_secs()).unwrap_or_default();
        facts.took = took;
        Ok(facts)
    }

    /// Reads an answer.
    #[must_use]
    pub fn read(told: &[u8]) -> Self {
        let mut fields: Vec<&[u8]> = told.split(|byte| *byte == 0).collect();
        // Behind the last NUL there is nothing, or half a field.
        fields.pop();
        let mut facts = Self::default();
        let mut asked = None;
        for pair in fields.chunks_exact(2) {
            let [name, value] = pair else { continue };
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            if name == "asks" {
                asked = Some(value.into_owned());
            } else {
                // The first counts: nothing that is said later can take its place.
                facts.values.entry(name.into_owned()).or_insert_with(|| value.into_owned());
            }
        }
        if facts.get("that is") != Some("all") {
            facts.hangs_at = Some(asked.unwrap_or_else(|| "its beginning".to_owned()));
        }
        facts
    }

    /// A fact as it was told; none where it was not, or is empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Of a folder.
    #[must_use]
    pub fn of(&self, kind: &str, what: &str) -> Option<&str> {
        self.get(&format!("{kind} {what}"))
    }

    /// Where a program is.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<&str> {
        self.get(&format!("program {name}"))
    }

    /// A value of `scontrol show config`.
    #[must_use]
    pub fn config(&self, key: &str) -> Option<&str> {
        let mut lines = self.get("config")?.lines().filter_map(|line| line.split_once('='));
        lines.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
    }

    /// How far the cluster's clock is ahead, in seconds.
    #[must_use]
    pub fn ahead(&self) -> Option<i64> {
        self.get("clock")?.parse::<i64>().ok()?.checked_sub(self.asked)
    }

    /// Kibibytes (`space`) or files (`inodes`) of the file system that a folder is on.
    #[must_use]
    pub fn room(&self, kind: &str, what: &str) -> Option<Room> {
        // The name of a file system may hold spaces: the numbers are counted from the one that ends with `%`.
        let words: Vec<&str> = self.of(kind, what)?.split_whitespace().collect();
        let percent = words.iter().position(|word| *word == "-" || word.ends_with('%'))?;
        let number = |back: usize| words.get(percent.checked_sub(back)?)?.parse().ok();
        Some(Room { all: number(3)?, free: number(1)? })
    }

    /// The partitions, each once, in the order of `sinfo`.
    #[must_use]
    pub fn partitions(&self) -> Vec<Partition> {
        let mut partitions: Vec<Partition> = Vec::new();
        for line in self.get("partitions").unwrap_or_default().lines() {
            let mut parts = line.splitn(8, '|').map(str::trim);
            let mut next = || parts.next();
            let (
                Some(name),
                Some(up),
                Some(limit),
                Some(nodes),
                Some(state),
                Some(cpus),
                Some(memory),
                Some(gres),
            ) = (next(), next(), next(), next(), next(), next(), next(), next())
            else {
                continue;
            };
            let nodes = (nodes.parse().unwrap_or_default(), state.to_owned());
            let gres =
                gres.split(',').filter(|name| !name.is_empty() && *name != "(null)").map(str::to_owned);
            match partitions.iter_mut().find(|partition| partition.name == name) {
                Some(partition) => {
                    partition.nodes.push(nodes);
                    partition.resources.extend(gres);
                }
                None => partitions.push(Partition {
                    name: name.to_owned(),
                    is_up: up == "up",
                    limit: limit.to_owned(),
                    nodes: vec![nodes],
                    processors: cpus.to_owned(),
                    memory: memory.to_owned(),
                    resources: gres.collect(),
                }),
            }
        }
        partitions
    }

    #[cfg(test)]
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.values.insert(name.to_owned(), value.to_owned());
        self
    }

    #[cfg(test)]
    pub(super) fn without(mut self, name: &str) -> Self {
        self.values.remove(name);
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_without_its_end_says_where_it_hangs() {
        let facts = Facts::read(b"user\0ada\0asks\0/scratch/data\0data path\0/scr");
        assert_eq!(facts.get("user"), Some("ada"));
        assert_eq!(facts.get("data path"), None, "half a field is none");
        assert_eq!(facts.hangs_at.as_deref(), Some("/scratch/data"));
        assert_eq!(Facts::read(b"asks\0x\0that is\0all\0").hangs_at, None);
    }

    #[test]
    fn the_first_word_counts() {
        assert_eq!(Facts::read(b"user\0ada\0user\0root\0").get("user"), Some("ada"));
    }

    #[test]
    fn room_is_read_whatever_the_file_system_is_called() {
        let facts = Facts::default()
            .with("data space", "/dev/my disk 1 41152812 9 33241204 22% /srv")
            .with("data inodes", "tmpfs - - - - /srv")
            .with("images space", "nonsense");
        assert_eq!(facts.room("data", "space"), Some(Room { all: 41_152_812, free: 33_241_204 }));
        assert_eq!(facts.room("data", "inodes"), None, "a file system that counts none");
        assert_eq!(facts.room("images", "space"), None);
    }

    #[test]
    fn partitions_of_several_lines_are_one() {
        let facts = Facts::default().with(
            "partitions",
            "gpu|up|1-00:00:00|2|idle|64|500000|gpu:a100:4(S:0-1)\ngpu|up|1-00:00:00|1|down*|64|500000|(null)\nold|down|infinite|1|idle|4|8000|(null)\nnonsense",
        );
        let partitions = facts.partitions();
        assert_eq!(partitions.len(), 2);
        assert_eq!(partitions[0].nodes, [(2, "idle".to_owned()), (1, "down*".to_owned())]);
        assert_eq!(partitions[0].resources, ["gpu:a100:4(S:0-1)"]);
        assert!(!partitions[1].is_up);
    }

    proptest! {
        #[test]
        fn any_answer_can_be_read(told in prop::collection::vec(any::<u8>(), 0..400), text in "(?s).{0,200}") {
            let facts = Facts::read(&told).with("partitions", &text).with("data space", &text).with("config", &text);
            let _ = (facts.partitions(), facts.room("data", "space"), facts.config("MaxArraySize"), facts.ahead());
        }
    }
}
