//! Frames on disk: the header of a log file and the record around each payload.
//!
//! Invariants: all numbers are little-endian; a record's checksum covers the file's salt, so a record of another file is
//! never taken for one of this file; a payload is 1 byte to [`MAX_PAYLOAD`]. Absent: files, and what a payload means.

/// The first eight bytes of every log file.
pub const MAGIC: [u8; 8] = *b"CFDLOG\0\x01";

/// The version of the log format.
///
/// Changelog: 1 = header of 20 bytes, records of 28 bytes plus payload.
pub const VERSION: u16 = 1;

/// Length of a file's header.
pub const HEADER_LEN: usize = 20;

/// Length of a record before its payload.
pub const RECORD_LEN: usize = 28;

/// The longest payload, 4 MiB.
pub const MAX_PAYLOAD: usize = 4 << 20;

/// Why the first bytes of a file are not a header that this version reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer bytes than a header has.
    #[error("the file is shorter than a header")]
    Short,
    /// Another kind of file.
    #[error("the file does not begin with the mark of a comfyd log")]
    Magic,
    /// Bytes of the header changed.
    #[error("the header's checksum does not match")]
    Checksum,
    /// A later version of the format.
    #[error("the log has format version {version}, newer than this program reads")]
    Version {
        /// The version it names.
        version: u16,
    },
    /// Flags of a later version.
    #[error("the log has unknown flags {flags:#06x}")]
    Flags {
        /// The flags it names.
        flags: u16,
    },
}

/// The first 20 bytes of a log file.
///
/// ```
/// # use comfyd_engine::journal::frame::FileHeader;
/// let header = FileHeader { salt: 7 };
/// assert_eq!(FileHeader::decode(&header.encode()), Ok(header));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// Random per file; part of every record's checksum.
    pub salt: u32,
}

impl FileHeader {
    /// The bytes of the header.
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&out[..16]);
        out[16..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// Says what is wrong with it; the checksum is looked at before version and flags, so a flipped bit is not taken for
    /// a newer format.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some(head) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(HeaderError::Short);
        };
        if head[..8] != MAGIC {
            return Err(HeaderError::Magic);
        }
        if crc32c::crc32c(&head[..16]) != u32_at(head, 16) {
            return Err(HeaderError::Checksum);
        }
        let version = u16::from_le_bytes([head[8], head[9]]);
        if version != VERSION {
            return Err(HeaderError::Version { version });
        }
        let flags = u16::from_le_bytes([head[10], head[11]]);
        if flags != 0 {
            return Err(HeaderError::Flags { flags });
        }
        Ok(Self { salt: Self::salt_of(head) })
    }

    /// The salt where a header keeps it, without any check: what is left when the rest of the header is damaged.
    pub fn salt_of(head: &[u8; HEADER_LEN]) -> u32 {
        u32_at(head, 12)
    }
}

/// A payload that cannot be framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of {bytes} bytes: allowed are 1 to {MAX_PAYLOAD}")]
pub struct PayloadSize {
    /// Its length.
    pub bytes: usize,
}

/// Frames payloads for the end of one file.
///
/// ```
/// # use comfyd_engine::journal::frame::{FileHeader, FrameEncoder};
/// # use comfyd_engine::journal::scan::{Rule, Verdict, scan};
/// let mut file = FileHeader { salt: 7 }.encode().to_vec();
/// let mut encoder = FrameEncoder::new(7, 1);
/// encoder.push(b"a fact", 0, &mut file)?;
/// assert_eq!(scan(&file, Rule::default()).verdict, Verdict::Clean);
/// # Ok::<(), comfyd_engine::journal::frame::PayloadSize>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameEncoder {
    salt: u32,
    next: u64,
    prev: u32,
}

impl FrameEncoder {
    /// An encoder for a file without records, whose first record gets the number `first`.
    pub fn new(salt: u32, first: u64) -> Self {
        Self { salt, next: first, prev: 0 }
    }

    /// An encoder that goes on after the record `last`, whose checksum is `crc`.
    pub fn resume(salt: u32, last: u64, crc: u32) -> Self {
        Self { salt, next: last + 1, prev: crc }
    }

    /// The salt of the file.
    pub fn salt(&self) -> u32 {
        self.salt
    }

    /// The number of the next record.
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// The checksum of the last record; 0 before the first.
    pub fn chain(&self) -> u32 {
        self.prev
    }

    /// Appends the frame of `payload` to `out`; `durable` is the file's length known to be synced now.
    ///
    /// # Errors
    /// Refuses an empty or too long payload and writes nothing then.
    pub fn push(&mut self, payload: &[u8], durable: u64, out: &mut Vec<u8>) -> Result<(), PayloadSize> {
        let refused = PayloadSize { bytes: payload.len() };
        let len = u32::try_from(payload.len()).map_err(|_| refused)?;
        if payload.is_empty() || payload.len() > MAX_PAYLOAD {
            return Err(refused);
        }
        let crc = checksum(self.salt, len, self.next, durable, self.prev, payload);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&self.next.to_le_bytes());
        out.extend_from_slice(&durable.to_le_bytes());
        out.extend_from_slice(&self.prev.to_le_bytes());
        out.extend_from_slice(payload);
        self.next += 1;
        self.prev = crc;
        Ok(())
    }
}

