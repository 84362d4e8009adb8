//! Pictures made small, and kept in the run's `thumbs` folder.
//!
//! Invariants: a picture is bounded in pixels, bytes and time before it is decoded; a kept file is whole; the folder can be deleted at any time.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{PixelType, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbaImage};

use crate::beneath;

/// The sizes that are made: few, so that the folder stays small.
pub(crate) const SIZES: [u32; 5] = [64, 128, 256, 512, 1024];
/// The most pixels of a picture.
const MAX_PIXELS: u64 = 100_000_000;
/// The most memory for a decoded picture, and the longest file.
const MAX_BYTES: u64 = 256 << 20;
const QUALITY: u8 = 82;
/// The endings of kept files, with their media types.
const KINDS: [(&str, &str); 2] = [("jpg", JPEG), ("webp", WEBP)];
const JPEG: &str = "image/jpeg";
const WEBP: &str = "image/webp";

/// Why there is no small picture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ThumbError {
    /// The file cannot be read.
    #[error("the stored picture cannot be read: {0}")]
    Gone(#[source] io::Error),
    /// It is beyond a limit.
    #[error("the picture is too large: {0}")]
    TooLarge(String),
    /// It is not what it seems.
    #[error("the picture is damaged: {0}")]
    Damaged(String),
    /// It takes longer than anybody waits.
    #[error("the picture takes too long to read")]
    TooSlow,
}

/// A small picture.
pub(crate) struct Thumb {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: &'static str,
}

/// A small picture to be made.
pub(crate) struct Job {
    /// The stored output.
    pub(crate) picture: PathBuf,
    /// What its first bytes say that it is.
    pub(crate) media_type: String,
    /// Where small pictures of its run are kept.
    pub(crate) folder: PathBuf,
    /// The number of the output.
    pub(crate) n: u32,
    /// The longer side.
    pub(crate) size: u32,
}

fn format_of(media_type: Option<&str>) -> Option<ImageFormat> {
    match media_type? {
        "image/png" => Some(ImageFormat::Png),
        "image/jpeg" => Some(ImageFormat::Jpeg),
        "image/webp" => Some(ImageFormat::WebP),
        "image/gif" => Some(ImageFormat::Gif),
        _ => None, // No decoder is built in.
    }
}

/// Whether it can be made small.
pub(crate) fn is_picture(media_type: Option<&str>) -> bool {
    format_of(media_type).is_some()
}

impl Job {
    /// The one that was made before.
    pub(crate) fn kept(&self) -> Option<Thumb> {
        KINDS.into_iter().find_map(|(ending, media_type)| {
            let mut bytes = Vec::new();
            beneath::regular_file(&self.place(ending)).ok()?.read_to_end(&mut bytes).ok()?;
            Some(Thumb { bytes, media_type })
        })
    }

    fn place(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}-{}.{ending}", self.n, self.size))
    }

    /// Makes it, and keeps it.
    pub(crate) fn make(&self, until: Instant) -> Result<Thumb, ThumbError> {
        let file = beneath::regular_file(&self.picture).map_err(ThumbError::Gone)?;
        let length = file.metadata().map_err(ThumbError::Gone)?.len();
        if length > MAX_BYTES {
            return Err(ThumbError::TooLarge(format!("its file has {} MiB, the limit is {} MiB", length >> 20, MAX_BYTES >> 20)));
        }
        let format = format_of(Some(&self.media_type)).ok_or_else(|| ThumbError::Damaged("it is no picture".to_owned()))?;
        let (picture, orientation) = decode(BufReader::new(Timed { file, until }), format)?;
        if Instant::now() > until {
            return Err(ThumbError::TooSlow);
        }
        let mut small = shrink(picture, self.size)?;
        small.apply_orientation(orientation);
        let thumb = encode(&small)?;
        if let Err(error) = self.keep(&thumb) {
            // It is made again the next time.
            tracing::debug!(%error, folder = %self.folder.display(), "a thumbnail was not kept");
        }
        Ok(thumb)
    }

    fn keep(&self, thumb: &Thumb) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // Only this folder: that of a run which is being deleted must not come back.
        match fs::DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let ending = KINDS.into_iter().find(|(_, media_type)| *media_type == thumb.media_type).map_or("", |(ending, _)| ending);
        let place = self.place(ending);
        let part = place.with_extension(format!("{}.part", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(&thumb.bytes)?;
        // Without this a loss of power could leave an empty file under the name.
        file.sync_all()?;
        fs::rename(&part, &place)
    }
}

/// A file that can be read until some time.
struct Timed {
    file: File,
    until: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() > self.until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.file.read(buffer)
    }
}

