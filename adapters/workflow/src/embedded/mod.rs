//! The workflow that ComfyUI writes into the pictures, videos and sounds that it saves.
//!
//! Invariants: nothing is read beyond the bytes given, nothing is inflated beyond a limit, and no file makes it panic.
//! Absent: the pictures themselves.

mod ebml;
mod mp4;
mod ogg;
mod png;
mod tags;
mod tiff;

use tags::Tags;

/// The longest text that is taken out of a file.
pub(crate) const MAX_TEXT: usize = 64 << 20;

/// What a file holds beside its picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Embedded {
    /// The graph for the API, as JSON.
    pub prompt: Option<String>,
    /// The canvas, as JSON.
    pub workflow: Option<String>,
}

/// The kinds of files that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// PNG, animated ones as well.
    Png,
    /// WebP, by its EXIF.
    Webp,
    /// JPEG, by its EXIF.
    Jpeg,
    /// MP4 and MOV.
    Mp4,
    /// `WebM` and Matroska.
    Matroska,
    /// FLAC.
    Flac,
    /// Opus and Vorbis in Ogg.
    Ogg,
    /// MP3, by its ID3.
    Mp3,
}

impl Container {
    /// The kind of a file by how it begins; none if it is none of these.
    ///
    /// ```
    /// use comfyd_workflow::embedded::Container;
    /// assert_eq!(Container::of(b"\x89PNG\r\n\x1a\n"), Some(Container::Png));
    /// assert_eq!(Container::of(b"{\"nodes\": []}"), None);
    /// ```
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let at = |place: usize, mark: &[u8]| bytes.get(place..).is_some_and(|rest| rest.starts_with(mark));
        Some(match () {
            () if at(0, b"\x89PNG\r\n\x1a\n") => Self::Png,
            () if at(0, b"RIFF") && at(8, b"WEBP") => Self::Webp,
            () if at(0, b"\xff\xd8\xff") => Self::Jpeg,
            () if at(4, b"ftyp") => Self::Mp4,
            () if at(0, b"\x1a\x45\xdf\xa3") => Self::Matroska,
            () if at(0, b"fLaC") => Self::Flac,
            () if at(0, b"OggS") => Self::Ogg,
            () if at(0, b"ID3") => Self::Mp3,
            () => return None,
        })
    }
}

impl Embedded {
    /// Reads what a file holds; none if it is no file of a known kind.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut tags = Tags::default();
        match Container::of(bytes)? {
            Container::Png => png::read(bytes, &mut tags),
            Container::Webp => tiff::read_webp(bytes, &mut tags),
            Container::Jpeg => tiff::read_jpeg(bytes, &mut tags),
            Container::Mp4 => mp4::read(bytes, &mut tags),
            Container::Matroska => ebml::read(bytes, &mut tags),
            Container::Flac => tags::read_flac(bytes, &mut tags),
            Container::Ogg => ogg::read(bytes, &mut tags),
            Container::Mp3 => tags::read_id3(bytes, &mut tags),
        }
        Some(Self { prompt: tags.prompt, workflow: tags.workflow })
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.prompt.is_none() && self.workflow.is_none()
    }
}

#[cfg(test)]
mod tests;
