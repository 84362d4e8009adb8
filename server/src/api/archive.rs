//! Outputs as one file: those of a run here, chosen ones in [`super::chosen`].
//!
//! Invariants: nothing is compressed, kept in memory or put on disk: what is read goes out; an archive that cannot be finished is cut off. Names in it
//! are ours.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::Response;
use comfyd_engine::{OutputView, RunView};
use tokio::sync::OwnedSemaphorePermit;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::disposition::{Saving, disposition};
use super::pipe::{self, Pipe};
use super::reply::Answer;
use super::routes::Ctx;
use super::sealed;
use crate::beneath;
use crate::problem::Problem;

/// From this size on an entry needs the long form.
const LONG: u64 = u32::MAX as u64;

/// Something to put into the archive.
pub(super) struct Item {
    pub(super) name: String,
    pub(super) source: Source,
}

/// What is put there.
pub(super) enum Source {
    File { path: PathBuf, size: u64 },
    Text(String),
}

/// Gives all outputs of a run as a zip archive.
#[utoipa::path(get, path = "/api/v1/runs/{id}/outputs.zip", operation_id = "getOutputsZip", tag = "runs",
    params(("id" = String, Path, description = "A run id or a `workflow_id`.")),
    responses(
        (status = 200, description = "The archive; its files are not compressed.", body = String, content_type = "application/zip"),
        (status = 404, description = "Nothing is stored here.", body = Problem),
        (status = 410, description = "A stored file is gone.", body = Problem),
    ))]
pub(super) async fn archive(State(ctx): State<Ctx>, Path(name): Path<String>) -> Answer {
    let view = ctx.app.view(ctx.app.resolve(&name)?).await?;
    let place = ctx.limits.work()?;
    let folder = crate::outputs::folder(&ctx.app.history.root, view.run_id);
    let items: Vec<Item> = view.outputs.iter().filter_map(|output| item(&folder, output)).collect();
    if items.is_empty() {
        let hint = "Wait until `downloaded` is true for one of them; a run may also have none.";
        return Err(Problem::new(404, "no_outputs", format!("run {} has no output that is stored here", view.run_id), hint));
    }
    answer(items, made(&view), &format!("{}.zip", view.workflow_name), place).await
}

/// The archive as an answer; `label` is what it is saved as.
pub(super) async fn answer(items: Vec<Item>, made: DateTime, label: &str, place: OwnedSemaphorePermit) -> Answer {
    let checked = tokio::task::spawn_blocking(move || check(items)).await;
    let items = checked.map_err(|error| Problem::internal(format!("files could not be looked at: {error}")))??;
    let mut response = Response::new(pipe::body(place, move |pipe| write(&items, made, pipe)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    sealed::put(headers, CONTENT_DISPOSITION, &disposition(label, "application/zip", Saving::Always))?;
    sealed::seal(headers);
    Ok(response)
}

/// What an output is in the archive; nothing if it is not here.
pub(super) fn item(folder: &std::path::Path, output: &OutputView) -> Option<Item> {
    if let (Some(name), Some(size)) = (&output.local_name, output.size) {
        return Some(Item { name: name.clone(), source: Source::File { path: folder.join(name), size } });
    }
    let text = output.text.clone()?;
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '-' };
    let key: String = output.key.chars().take(80).map(plain).collect();
    Some(Item { name: format!("{}-{key}.txt", output.n), source: Source::Text(text) })
}

/// Looks whether the files are there, while that can still be said.
fn check(items: Vec<Item>) -> Result<Vec<Item>, Problem> {
    for Item { name, source } in &items {
        if let Source::File { path, size } = source {
            let length = beneath::regular_file(path).and_then(|file| Ok(file.metadata()?.len()));
            let wrong = match length {
                Ok(length) if length == *size => continue,
                Ok(length) => format!("it has {length} bytes and was stored with {size}"),
                Err(error) => error.to_string(),
            };
            let hint = "The file was moved, changed or deleted; the others can be fetched one by one.";
            return Err(Problem::new(410, "gone", format!("the stored output {name} cannot be read: {wrong}"), hint));
        }
    }
    Ok(items)
}

/// When the run ended, as archives write it.
pub(super) fn made(view: &RunView) -> DateTime {
    let time = view.timing.end_time.unwrap_or(view.timing.last_update).0.to_string();
    let number = |from: usize, to: usize| time.get(from..to).and_then(|digits| digits.parse::<u8>().ok());
    let year = time.get(0..4).and_then(|digits| digits.parse().ok());
    let parts = (year, number(5, 7), number(8, 10), number(11, 13), number(14, 16), number(17, 19));
    let (Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)) = parts else {
        return DateTime::default();
    };
    // A leap second has no place in that form.
    DateTime::from_date_and_time(year, month, day, hour, minute, second.min(59)).unwrap_or_default()
}

fn write(items: &[Item], made: DateTime, pipe: &mut Pipe) -> io::Result<()> {
    let muted = pipe.mute();
    let mut zip = ZipWriter::new_stream(pipe);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).last_modified_time(made);
    let mut all = || -> io::Result<()> {
        for Item { name, source } in items {
            match source {
                Source::File { path, size } => {
                    zip.start_file(name, options.large_file(*size >= LONG))?;
                    copy(path, *size, &mut zip)?;
                }
                Source::Text(text) => {
                    zip.start_file(name, options)?;
                    zip.write_all(text.as_bytes())?;
                }
            }
        }
        Ok(())
    };
    let done = all();
    if done.is_err() {
        // The writer ends an archive even when it is dropped, and this one must not look whole.
        muted.set(true);
        return done;
    }
    zip.finish()?;
    Ok(())
}

fn copy(path: &std::path::Path, size: u64, to: &mut impl Write) -> io::Result<()> {
    let mut file = beneath::regular_file(path)?.take(size);
    let copied = io::copy(&mut file, to)?;
    if copied == size { Ok(()) } else { Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a stored output is cut short")) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;

    use super::*;

    /// Reads an archive of these files piece by piece; how long it is, and how it ended.
    async fn read(items: Vec<Item>) -> (u64, Result<(), axum::Error>) {
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.expect("open");
        let mut body = pipe::body(place, move |pipe| write(&items, DateTime::default(), pipe));
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => {
                    let piece = frame.into_data().expect("data");
                    assert!(piece.len() <= 128 * 1024, "no piece is large");
                    length += piece.len() as u64;
                }
                Err(error) => return (length, Err(error)),
            }
        }
        (length, Ok(()))
    }

    #[tokio::test]
    async fn a_large_file_passes_in_pieces_and_one_that_shrank_cuts_the_archive_off() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("large");
        let size = 16 << 20;
        std::fs::File::create(&path).and_then(|file| file.set_len(size)).expect("made");
        let item = |size| vec![Item { name: "1-large.bin".to_owned(), source: Source::File { path: path.clone(), size } }];
        let (length, ended) = read(item(size)).await;
        assert!(ended.is_ok() && (size..size + 1024).contains(&length), "{length}");
        let (cut, ended) = read(item(size + 1)).await;
        assert!(ended.is_err() && cut < length, "it has no list of files at its end: {cut} of {length}");
    }
}
