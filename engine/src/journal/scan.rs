//! The recovery rule: what the bytes of a log file say, and what may be done about their end.
//!
//! Invariants: a bad record followed by a whole one that was written after a sync is damage, never a torn tail; damage is
//! never cut off; time is linear in the length of the file, also for a file made to be slow. Absent: files and repairs.

use super::frame::{Claim, FileHeader, Frame, HEADER_LEN, HeaderError};

/// What is known about a file before it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The number its first record has: 1 in the log of a stream, the number in the file's name in the journal.
    pub first: u64,
    /// The length that a snapshot says was there.
    pub floor: Option<u64>,
}

impl Default for Rule {
    fn default() -> Self {
        Self { first: 1, floor: None }
    }
}

/// Why a file is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Whole records end before the length that a snapshot names.
    #[error("whole records end before byte {floor}, which a snapshot names")]
    ShorterThanSnapshot {
        /// The length that the snapshot names.
        floor: u64,
    },
    /// A later record shows that the damaged bytes had been synced.
    #[error("the record at byte {proof} shows that bytes before it were synced and have changed")]
    SyncedBytes {
        /// Where the later record begins.
        proof: u64,
    },
    /// Too much of the rest looks like records without being any; judged as damage, as that loses nothing.
    #[error("the rest of the file imitates records")]
    Imitation,
}

/// What may be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All bytes are whole records.
    Clean,
    /// Creation was cut before the header was whole, and nothing says that more had been there: create it again.
    CutHeader,
    /// The bytes from `at` on were never synced: keep a copy of them, then cut.
    TornTail {
        /// Where whole records end.
        at: u64,
    },
    /// Synced bytes have changed or are missing: touch nothing.
    Damaged {
        /// Where whole records end.
        at: u64,
        /// How that is known.
        why: Damage,
    },
    /// Not a log that this version reads: touch nothing.
    BadHeader(HeaderError),
}

/// The whole records at the start of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The salt of the file; 0 without a header.
    pub salt: u32,
    /// How many records.
    pub records: u64,
    /// The number of the last; one less than the first's when there is none.
    pub last: u64,
    /// The checksum of the last; 0 when there is none.
    pub crc: u32,
    /// Where they end.
    pub end: u64,
    /// The length that the last record knew to be synced.
    pub durable: u64,
}

/// The result of [`scan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The records that are whole.
    pub prefix: Prefix,
    /// What the rest means.
    pub verdict: Verdict,
}

/// Reads whole records from the start of a file until the first that is not.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
    prefix: Prefix,
}

impl<'a> Frames<'a> {
    /// Starts behind the header of `bytes`; its first record must have the number `first`.
    ///
    /// # Errors
    /// The header is not one that this version reads.
    pub fn new(bytes: &'a [u8], first: u64) -> Result<Self, HeaderError> {
        FileHeader::decode(bytes).map(|header| Self::salted(bytes, first, header.salt))
    }

    /// Starts at byte 20 with a given salt, whatever the header says: for salvaging.
    pub fn salted(bytes: &'a [u8], first: u64, salt: u32) -> Self {
        let prefix = Prefix { salt, records: 0, last: first.saturating_sub(1), crc: 0, end: HEADER_LEN as u64, durable: 0 };
        Self { bytes, at: HEADER_LEN, prefix }
    }

    /// Starts at any record, when the one before is known: its end, and its number plus one, and its checksum.
    pub fn resumed(bytes: &'a [u8], salt: u32, at: usize, next: u64, prev: u32) -> Self {
        let mut frames = Self::salted(bytes, next, salt);
        frames.at = at;
        frames.prefix.end = at as u64;
        frames.prefix.crc = prev;
        frames
    }

    /// The records read so far.
    pub fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// Judges the rest by rules 2 to 4: first lets every whole record go by.
    pub fn judge(mut self, floor: Option<u64>) -> Scan {
        self.by_ref().for_each(drop);
        let at = self.prefix.end;
        let verdict = match floor {
            Some(floor) if at < floor => Verdict::Damaged { at, why: Damage::ShorterThanSnapshot { floor } },
            Some(_) | None if self.at == self.bytes.len() => Verdict::Clean,
            Some(_) | None => match self.proof() {
                Some(why) => Verdict::Damaged { at, why },
                None => Verdict::TornTail { at },
            },
        };
        Scan { prefix: self.prefix, verdict }
    }

    /// Looks for a record behind the first bad byte that was written when that byte had been synced.
    fn proof(&self) -> Option<Damage> {
        // Real files need a fraction of this: a claim must be plausible before its checksum is computed.
        let mut budget = 16 * self.bytes.len() + (64 << 20);
        for at in self.at + 1..self.bytes.len() {
            let Some(claim) = Claim::read(self.bytes, at) else { continue };
            if !self.plausible(claim) {
                continue;
            }
            let Some(rest) = budget.checked_sub(claim.len) else {
                return Some(Damage::Imitation);
            };
            budget = rest;
            if claim.check(self.prefix.salt, self.bytes, at).is_some() {
                return Some(Damage::SyncedBytes { proof: at as u64 });
            }
        }
        None
    }

    /// Cheap checks, so that random bytes cost no checksum: no log has 2^40 records or bytes.
    fn plausible(&self, claim: Claim) -> bool {
        const FAR: u64 = 1 << 40;
        claim.seq > self.prefix.last
            && claim.seq - self.prefix.last < FAR
            && claim.durable > self.prefix.end
            && claim.durable < FAR
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let claim = Claim::read(self.bytes, self.at)?;
        let follows = claim.seq == self.prefix.last + 1 && claim.prev == self.prefix.crc && claim.durable <= self.at as u64;
        let frame = claim.check(self.prefix.salt, self.bytes, self.at).filter(|_| follows)?;
        self.at += usize::try_from(frame.end - frame.offset).expect("a frame lies in memory");
        self.prefix = Prefix {
            salt: self.prefix.salt,
            records: self.prefix.records + 1,
            last: frame.seq,
            crc: frame.crc,
            end: frame.end,
            durable: frame.durable,
        };
        Some(frame)
    }
}

/// Applies the recovery rule to the bytes of a file.
pub fn scan(bytes: &[u8], rule: Rule) -> Scan {
    scan_with(bytes, rule, |_| {})
}

/// Applies the recovery rule and shows every whole record to `visit`, in order.
pub fn scan_with<'a>(bytes: &'a [u8], rule: Rule, mut visit: impl FnMut(Frame<'a>)) -> Scan {
    let nothing = |verdict| Scan {
        prefix: Prefix { salt: 0, records: 0, last: rule.first.saturating_sub(1), crc: 0, end: 0, durable: 0 },
        verdict,
    };
    match Frames::new(bytes, rule.first) {
        Ok(mut frames) => {
            frames.by_ref().for_each(&mut visit);
            frames.judge(rule.floor)
        }
        Err(HeaderError::Short) if rule.floor.unwrap_or(0) == 0 => nothing(Verdict::CutHeader),
        Err(error) => nothing(Verdict::BadHeader(error)),
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
