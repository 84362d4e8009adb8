//! Where a stream ends, so that what is appended follows.
//!
//! Invariants: an end that only a snapshot tells is looked at in the log before anything follows it. Absent: the logs' own ends; see `scribe`.

use comfyd_engine::journal::scan::{Rule, Verdict, scan};
use comfyd_engine::{Seq, StreamId};

use crate::store::health::Shared;
use crate::store::log_file::READ_LIMIT;

/// The end of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) seq: Seq,
    /// The length of its log once the scribe has caught up.
    pub(crate) len: u64,
    /// Only its snapshot says so: looked at before the first append, as a snapshot can rot.
    pub(crate) unchecked: bool,
}

impl Tip {
    /// The end as the log itself has it, or why nothing may follow there.
    pub(super) fn look(shared: &Shared, stream: &StreamId) -> Result<Self, String> {
        let bytes = shared
            .disk
            .read(&shared.layout.events(stream), READ_LIMIT)
            .map_err(|error| format!("its log cannot be read: {error}"))?;
        let found = scan(&bytes, Rule::default());
        if found.verdict == Verdict::Clean {
            Ok(Self { seq: Seq(found.prefix.last), len: found.prefix.end, unchecked: false })
        } else {
            Err(format!("its log is damaged at byte {}", found.prefix.end))
        }
    }
}