/// One whole record, its payload still where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Where it begins.
    pub offset: u64,
    /// Where the next one begins.
    pub end: u64,
    /// Its number.
    pub seq: u64,
    /// The length of the file known to be synced when it was written.
    pub durable: u64,
    /// The checksum of the record before.
    pub prev: u32,
    /// Its own checksum.
    pub crc: u32,
    /// What it carries.
    pub payload: &'a [u8],
}

/// The numbers before a payload, not yet checked against it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) len: usize,
    pub(super) seq: u64,
    pub(super) durable: u64,
    pub(super) prev: u32,
    crc: u32,
}

impl Claim {
    /// Reads what the bytes at `at` claim; nothing if such a record cannot fit the rest of the file.
    pub(super) fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let head = bytes.get(at..)?.first_chunk::<RECORD_LEN>()?;
        let len = usize::try_from(u32_at(head, 0)).ok()?;
        if len == 0 || len > MAX_PAYLOAD || len > bytes.len() - at - RECORD_LEN {
            return None;
        }
        Some(Self { len, crc: u32_at(head, 4), seq: u64_at(head, 8), durable: u64_at(head, 16), prev: u32_at(head, 24) })
    }

    /// The record at `at`, if the checksum agrees.
    pub(super) fn check(self, salt: u32, bytes: &[u8], at: usize) -> Option<Frame<'_>> {
        let start = at + RECORD_LEN;
        let payload = bytes.get(start..start + self.len)?;
        let len = u32::try_from(self.len).ok()?;
        (checksum(salt, len, self.seq, self.durable, self.prev, payload) == self.crc).then_some(Frame {
            offset: at as u64,
            end: (start + self.len) as u64,
            seq: self.seq,
            durable: self.durable,
            prev: self.prev,
            crc: self.crc,
            payload,
        })
    }
}

/// The masked CRC-32C of a record: rotated right by 15, plus a constant.
///
/// Masked because the plain checksum of nothing is 0, so that zero fill would parse.
fn checksum(salt: u32, len: u32, seq: u64, durable: u64, prev: u32, payload: &[u8]) -> u32 {
    let mut head = [0; RECORD_LEN];
    head[..4].copy_from_slice(&salt.to_le_bytes());
    head[4..8].copy_from_slice(&len.to_le_bytes());
    head[8..16].copy_from_slice(&seq.to_le_bytes());
    head[16..24].copy_from_slice(&durable.to_le_bytes());
    head[24..].copy_from_slice(&prev.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&head), payload).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the caller names a place inside a fixed head"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the caller names a place inside a fixed head"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_refuses_what_it_does_not_know() {
        let good = FileHeader { salt: 0xdead_beef }.encode();
        assert_eq!(FileHeader::decode(&good[..19]), Err(HeaderError::Short));
        let sealed = |edit: fn(&mut [u8; HEADER_LEN])| {
            let mut head = good;
            edit(&mut head);
            let crc = crc32c::crc32c(&head[..16]);
            head[16..].copy_from_slice(&crc.to_le_bytes());
            FileHeader::decode(&head)
        };
        assert_eq!(sealed(|head| head[0] = b'X'), Err(HeaderError::Magic));
        assert_eq!(sealed(|head| head[8] = 2), Err(HeaderError::Version { version: 2 }));
        assert_eq!(sealed(|head| head[11] = 1), Err(HeaderError::Flags { flags: 256 }));
        for bit in 0..HEADER_LEN * 8 {
            let mut head = good;
            head[bit / 8] ^= 1 << (bit % 8);
            let refused = FileHeader::decode(&head).expect_err("every flipped bit is seen");
            assert_eq!(refused, if bit < 64 { HeaderError::Magic } else { HeaderError::Checksum });
        }
    }

    #[test]
    fn payload_sizes_are_bounded() {
        let mut encoder = FrameEncoder::new(1, 1);
        let mut out = Vec::new();
        assert_eq!(encoder.push(b"", 0, &mut out), Err(PayloadSize { bytes: 0 }));
        assert_eq!(encoder.push(&vec![0; MAX_PAYLOAD + 1], 0, &mut out), Err(PayloadSize { bytes: MAX_PAYLOAD + 1 }));
        assert_eq!((out.len(), encoder), (0, FrameEncoder::new(1, 1)));
        encoder.push(&vec![0; MAX_PAYLOAD], 0, &mut out).expect("the longest payload fits");
        assert_eq!((out.len(), encoder.next_seq()), (RECORD_LEN + MAX_PAYLOAD, 2));
    }

    #[test]
    fn zero_fill_is_no_record() {
        // Salt, numbers and payload all zero: without the mask the checksum of such a record could be 0 as well.
        assert!(Claim::read(&[0; 4096], 0).is_none());
        let mut one = [0; 64];
        one[0] = 1;
        assert!(Claim::read(&one, 0).expect("it fits").check(0, &one, 0).is_none());
    }
}
