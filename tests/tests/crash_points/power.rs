//! Power goes at every durable step of a story; in the end nobody can tell.

use comfyd_server::store::SimDisk;
use comfyd_tests::world::in_simulation;
use serde_json::Value;

use crate::support::{CANCELLED, Cut, FAILING, LOST_ANSWER, MANY, SIMPLE, SLOW, Tale, Teller, UPLOADING, differences};

/// Tells a story and checks it; gives what it comes to, and how often power went.
fn told(tale: Tale, seed: u64, cut: Option<Cut>) -> (Value, u32) {
    in_simulation(async {
        let mut teller = Teller::new(tale, seed, cut);
        let (run, view) = teller.tell().await;
        teller.check(run, &view).await;
        (teller.shape(&view), teller.cuts)
    })
}

/// Cuts the power at every step of a story.
fn at_every_step(tale: Tale, end: fn(&SimDisk), again: fn(u64) -> Option<u64>) {
    let (undisturbed, _) = told(tale, 7, None);
    let mut at = 0;
    loop {
        at += 1;
        assert!(at < MANY, "the story never ends");
        let (shape, cuts) = told(tale, 7 + at, Some(Cut { at, again: again(at), end }));
        let differences = differences(&shape, &undisturbed);
        assert!(differences.is_empty(), "{tale:?}, power cut at {at}: {differences:#?}");
        if cuts == 0 {
            break;
        }
    }
    assert!(at > 40, "{tale:?} has more steps than {at}");
}

macro_rules! stories {
    ($($name:ident: $tale:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn with_an_arbitrary_part_of_what_was_not_synced() {
                at_every_step($tale, SimDisk::crash, |_| None);
            }

            #[test]
            fn with_nothing_but_what_was_synced() {
                at_every_step($tale, SimDisk::crash_hard, |_| None);
            }
        }
    )*};
}

stories! {
    a_simple_run: SIMPLE;
    a_slow_run: SLOW;
    a_failing_run: FAILING;
    a_run_with_an_upload: UPLOADING;
    a_cancelled_run: CANCELLED;
    a_run_whose_answer_is_lost: LOST_ANSWER;
}

#[test]
fn power_may_go_again_while_the_server_recovers() {
    at_every_step(SIMPLE, SimDisk::crash, |at| Some(1 + at * 7 % 29));
}
