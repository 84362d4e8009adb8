//! What is doubtful about a machine, and when it is not tried any more until somebody has looked.
//!
//! Invariants: a login that was refused is tried once more at most; one that was cut off may be an accident, so only many in a row that go on for long
//! are taken for a refusal; whatever shows that the line was the matter ends the row.

use std::time::Duration;

use tokio::time::Instant;

use super::destination::Hop;
use super::error::SshError;

/// How often a login is tried before somebody must look (reliability.md 8).
const MAX_LOGINS: u32 = 2;
/// How often in a row a login may be cut off at least: a machine that takes one offer only hangs up at the first.
const MAX_CUT_LOGINS: u32 = 5;
/// How long they may go on at least: a machine that boots cuts logins off too, and the waits between the first ones are short.
const CUT_FOR: Duration = Duration::from_mins(1);

/// Logins that were cut off, one after the other.
struct Cut {
    since: Instant,
    times: u32,
}

/// What is doubtful about a machine, for all connections to it.
#[derive(Default)]
pub(super) struct Doubt {
    /// What only a person can change.
    stuck: Option<SshError>,
    refused: u32,
    cut: Option<Cut>,
}

impl Doubt {
    /// What only a person can change, if that is what stands in the way.
    pub(super) fn stuck(&self) -> Option<&SshError> {
        self.stuck.as_ref()
    }

    /// What stood in the way does not any more.
    pub(super) fn unstick(&mut self) {
        self.stuck = None;
    }

    /// We were let in.
    pub(super) fn dispel(&mut self) {
        (self.refused, self.cut) = (0, None);
    }

    /// An attempt came to nothing. Whether another one may follow by itself.
    pub(super) fn failed(&mut self, target: &Hop, error: &SshError) -> bool {
        let cut = self.cut.take();
        let stuck = match error {
            SshError::Auth { .. } => {
                self.cut = cut;
                self.refused += 1;
                (self.refused >= MAX_LOGINS).then(|| error.clone())
            }
            SshError::Lost { why } => {
                let Cut { since, times } = cut.unwrap_or_else(|| Cut { since: Instant::now(), times: 0 });
                let times = times.saturating_add(1);
                self.cut = Some(Cut { since, times });
                let tried = format!("{times} logins, each of which was cut off ({why})");
                let refused = times >= MAX_CUT_LOGINS && since.elapsed() >= CUT_FOR;
                refused.then(|| SshError::Auth { user: target.user.clone(), to: target.authority(), tried })
            }
            error => error.obstacle().is_some().then(|| error.clone()),
        };
        // The other connection may have met something that stands in the way yet.
        self.stuck = stuck.or_else(|| self.stuck.take());
        self.stuck.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Largest;
    use crate::ssh::destination::Destination;
    use crate::ssh::pace::Pace;

    fn target() -> Hop {
        Destination::parse("ssh root@gpu", None).expect("a good command").destination.target
    }

    fn cut() -> SshError {
        SshError::Lost { why: "during the login: it hung up".into() }
    }

    fn away() -> SshError {
        SshError::Connect { to: "gpu:22".into(), why: "refused".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn logins_that_are_cut_off_within_seconds_are_an_accident() {
        let mut doubt = Doubt::default();
        for _ in 0..20 {
            assert!(doubt.failed(&target(), &cut()));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        doubt.dispel();
        tokio::time::advance(CUT_FOR).await;
        assert!((0..20).all(|_| doubt.failed(&target(), &cut())), "the row began anew");
    }

    #[tokio::test(start_paused = true)]
    async fn logins_that_are_cut_off_for_long_are_refused() {
        let (mut doubt, mut pace, begun) = (Doubt::default(), Pace::default(), Instant::now());
        let mut times = 1;
        while doubt.failed(&target(), &cut()) {
            pace.failed(cut(), &Largest);
            let (left, _) = pace.rest().expect("it rests");
            tokio::time::advance(left).await;
            times += 1;
        }
        assert!(times < 10 && (CUT_FOR..CUT_FOR * 2).contains(&begun.elapsed()), "{times} in {:?}", begun.elapsed());
        assert!(matches!(doubt.stuck(), Some(SshError::Auth { tried, .. }) if tried.contains(&format!("{times} logins"))));
        // Few of them tell nothing, however long they go on.
        let mut doubt = Doubt::default();
        for _ in 1..MAX_CUT_LOGINS {
            assert!(doubt.failed(&target(), &cut()));
            tokio::time::advance(CUT_FOR).await;
        }
        assert!(!doubt.failed(&target(), &cut()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_was_away_between_is_the_line() {
        let mut doubt = Doubt::default();
        for _ in 0..20 {
            assert!(doubt.failed(&target(), &cut()) && doubt.failed(&target(), &away()));
            tokio::time::advance(CUT_FOR).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_refused_is_tried_once_more() {
        let refused = SshError::Auth { user: "root".into(), to: "gpu".into(), tried: "a key".into() };
        let mut doubt = Doubt::default();
        assert!(doubt.failed(&target(), &refused) && doubt.failed(&target(), &away()));
        assert!(!doubt.failed(&target(), &refused));
        assert!(!doubt.failed(&target(), &away()), "it stands in the way of the other connection too");
        assert_eq!(doubt.stuck(), Some(&refused));
    }
}
