//! The least HTTP/1.1 client that can measure a server: one kept connection, no allocation beyond the answer.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A kept connection.
pub(crate) struct Connection {
    stream: TcpStream,
    read: BytesMut,
    host: String,
}

/// An answer that was read to its end.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// How much of the body is still to come.
enum Rest {
    Length(usize),
    Chunked,
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

impl Connection {
    pub(crate) async fn open(host: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: BytesMut::with_capacity(16 << 10), host: host.to_owned() })
    }

    /// Asks and reads the whole answer.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> io::Result<Reply> {
        self.send(method, path, headers, body).await?;
        let (status, rest) = self.head().await?;
        Ok(Reply { status, body: self.rest(rest).await? })
    }

    async fn rest(&mut self, rest: Rest) -> io::Result<Bytes> {
        match rest {
            Rest::Length(length) => {
                self.fill(length).await?;
                Ok(self.read.split_to(length).freeze())
            }
            Rest::Chunked => {
                let mut whole = BytesMut::new();
                while let Some(chunk) = self.chunk().await? {
                    whole.extend_from_slice(&chunk);
                }
                Ok(whole.freeze())
            }
        }
    }

    /// Asks for a stream of events, whose parts [`Self::chunk`] gives; some status if it is refused.
    pub(crate) async fn stream(&mut self, path: &str, headers: &str) -> io::Result<Option<u16>> {
        self.send("GET", path, headers, "").await?;
        match self.head().await? {
            (200, Rest::Chunked) => Ok(None),
            (status, rest) => {
                self.rest(rest).await?;
                Ok(Some(status))
            }
        }
    }

    /// The next part of a chunked body; none at its end.
    pub(crate) async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        let line = self.until(b"\r\n").await?;
        let size = std::str::from_utf8(&self.read[..line]).ok().and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let size = size.ok_or_else(|| broken("a chunk without a size"))?;
        self.read.advance(line + 2);
        self.fill(size + 2).await?;
        let chunk = self.read.split_to(size).freeze();
        self.read.advance(2);
        Ok((size > 0).then_some(chunk))
    }

    async fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) -> io::Result<()> {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}",
            self.host
        );
        self.stream.write_all(request.as_bytes()).await
    }

    async fn head(&mut self) -> io::Result<(u16, Rest)> {
        let end = self.until(b"\r\n\r\n").await?;
        let head = std::str::from_utf8(&self.read[..end]).map_err(|_| broken("a head that is no text"))?;
        let status = head.get(9..12).and_then(|text| text.parse().ok()).ok_or_else(|| broken("a head without a status"))?;
        let mut rest = Rest::Length(0);
        for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                rest = Rest::Length(value.trim().parse().map_err(|_| broken("a length that is no number"))?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                rest = Rest::Chunked;
            }
        }
        self.read.advance(end + 4);
        Ok((status, rest))
    }

    /// Where the mark is, reading until it is there.
    async fn until(&mut self, mark: &[u8]) -> io::Result<usize> {
        let mut from = 0;
        loop {
            if let Some(at) = self.read[from..].windows(mark.len()).position(|window| window == mark) {
                return Ok(from + at);
            }
            from = self.read.len().saturating_sub(mark.len());
            self.more().await?;
        }
    }

    async fn fill(&mut self, length: usize) -> io::Result<()> {
        while self.read.len() < length {
            self.more().await?;
        }
        Ok(())
    }

    async fn more(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}
