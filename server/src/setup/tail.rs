//! The end of what a command says.

/// How much is kept.
const BYTES: usize = 4096;
const LINES: usize = 20;

/// The last lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&bytes[bytes.len().saturating_sub(BYTES)..]);
        self.0.drain(..self.0.len().saturating_sub(BYTES));
    }

    /// The last lines as people would see them: a line that was written over counts as it was left.
    pub(super) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let shown = |line: &str| -> String {
            let left = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
            left.chars().filter(|c| !c.is_control() || *c == '\t').collect()
        };
        let lines: Vec<String> = text.lines().map(shown).filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    pub(super) fn last_line(&self) -> Option<String> {
        self.text().lines().next_back().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_the_rest_is_not() {
        let mut tail = Tail::default();
        (0..100_000).for_each(|n| tail.add(format!("line {n}\n").as_bytes()));
        assert!(tail.0.len() <= BYTES);
        assert_eq!((tail.text().lines().count(), tail.last_line().as_deref()), (LINES, Some("line 99999")));
        tail.add(b"1%\r50%\r100%\r\n\n\x1b[0m");
        assert_eq!(tail.last_line().as_deref(), Some("[0m"));
        assert!(tail.text().contains("\n100%\n"), "{}", tail.text());
        tail.add(&[0xff; 10_000]);
        assert!(tail.text().len() <= 3 * BYTES);
    }
}
