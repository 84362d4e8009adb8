//! The workflows: five nodes that end at once, and that no cache can answer.

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// One text output, no file.
    Text,
    /// One file of about 10 kB.
    File,
}

impl Work {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Text, Self::File].into_iter().find(|work| work.name() == text)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::File => "file",
        }
    }

    /// The graph of the run with this number: its first node differs, so all five run.
    pub(crate) fn graph(self, number: u64) -> String {
        match self {
            Self::Text => format!(
                r#"{{"1": {{"class_type": "InstantStep", "inputs": {{"seed": {number}}}}}, "2": {{"class_type": "InstantStep", "inputs": {{"seed": 1, "after": ["1", 0]}}}}, "3": {{"class_type": "InstantStep", "inputs": {{"seed": 2, "after": ["2", 0]}}}}, "4": {{"class_type": "InstantStep", "inputs": {{"seed": 3, "after": ["3", 0]}}}}, "5": {{"class_type": "InstantText", "inputs": {{"text": "done", "after": ["4", 0]}}}}}}"#
            ),
            Self::File => {
                let color = number % 0xff_ffff;
                format!(
                    r#"{{"1": {{"class_type": "EmptyImage", "inputs": {{"width": 128, "height": 128, "batch_size": 1, "color": {color}}}}}, "2": {{"class_type": "ImageInvert", "inputs": {{"image": ["1", 0]}}}}, "3": {{"class_type": "ImageInvert", "inputs": {{"image": ["2", 0]}}}}, "4": {{"class_type": "ImageInvert", "inputs": {{"image": ["3", 0]}}}}, "5": {{"class_type": "SaveImage", "inputs": {{"images": ["4", 0], "filename_prefix": "load/l"}}}}}}"#
                )
            }
        }
    }
}
