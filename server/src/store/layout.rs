//! The names in a data directory.

use std::path::{Path, PathBuf};

use comfyd_engine::{RunId, StreamId};

/// The log of a stream.
pub(crate) const EVENTS: &str = "events.log";

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The journal's file.
    Journal,
    /// The logs of streams.
    Scribe,
}

/// Paths below one data directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    pub(crate) fn server(&self) -> PathBuf {
        self.root.join("server.json")
    }

    pub(crate) fn format(&self) -> PathBuf {
        self.root.join("format.json")
    }

    pub(crate) fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    /// There while a sync has failed and what it should have kept is not yet durable elsewhere.
    pub(crate) fn distrust(&self, whose: Writer) -> PathBuf {
        self.root.join(match whose {
            Writer::Journal => "sync-failed.journal",
            Writer::Scribe => "sync-failed.logs",
        })
    }

    pub(crate) fn journal_dir(&self) -> PathBuf {
        self.root.join("journal")
    }

    pub(crate) fn journal(&self, first: u64) -> PathBuf {
        self.journal_dir().join(format!("{first:020}.log"))
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// The marks of removed runs.
    pub(crate) fn removed(&self) -> PathBuf {
        self.root.join("removed")
    }

    /// There if a run was removed: then nothing else of it counts.
    pub(crate) fn mark(&self, run: RunId) -> PathBuf {
        self.removed().join(run.to_string())
    }

    /// What must be known of a removed run for a while.
    pub(crate) fn note(&self, run: RunId, suffix: &str) -> PathBuf {
        self.removed().join(format!("{run}{suffix}"))
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index.log")
    }

    pub(crate) fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    pub(crate) fn instances(&self) -> PathBuf {
        self.root.join("instances")
    }

    pub(crate) fn setups(&self) -> PathBuf {
        self.root.join("setups")
    }

    pub(crate) fn stream_dir(&self, stream: &StreamId) -> PathBuf {
        match stream {
            StreamId::Run(run) => self.runs().join(run.to_string()),
            StreamId::Instance(instance) => self.instances().join(instance.as_str()),
            StreamId::Setup(setup) => self.setups().join(setup.as_str()),
        }
    }

    pub(crate) fn events(&self, stream: &StreamId) -> PathBuf {
        self.stream_dir(stream).join(EVENTS)
    }

    pub(crate) fn state(&self, stream: &StreamId) -> PathBuf {
        self.stream_dir(stream).join("state.json")
    }

    pub(crate) fn attempts(&self, stream: &StreamId) -> PathBuf {
        self.stream_dir(stream).join("replaying")
    }

    /// Where records go that are acknowledged but cannot follow a damaged log.
    pub(crate) fn rescue(&self, stream: &StreamId, first: u64) -> PathBuf {
        self.stream_dir(stream).join(format!("{EVENTS}.journal-{first}"))
    }
}

/// The number in the name of a journal file.
pub(crate) fn journal_first(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}
