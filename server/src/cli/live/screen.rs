//! Draws pictures in place on a terminal.
//!
//! Invariants: the cursor is shown again whatever ends the drawing; a picture never has more rows than the terminal, so that the way back up
//! is known.

use super::Size;
use crate::cli::error::CliError;
use crate::cli::out::Out;
use crate::cli::text::columns;

/// A size for terminals that do not tell theirs.
const USUAL: Size = Size { width: 80, height: 24 };

/// The part of the terminal that is drawn on.
#[derive(Debug)]
pub(super) struct Screen {
    out: Out,
    /// The widths of the lines drawn last; they may have been wrapped since.
    drawn: Vec<usize>,
}

impl Screen {
    /// Begins to draw below what is there.
    pub(super) fn new(out: Out) -> Self {
        Self { out, drawn: vec![] }
    }

    /// The terminal's size now. The last column stays free: some terminals wrap in it.
    pub(super) fn size() -> Size {
        match rustix::termios::tcgetwinsize(std::io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Size { width: usize::from(size.ws_col).saturating_sub(1).max(1), height: usize::from(size.ws_row) }
            }
            Ok(_) | Err(_) => USUAL,
        }
    }

    /// Replaces the picture.
    pub(super) fn draw(&mut self, lines: &[String]) -> Result<(), CliError> {
        let mut text = String::from("\x1b[?25l");
        text.push_str(&self.way_back());
        for line in lines {
            text.push_str(line);
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J");
        self.drawn = lines.iter().map(|line| columns(&without_escapes(line))).collect();
        self.out.raw(&text)
    }

    fn way_back(&self) -> String {
        let width = Self::size().width + 1;
        let rows: usize = self.drawn.iter().map(|columns| columns.div_ceil(width).max(1)).sum();
        if rows == 0 { "\r".to_owned() } else { format!("\r\x1b[{rows}A") }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no cursor.
        let _ = self.out.raw("\x1b[?25h");
    }
}

fn without_escapes(line: &str) -> String {
    let mut out = String::new();
    let mut escaped = false;
    for c in line.chars() {
        match c {
            '\x1b' => escaped = true,
            'm' if escaped => escaped = false,
            _ if escaped => {} // the rest of a style
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_take_no_room() {
        assert_eq!(without_escapes("\x1b[31m✗ a\x1b[0mb"), "✗ ab");
    }
}
