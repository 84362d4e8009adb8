//! Single byte ranges (RFC 9110, 14).

/// The part of a file that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// From the first byte to the last, both counted from 0.
    Part {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// Nothing that is there.
    Outside,
}

/// Reads a `Range` header. What is not a single byte range is no range at all: the whole file is a right answer to it.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let range = header.and_then(|header| header.trim().strip_prefix("bytes=")).and_then(|range| range.trim().split_once('-'));
    let Some((from, to)) = range else { return Wanted::Whole };
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().unwrap_or(u64::MAX));
    match (from.is_empty(), number(from), to.is_empty(), number(to)) {
        (true, _, false, Some(count)) => suffix(count, size),
        (false, Some(first), true, _) => part(first, u64::MAX, size),
        (false, Some(first), false, Some(last)) if first <= last => part(first, last, size),
        _ => Wanted::Whole, // Nonsense, or several ranges.
    }
}

fn suffix(count: u64, size: u64) -> Wanted {
    if count == 0 || size == 0 { Wanted::Outside } else { Wanted::Part { first: size.saturating_sub(count), last: size - 1 } }
}

fn part(first: u64, last: u64, size: u64) -> Wanted {
    if first >= size { Wanted::Outside } else { Wanted::Part { first, last: last.min(size - 1) } }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, wanted};

    #[test]
    fn ranges() {
        let rows = [
            (None, 10, Wanted::Whole),
            (Some("bytes=0-3"), 10, Wanted::Part { first: 0, last: 3 }),
            (Some("bytes=3-"), 10, Wanted::Part { first: 3, last: 9 }),
            (Some("bytes=-4"), 10, Wanted::Part { first: 6, last: 9 }),
            (Some("bytes=-99"), 10, Wanted::Part { first: 0, last: 9 }),
            (Some("bytes=9-99"), 10, Wanted::Part { first: 9, last: 9 }),
            (Some("bytes=0-99999999999999999999999"), 10, Wanted::Part { first: 0, last: 9 }),
            (Some("bytes=10-"), 10, Wanted::Outside),
            (Some("bytes=99999999999999999999999-"), 10, Wanted::Outside),
            (Some("bytes=-0"), 10, Wanted::Outside),
            (Some("bytes=0-0"), 0, Wanted::Outside),
            (Some("bytes=-1"), 0, Wanted::Outside),
            (Some("bytes=5-2"), 10, Wanted::Whole),
            (Some("bytes=-"), 10, Wanted::Whole),
            (Some("bytes=a-b"), 10, Wanted::Whole),
            (Some("bytes=0-1,4-5"), 10, Wanted::Whole),
            (Some("lines=0-1"), 10, Wanted::Whole),
            (Some("bytes=+1-2"), 10, Wanted::Whole),
        ];
        for (header, size, expected) in rows {
            assert_eq!(wanted(header, size), expected, "{header:?} of {size}");
        }
    }
}
