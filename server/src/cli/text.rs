//! Text that goes to a terminal.
//!
//! Invariants: cleaned text holds no control character and nothing that turns the writing direction, so a file name cannot move the cursor or
//! show itself as another one; widths are columns, not bytes.

use std::borrow::Cow;
use std::fmt::Write;

/// Text from outside on one line, without control and direction characters.
pub(crate) fn clean(text: &str) -> String {
    text.chars().filter_map(|c| if c == '\n' || c == '\t' { Some(' ') } else { Some(c).filter(|c| !is_dangerous(*c)) }).collect()
}

/// Text from outside on several lines, cleaned line by line.
pub(crate) fn clean_lines(text: &str) -> Vec<String> {
    text.lines().map(clean).collect()
}

fn is_dangerous(c: char) -> bool {
    let turns = matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let hides = matches!(c, '\u{2028}' | '\u{2029}' | '\u{200b}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
    c.is_control() || turns || hides
}

/// JSON whose strings show what a terminal would obey: JSON itself escapes only the first 32 characters.
pub(crate) fn escaped(json: &str) -> Cow<'_, str> {
    let hides = |c: char| is_dangerous(c) && (!c.is_ascii_control() || c == '\u{7f}');
    if !json.contains(hides) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if hides(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(shown, "\\u{unit:04x}").expect("a String takes everything");
            }
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// The columns that a character takes.
fn columns_of(c: char) -> usize {
    match c {
        '\u{0300}'..='\u{036f}' | '\u{200c}' | '\u{200d}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{231a}'..='\u{231b}'
        | '\u{23e9}'..='\u{23ec}'
        | '\u{26a1}'
        | '\u{2705}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1, // everything else stands in one cell
    }
}

/// The columns that a text takes.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// The text cut to at most `width` columns, with `…` where something is missing.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let mut out = String::new();
    for c in text.chars() {
        let Some(rest) = left.checked_sub(columns_of(c)) else { break };
        left = rest;
        out.push(c);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// A file size for people.
pub(crate) fn size(bytes: u64) -> String {
    const STEPS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match STEPS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// A span for people: `0:42`, `12:03`, `1:02:03`.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_dangerous_gets_through() {
        assert_eq!(clean("a\x1b[31mb\r\n\tc\u{202e}gpj\u{2066}\u{7f}\u{9b}31m"), "a[31mb  cgpj31m");
        assert_eq!(clean("naïve 图像 🎨"), "naïve 图像 🎨");
        assert_eq!(clean_lines("a\x07\nb"), ["a", "b"]);
    }

    #[test]
    fn json_stays_the_same_to_programs() {
        let json = "{\"a\":\"\u{9b}\u{202e}\u{7f}\u{e0041}\u{20ac}\"}";
        let shown = escaped(json);
        assert_eq!(shown, "{\"a\":\"\\u009b\\u202e\\u007f\\udb40\\udc41\u{20ac}\"}");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(value(&shown), value(json));
        assert_eq!(escaped("{}\u{1b}[0m"), "{}\u{1b}[0m");
    }

    #[test]
    fn fitting() {
        for (text, width, want) in
            [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("图像处理", 5, "图像…"), ("图像", 2, "…"), ("abc", 0, ""), ("", 0, "")]
        {
            let got = fit(text, width);
            assert_eq!(got, want, "{text} in {width}");
            assert!(columns(&got) <= width);
        }
    }

    #[test]
    fn sizes_and_spans() {
        assert_eq!([size(0), size(1023), size(1536), size(3 << 30)], ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"]);
        assert_eq!([span(0), span(41_001), span(3_723_000)], ["0:00", "0:42", "1:02:03"]);
    }
}
