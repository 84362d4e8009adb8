use comfyd_engine::{Ending, Verdict};

use super::*;

const RUN: &str = "0193a1b2-0000-7000-8000-000000abc123";

fn run() -> RunId {
    RUN.parse().expect("a run id")
}

fn prompt() -> PromptId {
    PromptId(RUN.into())
}

fn watching() -> Watch {
    let mut watch = Watch::default();
    watch.set(Timestamp(0), vec![(run(), prompt())]);
    watch.ask_soon(Timestamp(0));
    watch
}

fn answer(watch: &mut Watch, now: u64, status: &RemoteStatus) -> usize {
    let plan = watch.plan(Timestamp(now), None, 2_000);
    let found = plan.wanted.into_iter().map(|wanted| (wanted, status.clone())).collect();
    watch.found(Timestamp(now), Looked { found, twins: vec![], remaining: Some(1) }).0.len()
}

fn ended() -> RemoteStatus {
    RemoteStatus::Ended(Box::new(Ending { verdict: Verdict::Succeeded, cached: vec![], outputs: vec![], parents: vec![] }))
}

#[test]
fn only_news_is_told() {
    let mut watch = watching();
    let waiting = |position| RemoteStatus::Pending { position };
    let rows = [
        (0, waiting(2), 1),
        (2_000, waiting(2), 0),
        (4_000, waiting(1), 1),
        (6_000, RemoteStatus::Running, 1),
        (8_000, RemoteStatus::Running, 0),
        (10_000, RemoteStatus::Absent, 1),
        (12_000, RemoteStatus::Absent, 1),
        (14_000, RemoteStatus::Running, 1),
        (16_000, ended(), 1),
        (18_000, ended(), 0),
        (26_000, ended(), 1),
    ];
    for (now, status, told) in rows {
        assert!(watch.due().is_some_and(|due| due <= Timestamp(now)), "{now}");
        assert_eq!(answer(&mut watch, now, &status), told, "{now}");
    }
    watch.ask_all(Timestamp(27_000));
    assert_eq!(answer(&mut watch, 27_000, &RemoteStatus::Running), 1, "a poke is always answered");
}

#[test]
fn an_announced_end_is_asked_for_soon() {
    let mut watch = watching();
    answer(&mut watch, 0, &RemoteStatus::Running);
    watch.ending(Timestamp(100), &prompt());
    assert_eq!(watch.due(), Some(Timestamp(1_100)), "the final frame may still come");
    watch.queue_moved(Timestamp(300));
    assert_eq!(watch.due(), Some(Timestamp(300)));
    let plan = watch.plan(Timestamp(300), None, 2_000);
    assert!(!plan.all && plan.direct.contains(&prompt()));
    assert_eq!(answer(&mut watch, 300, &RemoteStatus::Running), 0);
    assert_eq!(watch.due(), Some(Timestamp(350)), "history lags");
    assert_eq!(answer(&mut watch, 350, &ended()), 1);
    assert_eq!(watch.due(), Some(Timestamp(2_000)), "only the rhythm of polling is left");
    assert_eq!(watch.finished, Some(prompt()));
}

#[test]
fn an_end_that_does_not_show_is_left_to_polling() {
    let mut watch = watching();
    answer(&mut watch, 0, &RemoteStatus::Running);
    watch.over(Timestamp(10), &prompt());
    let mut now = 10;
    while watch.announced.contains_key(&prompt()) {
        now = watch.due().expect("it is watched").0;
        answer(&mut watch, now, &RemoteStatus::Running);
    }
    assert!((5_010..8_000).contains(&now), "{now}");
}

#[test]
fn one_that_was_over_before_it_was_watched_is_asked_for_at_once() {
    let mut watch = Watch::default();
    watch.over(Timestamp(5), &prompt());
    watch.set(Timestamp(7), vec![(run(), prompt())]);
    assert_eq!(watch.due(), Some(Timestamp(7)));
    let plan = watch.plan(Timestamp(7), None, 2_000);
    assert!(!plan.all, "its history tells enough");
    assert_eq!(plan.direct, BTreeSet::from([prompt()]));
    assert_eq!(answer(&mut watch, 7, &ended()), 1);
    watch.set(Timestamp(8), vec![]);
    watch.set(Timestamp(9), vec![(run(), prompt())]);
    assert_eq!(watch.due(), Some(Timestamp(9 + NEW_MS)), "it is remembered once");
}

#[test]
fn nobody_watched_nothing_asked() {
    let mut watch = watching();
    watch.over(Timestamp(5), &prompt());
    watch.set(Timestamp(10), vec![]);
    assert_eq!(watch.due(), None);
    watch.over(Timestamp(20), &prompt());
    assert_eq!(watch.due(), None, "a foreign prompt is nobody's business");
}

#[test]
fn an_old_servers_id_is_remembered() {
    let mut watch = watching();
    let mut plan = watch.plan(Timestamp(0), None, 2_000);
    plan.wanted[0].remote = PromptId("minted".into());
    let found = plan.wanted.into_iter().map(|wanted| (wanted, RemoteStatus::Running)).collect();
    watch.found(Timestamp(0), Looked { found, twins: vec![], remaining: Some(1) });
    assert_eq!(watch.ours(&PromptId("minted".into())), Some(&prompt()));
    assert_eq!(watch.plan(Timestamp(10_000), None, 2_000).wanted[0].remote, PromptId("minted".into()));
}
