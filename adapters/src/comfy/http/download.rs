//! A file of the server, piece by piece.

use bytes::Bytes;
use comfyd_engine::RemoteFile;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{HeaderMap, header};

use super::connection::Connection;
use super::requests::percent;
use super::{Client, GET_LIMIT, HttpError, timeout};

/// What is asked for.
const WHAT: &str = "GET /view";

/// An answer of `/view` whose body is still to be read; dropping it closes the connection.
#[derive(Debug)]
pub struct Download {
    /// The HTTP status: 200 for the whole file, 206 for a part.
    pub status: u16,
    /// Where the first byte of the body belongs.
    pub offset: u64,
    /// How long the whole file is, where the server tells.
    pub total: Option<u64>,
    /// The version of the file.
    pub etag: Option<String>,
    body: Incoming,
    connection: Option<Connection>,
    client: Client,
}

/// What a server tells of a file without sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// How long it is.
    pub length: u64,
    /// When it was changed, as HTTP writes it.
    pub modified: Option<String>,
}

impl Client {
    /// Asks for a file, from `offset` on if it is still the version of this `ETag`.
    ///
    /// # Errors
    /// If there is no answer. Any status is an answer.
    pub async fn view(&self, file: &RemoteFile, offset: u64, etag: Option<&str>) -> Result<Download, HttpError> {
        let mut headers = Vec::new();
        if let (1.., Some(etag)) = (offset, etag) {
            headers.push((header::RANGE, format!("bytes={offset}-")));
            headers.push((header::IF_RANGE, etag.to_owned()));
        }
        Ok(self.ask_for(file, offset, &headers).await?.0)
    }

    /// Asks how long a file is and when it was changed; none if the server does not tell, or has no such file.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn measure(&self, file: &RemoteFile) -> Result<Option<Measure>, HttpError> {
        let first = [(header::RANGE, "bytes=0-0".to_owned())];
        let (mut answer, modified) = self.ask_for(file, 0, &first).await?;
        let (200 | 206, Some(length)) = (answer.status, answer.total) else { return Ok(None) };
        // Read to its end, so that the connection can be used again; one that sends more than the byte is let go.
        if answer.status == 206 && answer.chunk().await?.is_some_and(|piece| piece.len() == 1) {
            answer.chunk().await?;
        }
        Ok(Some(Measure { length, modified }))
    }

    async fn ask_for(
        &self,
        file: &RemoteFile,
        offset: u64,
        headers: &[(header::HeaderName, String)],
    ) -> Result<(Download, Option<String>), HttpError> {
        let path = format!(
            "/view?filename={}&subfolder={}&type={}",
            percent(&file.filename),
            percent(&file.subfolder),
            percent(&file.folder)
        );
        let opened = tokio::time::timeout(GET_LIMIT, self.open(WHAT, &path, headers));
        let (response, connection) = opened.await.unwrap_or_else(|_| Err(timeout(WHAT, GET_LIMIT)))?;
        let status = response.status().as_u16();
        let text = |name| text(response.headers(), name);
        let range = text(header::CONTENT_RANGE).and_then(|range| content_range(&range));
        let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        let (offset, total) = match (status, range) {
            (206 | 416, Some((start, total))) => (start.unwrap_or(0), total),
            (206, None) => (offset, length.and_then(|length| length.checked_add(offset))),
            // The whole file, or no file at all.
            _ => (0, length),
        };
        let etag = text(header::ETAG);
        let modified = text(header::LAST_MODIFIED);
        let (body, client) = (response.into_body(), self.clone());
        Ok((Download { status, offset, total, etag, body, connection: Some(connection), client }, modified))
    }
}

impl Download {
    /// The next piece; none at the end, which is only told when all promised bytes came.
    ///
    /// # Errors
    /// If the connection ends early, or nothing comes for as long as the tuning says.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            let patience = self.client.tuning().get().download_silence;
            let frame = tokio::time::timeout(patience, self.body.frame()).await.map_err(|_| timeout(WHAT, patience))?;
            match frame {
                Some(Ok(frame)) => {
                    // Trailers are no part of the file.
                    let Ok(data) = frame.into_data() else { continue };
                    return Ok(Some(data));
                }
                Some(Err(error)) => return Err(HttpError::broken(WHAT, &error)),
                None => {
                    if let Some(connection) = self.connection.take() {
                        self.client.keep(connection);
                    }
                    return Ok(None);
                }
            }
        }
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// `bytes 5-9/10`, `bytes 5-9/*` or `bytes */10`: where it begins, and the whole length.
fn content_range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-').and_then(|(start, _)| start.parse().ok());
    Some((start, total.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::content_range;

    #[test]
    fn content_ranges() {
        assert_eq!(content_range("bytes 5-9/10"), Some((Some(5), Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((Some(5), None)));
        assert_eq!(content_range("bytes */10"), Some((None, Some(10))));
        assert_eq!(content_range("pages 1-2/3"), None);
        assert_eq!(content_range("bytes 5"), None);
    }
}