impl Seek for Timed {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn decode(file: impl BufRead + Seek, format: ImageFormat) -> Result<(DynamicImage, Orientation), ThumbError> {
    let mut reader = ImageReader::with_format(file, format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS || decoder.total_bytes() > MAX_BYTES {
        let limit = format!("the limit is {} million pixels and {} MiB", MAX_PIXELS / 1_000_000, MAX_BYTES >> 20);
        return Err(ThumbError::TooLarge(format!("it is {width} x {height}; {limit}")));
    }
    // How a camera was held is not worth an error.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((DynamicImage::from_decoder(decoder).map_err(unreadable)?, orientation))
}

fn unreadable(error: ImageError) -> ThumbError {
    match error {
        ImageError::Limits(error) => ThumbError::TooLarge(error.to_string()),
        ImageError::IoError(error) if error.kind() == io::ErrorKind::TimedOut => ThumbError::TooSlow,
        other @ (ImageError::IoError(_)
        | ImageError::Decoding(_)
        | ImageError::Encoding(_)
        | ImageError::Parameter(_)
        | ImageError::Unsupported(_)) => ThumbError::Damaged(other.to_string()),
    }
}

/// The picture so that its longer side is at most `size`, with eight bits a channel. A smaller one stays as it is.
fn shrink(picture: DynamicImage, size: u32) -> Result<DynamicImage, ThumbError> {
    let picture = match picture {
        DynamicImage::ImageRgb32F(_) => DynamicImage::ImageRgb8(picture.to_rgb8()),
        DynamicImage::ImageRgba32F(_) => DynamicImage::ImageRgba8(picture.to_rgba8()),
        other => other, // Whole numbers are shrunk as they are.
    };
    let (width, height) = (picture.width(), picture.height());
    let longer = width.max(height);
    if longer <= size {
        return Ok(DynamicImage::ImageRgba8(picture.to_rgba8()));
    }
    let scaled = |side: u32| {
        let scaled = (u64::from(side) * u64::from(size) + u64::from(longer) / 2) / u64::from(longer);
        u32::try_from(scaled).unwrap_or(size).max(1)
    };
    let pixels = match picture.color() {
        image::ColorType::L8 => PixelType::U8,
        image::ColorType::La8 => PixelType::U8x2,
        image::ColorType::Rgb8 => PixelType::U8x3,
        image::ColorType::Rgba8 => PixelType::U8x4,
        image::ColorType::L16 => PixelType::U16,
        image::ColorType::La16 => PixelType::U16x2,
        image::ColorType::Rgb16 => PixelType::U16x3,
        image::ColorType::Rgba16 => PixelType::U16x4,
        other => return Err(ThumbError::Damaged(format!("its colours are of an unknown kind: {other:?}"))),
    };
    let failed = |error: &dyn std::fmt::Display| ThumbError::Damaged(error.to_string());
    let source = ImageRef::new(width, height, picture.as_bytes(), pixels).map_err(|error| failed(&error))?;
    let mut small = Image::new(scaled(width), scaled(height), pixels);
    Resizer::new().resize(&source, &mut small, None).map_err(|error| failed(&error))?;
    rgba(&small).ok_or_else(|| ThumbError::Damaged("its size does not fit its bytes".to_owned()))
}

/// As red, green, blue and opacity, whatever the channels are.
fn rgba(small: &Image<'_>) -> Option<DynamicImage> {
    let bytes = match small.pixel_type() {
        // The upper half of each number.
        PixelType::U16 | PixelType::U16x2 | PixelType::U16x3 | PixelType::U16x4 => {
            small.buffer().chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]]).to_be_bytes()[0]).collect()
        }
        _ => small.buffer().to_vec(), // Eight bits already: no other kinds are made.
    };
    let channels = bytes.len().checked_div(usize::try_from(small.width() * small.height()).ok()?)?;
    let wide = bytes.chunks_exact(channels.max(1)).flat_map(|pixel| match *pixel {
        [grey] => [grey, grey, grey, u8::MAX],
        [grey, opacity] => [grey, grey, grey, opacity],
        [red, green, blue] => [red, green, blue, u8::MAX],
        [red, green, blue, opacity] => [red, green, blue, opacity],
        _ => [0; 4], // There are one to four channels.
    });
    RgbaImage::from_raw(small.width(), small.height(), wide.collect()).map(DynamicImage::ImageRgba8)
}

