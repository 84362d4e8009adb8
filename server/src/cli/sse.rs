//! Server-sent events, as the HTML standard frames them.
//!
//! Invariants: an event is given only when its empty line has come; a line longer than the limit ends the stream. Reading may be
//! cancelled between any two chunks without loss.

use http_body_util::BodyExt;
use hyper::body::Incoming;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its name; `message` if none was given.
    pub(crate) name: String,
    /// Its data lines.
    pub(crate) data: String,
    /// Its id, to go on from.
    pub(crate) id: Option<String>,
}

/// The most bytes of one event: as large as the largest answer.
const MAX_EVENT: usize = 64 << 20;

/// Why a stream ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SseError {
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    /// The server sends without end.
    #[error("an event is longer than {MAX_EVENT} bytes")]
    TooLong,
}

/// Cuts bytes into events.
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    event: Event,
    size: usize,
    after_cr: bool,
}

impl Parser {
    fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), SseError> {
        for byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, *byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => self.end_line(events),
                other => {
                    self.line.push(*other);
                    self.size += 1;
                }
            }
        }
        if self.size > MAX_EVENT { Err(SseError::TooLong) } else { Ok(()) }
    }

    fn end_line(&mut self, events: &mut Vec<Event>) {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        if line.is_empty() {
            self.size = 0;
            let mut event = std::mem::take(&mut self.event);
            // The standard drops events without data; ours name what happened, so a bare name counts.
            if !event.data.is_empty() || !event.name.is_empty() {
                event.data.pop();
                if event.name.is_empty() {
                    event.name.push_str("message");
                }
                events.push(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                self.event.data.push_str(value);
                self.event.data.push('\n');
            }
            "id" => self.event.id = Some(value.to_owned()),
            _ => {} // comments, and `retry`: the command line has pauses of its own
        }
    }
}

/// The events of an answer.
#[derive(Debug)]
pub(crate) struct SseReader {
    body: Incoming,
    parser: Parser,
    ready: std::collections::VecDeque<Event>,
}

impl SseReader {
    /// Reads from this body.
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, parser: Parser::default(), ready: std::collections::VecDeque::new() }
    }

    /// The next event; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, SseError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Ok(data) = frame?.into_data() {
                let mut events = Vec::new();
                self.parser.push(&data, &mut events)?;
                self.ready.extend(events);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&str]) -> Vec<(String, String)> {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        for chunk in chunks {
            parser.push(chunk.as_bytes(), &mut events).expect("short");
        }
        events.into_iter().map(|event| (event.name, event.data)).collect()
    }

    #[test]
    fn framing() {
        let event = |name: &str, data: &str| (name.to_owned(), data.to_owned());
        let whole = "id: 4\nevent: state\ndata: {\"a\":\ndata: 1}\n\n: beat\n\ndata:x\n\nevent: end\ndata: \n\n";
        let want = vec![event("state", "{\"a\":\n1}"), event("message", "x"), event("end", "")];
        assert_eq!(events(&[whole]), want);
        assert_eq!(events(&[&whole.replace('\n', "\r\n")]), want);
        let bytes: Vec<String> = whole.chars().map(String::from).collect();
        assert_eq!(events(&bytes.iter().map(String::as_str).collect::<Vec<_>>()), want);
        assert_eq!(events(&["event: state\ndata: cut"]), vec![]);
    }

    #[test]
    fn endless_events_end_the_stream() {
        let mut parser = Parser { size: MAX_EVENT, ..Parser::default() };
        assert!(matches!(parser.push(b"xx", &mut Vec::new()), Err(SseError::TooLong)));
    }
}
