//! The outputs of a run and where each is.

use crate::event::{Output, Produced, RemoteFile, SavedFile};
use crate::id::NodeId;
use crate::time::Timestamp;

/// Where an output is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the instance; being fetched.
    Remote,
    /// On the instance; tried again later.
    Delayed {
        /// What went wrong.
        why: String,
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// Stored here.
    Saved(SavedFile),
    /// Gone for good.
    Lost {
        /// What the instance said.
        why: String,
    },
    /// A text, which is in the log.
    Inline,
}

impl Place {
    /// Whether nothing more is to be done for it.
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Remote | Self::Delayed { .. } => false,
            Self::Saved(_) | Self::Lost { .. } | Self::Inline => true,
        }
    }
}

/// All outputs of a run, in the order in which they were reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    list: Vec<(Output, Place)>,
}

/// How many outputs a run may have (reliability.md 9).
pub const MAX_OUTPUTS: usize = 10_000;

/// The longest id of a node whose outputs are taken in, in bytes; a record must hold it.
const MAX_NODE_ID: usize = 64 * 1024;

impl Outputs {
    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, (Output, Place)> {
        self.list.iter()
    }

    /// The output of this number.
    pub fn get(&self, n: u32) -> Option<&(Output, Place)> {
        self.list.get(usize::try_from(n).ok()?.checked_sub(1)?)
    }

    /// Whether nothing more is to be fetched.
    pub fn all_settled(&self) -> bool {
        self.list.iter().all(|(_, place)| place.is_settled())
    }

    /// The ones among `produced` that are new, numbered on. The same file reported twice is one output.
    pub fn fresh(&self, node: &NodeId, produced: &[Produced]) -> Vec<Output> {
        let mut fresh: Vec<Output> = Vec::new();
        if node.0.len() > MAX_NODE_ID {
            return fresh;
        }
        for item in produced {
            let known = self.list.iter().map(|(output, _)| output).chain(&fresh).any(|output| same(output, node, item));
            if !known && self.list.len() + fresh.len() < MAX_OUTPUTS {
                let n = u32::try_from(self.list.len() + fresh.len() + 1).expect("MAX_OUTPUTS fits");
                fresh.push(Output { n, node: node.clone(), produced: item.clone() });
            }
        }
        fresh
    }

    pub(crate) fn add(&mut self, output: &Output) -> Option<RemoteFile> {
        let (place, file) = match &output.produced {
            Produced::File(file) => (Place::Remote, Some(file.clone())),
            Produced::Text { .. } => (Place::Inline, None),
        };
        self.list.push((output.clone(), place));
        file
    }

    pub(crate) fn place(&mut self, n: u32) -> Option<&mut Place> {
        let at = usize::try_from(n).ok()?.checked_sub(1)?;
        self.list.get_mut(at).map(|(_, place)| place)
    }
}

impl<'a> IntoIterator for &'a Outputs {
    type Item = &'a (Output, Place);
    type IntoIter = std::slice::Iter<'a, (Output, Place)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Two nodes can report one file (equal nodes run once), a node can show one text once.
fn same(known: &Output, node: &NodeId, item: &Produced) -> bool {
    match (&known.produced, item) {
        (Produced::File(a), Produced::File(b)) => {
            (&a.filename, &a.subfolder, &a.folder) == (&b.filename, &b.subfolder, &b.folder)
        }
        (Produced::Text { key: a, text: x }, Produced::Text { key: b, text: y }) => known.node == *node && a == b && x == y,
        (Produced::File(_), Produced::Text { .. }) | (Produced::Text { .. }, Produced::File(_)) => false,
    }
}
