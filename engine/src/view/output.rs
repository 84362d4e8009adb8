//! An output as its readers see it.

use serde::Serialize;

use crate::event::{Output, Produced};
use crate::id::{NodeId, Sha256};
use crate::run::Place;

/// An output of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OutputView {
    /// Its number.
    pub n: u32,
    /// The node that reported it.
    pub node_id: NodeId,
    /// `image video audio text 3d file`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The key under which the node reported it.
    pub key: String,
    /// The name on the instance; empty for a text.
    pub filename: String,
    /// The folder below `folder` on the instance.
    pub subfolder: String,
    /// `output`, `temp` or `input`.
    pub folder: String,
    /// The path on the instance, as far as it is known: folder, subfolder and name.
    pub path: Option<String>,
    /// Whether it is stored here.
    pub downloaded: bool,
    /// Its name in the run's `outputs` folder.
    pub local_name: Option<String>,
    /// Where a copy was put, as the user wanted.
    pub copied_to: Option<String>,
    /// Its length in bytes.
    pub size: Option<u64>,
    /// Its hash.
    pub sha256: Option<Sha256>,
    /// Its media type.
    pub media_type: Option<String>,
    /// The text, for a text.
    pub text: Option<String>,
    /// Why it is not here.
    pub problem: Option<String>,
}

impl OutputView {
    pub(super) fn of(output: &Output, place: &Place) -> Self {
        let saved = match place {
            Place::Saved(file) => Some(file),
            Place::Remote | Place::Delayed { .. } | Place::Lost { .. } | Place::Inline => None,
        };
        let problem = match place {
            Place::Delayed { why, .. } | Place::Lost { why } => Some(why.clone()),
            Place::Remote | Place::Saved(_) | Place::Inline => None,
        };
        let blank = Self {
            n: output.n,
            node_id: output.node.clone(),
            kind: "text",
            key: String::new(),
            filename: String::new(),
            subfolder: String::new(),
            folder: String::new(),
            path: None,
            downloaded: saved.is_some() || *place == Place::Inline,
            local_name: saved.map(|file| file.name.clone()),
            copied_to: saved.and_then(|file| file.copied_to.clone()),
            size: saved.map(|file| file.size),
            sha256: saved.map(|file| file.sha256.clone()),
            media_type: saved.and_then(|file| file.media_type.clone()),
            text: None,
            problem,
        };
        match &output.produced {
            Produced::Text { key, text } => Self { key: key.clone(), text: Some(text.clone()), ..blank },
            Produced::File(file) => {
                let parts = [file.folder.as_str(), file.subfolder.as_str(), file.filename.as_str()];
                let path: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                Self {
                    kind: kind_of(&file.key, &file.filename),
                    key: file.key.clone(),
                    filename: file.filename.clone(),
                    subfolder: file.subfolder.clone(),
                    folder: file.folder.clone(),
                    path: Some(path.join("/")),
                    ..blank
                }
            }
        }
    }
}

/// The kind of a file: by its name's ending, else by the key that the node used (`gifs` holds videos too).
fn kind_of(key: &str, filename: &str) -> &'static str {
    let ending = filename.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "png" | "jpg" | "jpeg" | "webp" | "gif" | "bmp" | "tif" | "tiff" | "avif" | "exr" | "svg" => "image",
        "mp4" | "webm" | "mkv" | "mov" | "avi" | "m4v" => "video",
        "mp3" | "wav" | "flac" | "ogg" | "opus" | "m4a" | "aac" => "audio",
        "glb" | "gltf" | "obj" | "ply" | "stl" | "fbx" | "usdz" | "splat" => "3d",
        "txt" | "json" | "md" | "csv" | "srt" => "text",
        // Any other ending says nothing; the key may.
        _ => match key {
            "images" => "image",
            "gifs" | "video" | "videos" => "video",
            "audio" => "audio",
            "3d" => "3d",
            _ => "file", // Keys are the nodes' own.
        },
    }
}
