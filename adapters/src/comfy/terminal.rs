//! The end of a server's terminal log as lines for people.
//!
//! Invariants: the lines hold no control character and no code that a terminal would obey; there are at most [`MOST`] of them, each at most
//! [`LONGEST`] characters long.

use serde::Deserialize;

use super::lenient::from_json;

/// How many lines are kept.
const MOST: usize = 20;
/// How long a line may be; tracebacks mark whole calls with `^`.
const LONGEST: usize = 400;

/// `GET /internal/logs/raw`: what was written, piece by piece, not line by line.
#[derive(Deserialize)]
struct Raw {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    m: String,
}

/// The last lines that say something, the oldest first.
///
/// # Errors
/// If it is no such log.
pub(super) fn last_lines(text: &str) -> Result<Vec<String>, serde_json::Error> {
    let raw: Raw = from_json(text)?;
    let written: String = raw.entries.iter().map(|entry| entry.m.as_str()).collect();
    let told = written.split('\n').rev().map(shown).filter(|line| !line.is_empty());
    let mut lines: Vec<String> = told.take(MOST).collect();
    lines.reverse();
    Ok(lines)
}

/// A line as it stands on a terminal in the end.
fn shown(line: &str) -> String {
    // A bar of progress is written over itself.
    let last = line.split('\r').rev().map(plain).find(|part| !part.is_empty()).unwrap_or_default();
    if last.chars().count() <= LONGEST {
        return last;
    }
    last.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// The text without escape sequences and other control characters.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\t' => out.push_str("    "),
            '\u{1b}' => match rest.clone().next() {
                Some('[') => {
                    rest.next();
                    skip_sequence(&mut rest);
                }
                // A text for the terminal itself, such as its title or a link.
                Some(']' | 'P' | 'X' | '^' | '_') => skip_text(&mut rest),
                // A sequence of two characters, after which a few have one more.
                Some('(' | ')' | '#' | '%') => drop((rest.next(), rest.next())),
                Some(_) => drop(rest.next()),
                None => {}
            },
            '\u{9b}' => skip_sequence(&mut rest),
            '\u{9d}' | '\u{90}' => skip_text(&mut rest),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Goes on behind the letter that ends a control sequence.
fn skip_sequence(rest: &mut std::str::Chars<'_>) {
    // Parameters are ASCII from the blank to the question mark; anything else ends it.
    let _ = rest.find(|c| !(' '..='?').contains(c));
}

/// Goes on behind the bell or the string terminator that ends a text for the terminal.
fn skip_text(rest: &mut std::str::Chars<'_>) {
    while let Some(c) = rest.next() {
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                rest.next();
                return;
            }
            _ => {} // what the terminal is told
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&str]) -> Vec<String> {
        let entries: Vec<_> = pieces.iter().map(|m| serde_json::json!({"t": "2026-11-23T03:16:06.872209", "m": m})).collect();
        let log = serde_json::json!({"entries": entries, "size": {"cols": 80, "rows": 24}});
        last_lines(&log.to_string()).expect("a log")
    }

    #[test]
    fn pieces_become_lines() {
        let pieces = ["got prompt\n", "Traceback:\n  File \"a.py\"\n", "half ", "of a line", "\n\n", "end"];
        assert_eq!(lines(&pieces), ["got prompt", "Traceback:", "  File \"a.py\"", "half of a line", "end"]);
        assert_eq!(lines(&[]), Vec::<String>::new());
        assert_eq!(lines(&["\n \n\t\n"]), Vec::<String>::new());
    }

    #[test]
    fn only_the_last_lines_are_kept_and_none_is_endless() {
        let many: Vec<String> = (0..100).map(|n| format!("line {n}\n")).collect();
        let last = lines(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((last.len(), last[0].as_str(), last[19].as_str()), (20, "line 80", "line 99"));
        let long = lines(&[&"é".repeat(5_000)]);
        assert_eq!(long[0].chars().count(), 400);
        assert!(long[0].ends_with("é…"));
    }

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        for (written, want) in [
            ("\u{1b}[31mred\u{1b}[0m and \u{1b}[1;38;5;9mbold\u{1b}[m", "red and bold"),
            ("\u{1b}]0;title\u{7}a\u{1b}]8;;http://x\u{1b}\\link", "alink"),
            ("\u{9b}2Ja\u{9d}t\u{9c}b", "ab"),
            ("a\u{7}\u{8}\u{0}b\u{7f}\u{85}", "ab"),
            ("\u{1b}(Ba\u{1b}7b\u{1b}", "ab"),
            ("a\u{1b}[", "a"),
            ("\tx", "    x"),
            ("\r 10%|#   |\r 50%|##  |\u{1b}[A\r", " 50%|##  |"),
            ("\u{1b}[3é", ""),
        ] {
            assert_eq!(lines(&[written]), [want].into_iter().filter(|want| !want.is_empty()).collect::<Vec<_>>(), "{written:?}");
        }
    }

    #[test]
    fn what_is_no_log_is_refused() {
        for text in ["", "<html>", "[]", "{}", r#"{"entries": [{"t": "x"}]}"#, r#"{"entries": null}"#] {
            assert!(last_lines(text).is_err(), "{text}");
        }
        assert!(last_lines(r#"{"entries": [{"t": null, "m": "\ud83d half"}]}"#).is_ok(), "Python writes such text");
    }
}
