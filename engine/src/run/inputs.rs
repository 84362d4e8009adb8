//! What a run uploaded, and what has become of it.

use std::collections::BTreeSet;

use crate::event::{InputFile, PromptSpec, UploadedFile};
use crate::id::ClientId;
use crate::time::Timestamp;

/// What a run uploaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inputs {
    pub(crate) stage: InputsStage,
    /// The names that the instance gave.
    uploaded: Vec<UploadedFile>,
    /// What is to be removed, once that was intended.
    pub(crate) files: Vec<InputFile>,
}

/// Where what a run uploaded is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum InputsStage {
    /// Nothing was uploaded.
    #[default]
    None,
    /// On the instance, or on its way there.
    There,
    /// Being removed.
    Removing,
    /// Tried again at this time.
    Delayed(Timestamp),
    /// Nothing more is done about it.
    Settled,
}

impl Inputs {
    /// Uploads may begin.
    pub(crate) fn begin(&mut self, prompt: &PromptSpec) {
        if !prompt.uploads.is_empty() {
            self.stage = InputsStage::There;
        }
    }

    /// All uploads are there under these names.
    pub(crate) fn are_named(&mut self, uploaded: &[UploadedFile]) {
        self.uploaded = uploaded.to_vec();
    }

    /// Whether it is owed to remove them.
    pub(crate) fn are_owed(&self) -> bool {
        match self.stage {
            InputsStage::Removing | InputsStage::Delayed(_) => true,
            InputsStage::None | InputsStage::There | InputsStage::Settled => false,
        }
    }

    /// What lies on the instance, where we are `client`.
    pub(crate) fn there(&self, prompt: &PromptSpec, client: &ClientId) -> Vec<InputFile> {
        let named = |node: &crate::id::NodeId, input: &str| {
            self.uploaded.iter().find(|file| file.node == *node && file.input == input).map(|file| file.name.clone())
        };
        let files = prompt.uploads.iter().map(|upload| InputFile {
            // One that was cut off in the middle has the name that it was to get.
            name: named(&upload.node, &upload.input).unwrap_or_else(|| upload.name_for(client)),
            blob: upload.blob.clone(),
        });
        files.collect::<BTreeSet<_>>().into_iter().collect()
    }
}
