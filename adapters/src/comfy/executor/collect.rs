//! Fetching an output: resumed where it was cut, and whole or not there.

use std::io;
use std::time::Duration;

use comfyd_engine::{Outcome, RemoteFile, RunId};

use super::Executor;
use super::by_sftp::BySftp;
use crate::comfy::http::HttpError;
use crate::comfy::ports::PartFile;
use crate::retry::Backoff;

/// How large an output may be (reliability.md 9).
pub(super) const MAX_OUTPUT: u64 = 16 * 1024 * 1024 * 1024;
/// How many tries without a new byte are made.
const TRIES: u32 = 5;
/// How many tries are made in all: a server that sends a byte at a time must end too.
const MAX_TRIES: u32 = 1_000;
/// How long a file that grows is left alone before it is asked again.
const GROWING: Duration = Duration::from_millis(100);
/// The longest wait between two tries.
const CAP: Duration = Duration::from_secs(10);

/// A try that did not bring the whole file.
pub(super) enum Fault {
    /// There is no such file, and there will be none.
    Gone(String),
    /// This machine cannot keep it now.
    Here(io::Error),
    /// The server or the way to it failed.
    There(String),
}

/// How sure it is that all bytes are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// All that were promised came; the promise can be wrong, and the file can still grow.
    Promised,
    /// The server has nothing behind them.
    Confirmed,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Here(error)
    }
}

impl From<HttpError> for Fault {
    fn from(error: HttpError) -> Self {
        Self::There(error.to_string())
    }
}

impl Executor {
    pub(super) async fn collect(&self, run: RunId, n: u32, file: &RemoteFile) -> Outcome {
        let here = |error: &io::Error| Outcome::OutputDelayed { n, why: format!("store the output: {error}") };
        let mut part = match self.deps.outputs.open(run, n, &file.filename).await {
            Ok(part) => part,
            Err(error) => return here(&error),
        };
        let mut backoff = Backoff::new(Duration::from_millis(500), CAP);
        let mut best = part.offset();
        let mut promised = None;
        let mut by_sftp = BySftp::default();
        let mut why = String::from("the file did not come to an end");
        for _ in 0..MAX_TRIES {
            match self.fetch(part.as_mut(), file, &mut by_sftp).await {
                // Only a file with a version can be asked for what comes behind.
                Ok(Whole::Promised) if part.offset() > 0 && part.etag().is_some() => {
                    if promised.replace(part.offset()).is_some() {
                        tokio::time::sleep(GROWING).await;
                    }
                    continue;
                }
                Ok(Whole::Promised | Whole::Confirmed) => match part.finish().await {
                    Ok(file) => return Outcome::Collected { n, file },
                    Err(error) => return here(&error),
                },
                Err(Fault::Gone(why)) => {
                    // What was fetched of it is the beginning of nothing.
                    if let Err(error) = part.restart(None).await {
                        tracing::warn!(n, %error, "the part of an output that is gone could not be removed");
                    }
                    return Outcome::OutputGone { n, why };
                }
                Err(Fault::Here(error)) => return here(&error),
                Err(Fault::There(reason)) => why = reason,
            }
            tracing::debug!(n, %why, offset = part.offset(), "an output was cut");
            if part.offset() > best {
                best = part.offset();
                backoff.reset();
            }
            if backoff.failures() + 1 >= TRIES {
                break;
            }
            tokio::time::sleep(backoff.next(self.deps.rng.as_ref())).await;
        }
        Outcome::OutputDelayed { n, why }
    }

    /// One try, from where the last one ended.
    async fn fetch(&self, part: &mut dyn PartFile, file: &RemoteFile, by_sftp: &mut BySftp) -> Result<Whole, Fault> {
        if let Some(whole) = self.fetch_by_sftp(part, file, by_sftp).await? {
            return Ok(whole);
        }
        let etag = part.etag();
        if part.offset() > 0 && etag.is_none() {
            // Without a version nothing tells whether the rest belongs to the beginning.
            part.restart(None).await?;
        }
        let mut download = self.bulk.view(file, part.offset(), etag.as_deref()).await?;
        // aiohttp does not understand an ETag in If-Range and sends the part of whatever is there.
        let changed = download.etag.is_some() && download.etag != etag;
        match download.status {
            206 if !changed && download.offset == part.offset() => {}
            416 if !changed && download.total == Some(part.offset()) => return Ok(Whole::Confirmed),
            // It takes no ranges and would send the same bytes again.
            200 if etag.is_some() && !changed && download.total == Some(part.offset()) => return Ok(Whole::Confirmed),
            200 => part.restart(download.etag.clone()).await?,
            206 | 416 => {
                part.restart(None).await?;
                return Err(Fault::There("the file changed while it was fetched".to_owned()));
            }
            status @ (404 | 410) => {
                let name = &file.filename;
                return Err(Fault::Gone(format!("the server has no file {name} any more (status {status})")));
            }
            // A proxy on the way, or a login that ended, says no for a while.
            status => return Err(Fault::There(format!("GET /view: the server answered with status {status}"))),
        }
        let too_large = || Fault::Gone(format!("the file is larger than the limit of {MAX_OUTPUT} bytes"));
        if download.total.is_some_and(|total| total > MAX_OUTPUT) {
            return Err(too_large());
        }
        while let Some(bytes) = download.chunk().await? {
            if part.offset().saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX)) > MAX_OUTPUT {
                return Err(too_large());
            }
            part.write(bytes).await?;
        }
        match download.total {
            Some(total) if total != part.offset() => Err(Fault::There(format!("{} of {total} bytes came", part.offset()))),
            Some(_) | None => Ok(Whole::Promised),
        }
    }
}