/// JPEG; WebP where something shows through.
fn encode(small: &DynamicImage) -> Result<Thumb, ThumbError> {
    let mut bytes = Vec::new();
    let pixels = small.to_rgba8();
    let opaque = pixels.pixels().all(|pixel| pixel.0[3] == u8::MAX);
    let (written, media_type) = if opaque {
        (JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(&small.to_rgb8()), JPEG)
    } else {
        let encoder = WebPEncoder::new_lossless(&mut bytes);
        (encoder.encode(&pixels, pixels.width(), pixels.height(), ExtendedColorType::Rgba8), WEBP)
    };
    written.map_err(unreadable)?;
    Ok(Thumb { bytes, media_type })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use image::{GrayAlphaImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    fn job(dir: &std::path::Path, name: &str, media_type: &str) -> Job {
        Job { picture: dir.join(name), media_type: media_type.to_owned(), folder: dir.join("thumbs"), n: 7, size: 64 }
    }

    #[test]
    fn every_kind_of_picture_is_shrunk_with_its_colours() {
        let dir = tempfile::tempdir().expect("a folder");
        let orange = [250u8, 128, 6];
        let wide = orange.map(|part| u16::from(part) * 257);
        let half = [250u8, 128, 6, 128];
        let rows: [(&str, ImageFormat, DynamicImage, [u8; 4]); 8] = [
            (
                "image/png",
                ImageFormat::Png,
                DynamicImage::ImageRgb8(RgbImage::from_pixel(200, 100, Rgb(orange))),
                [250, 128, 6, 255],
            ),
            (
                "image/jpeg",
                ImageFormat::Jpeg,
                DynamicImage::ImageRgb8(RgbImage::from_pixel(200, 100, Rgb(orange))),
                [250, 128, 6, 255],
            ),
            (
                "image/gif",
                ImageFormat::Gif,
                DynamicImage::ImageRgba8(RgbaImage::from_pixel(200, 100, Rgba([250, 128, 6, 255]))),
                [250, 128, 6, 255],
            ),
            ("image/webp", ImageFormat::WebP, DynamicImage::ImageRgba8(RgbaImage::from_pixel(200, 100, Rgba(half))), half),
            (
                "image/png",
                ImageFormat::Png,
                DynamicImage::ImageRgb16(ImageBuffer::from_pixel(200, 100, Rgb(wide))),
                [250, 128, 6, 255],
            ),
            (
                "image/png",
                ImageFormat::Png,
                DynamicImage::ImageLuma8(GrayImage::from_pixel(200, 100, Luma([77]))),
                [77, 77, 77, 255],
            ),
            (
                "image/png",
                ImageFormat::Png,
                DynamicImage::ImageLuma16(ImageBuffer::from_pixel(200, 100, Luma([77 * 257]))),
                [77, 77, 77, 255],
            ),
            (
                "image/png",
                ImageFormat::Png,
                DynamicImage::ImageLumaA8(GrayAlphaImage::from_pixel(200, 100, image::LumaA([77, 128]))),
                [77, 77, 77, 128],
            ),
        ];
        for (media_type, format, picture, colour) in rows {
            let job = job(dir.path(), "picture", media_type);
            picture.save_with_format(&job.picture, format).expect("saved");
            let thumb = job.make(soon()).unwrap_or_else(|error| panic!("{media_type}: {error}"));
            assert_eq!(thumb.media_type, if colour[3] == 255 { JPEG } else { WEBP }, "{media_type}");
            let small = image::load_from_memory(&thumb.bytes).expect("a picture").to_rgba8();
            assert_eq!((small.width(), small.height()), (64, 32));
            for (got, want) in small.get_pixel(30, 15).0.into_iter().zip(colour) {
                assert!(got.abs_diff(want) <= 4, "{media_type}: {:?} is not {colour:?}", small.get_pixel(30, 15));
            }
            assert_eq!(job.kept().map(|kept| kept.media_type), Some(thumb.media_type));
            fs::remove_dir_all(&job.folder).expect("it was kept");
        }
    }

    #[test]
    fn a_small_picture_stays_and_a_thin_one_keeps_a_pixel() {
        let dir = tempfile::tempdir().expect("a folder");
        for (from, to) in [((30, 20), (30, 20)), ((2000, 1), (64, 1)), ((64, 64), (64, 64))] {
            let job = job(dir.path(), "picture", "image/png");
            RgbImage::from_pixel(from.0, from.1, Rgb([1, 2, 3])).save_with_format(&job.picture, ImageFormat::Png).expect("saved");
            let small = image::load_from_memory(&job.make(soon()).expect("made").bytes).expect("a picture");
            assert_eq!((small.width(), small.height()), to);
        }
    }

    #[test]
    fn who_takes_too_long_is_stopped_and_a_deleted_run_stays_deleted() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut job = job(dir.path(), "picture", "image/png");
        RgbImage::from_pixel(200, 100, Rgb([1, 2, 3])).save_with_format(&job.picture, ImageFormat::Png).expect("saved");
        assert!(matches!(job.make(Instant::now()), Err(ThumbError::TooSlow)));
        job.folder = dir.path().join("gone/thumbs");
        job.make(soon()).expect("it is made all the same");
        assert!(!dir.path().join("gone").exists());
    }
}
