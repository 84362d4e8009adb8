//! Sessions of browsers.
//!
//! Invariants: a session id says nothing about the token; only who has shown the token gets one; a new token ends all of them. Ids are signed rather than
//! remembered, so that an open page goes on after a restart of the server.

use comfyd_engine::Timestamp;

use super::secret::{Secret, mac, same};

/// How long a session lasts: a browser that has not logged in for a month asks again.
pub(super) const MAX_AGE_S: u64 = 30 * 24 * 3600;

/// Makes and checks session ids.
pub(super) struct Sessions {
    cookie: String,
    key: [u8; 32],
}

impl Sessions {
    /// Sessions of the server at a port: cookies are not kept apart by port, so their name is.
    pub(super) fn new(token: &Secret, port: u16) -> Self {
        Self { cookie: format!("comfyd_{port}"), key: token.key_for("comfyd session") }
    }

    /// The `Set-Cookie` header of a new session. The nonce only tells sessions apart; what cannot be guessed is the signature.
    pub(super) fn open(&self, now: Timestamp, nonce: u64) -> String {
        let body = format!("{}.{nonce:016x}", now.unix_seconds());
        let sign = hex(&mac(&self.key, body.as_bytes()));
        format!("{}={body}.{sign}; Path=/; Max-Age={MAX_AGE_S}; HttpOnly; SameSite=Strict", self.cookie)
    }

    /// Whether one of the cookies of a `Cookie` header is a session of ours.
    pub(super) fn has_one(&self, cookies: &str, now: Timestamp) -> bool {
        let ours = |pair: &str| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.cookie).then(|| self.is_valid(value, now))
        };
        cookies.split(';').filter_map(ours).any(|valid| valid)
    }

    fn is_valid(&self, id: &str, now: Timestamp) -> bool {
        let Some((body, sign)) = id.rsplit_once('.') else { return false };
        let Some(sign) = unhex(sign) else { return false };
        if !same(&sign, &mac(&self.key, body.as_bytes())) {
            return false;
        }
        let issued = body.split_once('.').and_then(|(seconds, _)| seconds.parse::<u64>().ok());
        issued.is_some_and(|issued| now.unix_seconds().saturating_sub(issued) < MAX_AGE_S)
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || digits.iter().any(|digit| !digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0u8; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{MAX_AGE_S, Sessions};
    use crate::api::Secret;
    use comfyd_engine::Timestamp;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn cookie_of(header: &str) -> &str {
        header.split(';').next().expect("a header has a first part")
    }

    #[test]
    fn a_session_is_good_for_the_same_token_and_port_only() {
        let sessions = Sessions::new(&Secret::new("t"), 8787);
        let header = sessions.open(NOW, 1);
        assert!(
            header.starts_with("comfyd_8787=") && header.contains("HttpOnly") && header.contains("SameSite=Strict"),
            "{header}"
        );
        let cookie = cookie_of(&header);
        assert!(sessions.has_one(cookie, NOW));
        assert!(sessions.has_one(&format!("a=b; {cookie}; c=d"), NOW), "among others");
        assert!(Sessions::new(&Secret::new("t"), 8787).has_one(cookie, NOW), "after a restart");
        assert!(!Sessions::new(&Secret::new("u"), 8787).has_one(cookie, NOW), "after a new token");
        assert!(!Sessions::new(&Secret::new("t"), 8788).has_one(cookie, NOW), "of another server");
        assert!(!sessions.has_one(cookie, NOW.plus_ms(MAX_AGE_S * 1000)), "too old");
        assert_ne!(cookie, cookie_of(&sessions.open(NOW, 2)), "no two are the same");
    }

    #[test]
    fn a_changed_session_is_none() {
        let sessions = Sessions::new(&Secret::new("t"), 1);
        let header = sessions.open(NOW, 1);
        let cookie = cookie_of(&header);
        for place in "comfyd_1=".len()..cookie.len() {
            let mut forged = cookie.as_bytes().to_vec();
            forged[place] = if forged[place] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(forged).expect("digits stay text");
            assert!(!sessions.has_one(&forged, NOW), "{place}");
        }
        for none in ["", "comfyd_1", "comfyd_1=", "comfyd_1=.", "comfyd_1=1.2.3", "comfyd_1=t"] {
            assert!(!sessions.has_one(none, NOW), "{none}");
        }
    }
}
