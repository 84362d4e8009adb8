use super::*;

fn state(figures: &[(&str, u32, bool)]) -> ComfyEvent {
    let report = |(node, done, finished): &(&str, u32, bool)| NodeReport {
        node: (*node).into(),
        parent: None,
        done: *done,
        total: 20,
        finished: *finished,
    };
    ComfyEvent::ProgressReported { prompt: PromptId("p".into()), nodes: figures.iter().map(report).collect() }
}

fn single(node: &str, done: u32) -> ComfyEvent {
    ComfyEvent::NodeProgressed { prompt: Some(PromptId("p".into())), node: node.into(), done, total: 20 }
}

fn mailbox() -> Mailbox {
    Mailbox::new("gpu".parse().expect("a name"))
}

fn drain(mailbox: &mut Mailbox, now: u64) -> Vec<ComfyEvent> {
    let mut events = Vec::new();
    while let Some(input) = mailbox.pop(Timestamp(now)) {
        let Input::Observed(_, event) = input else { panic!("{input:?}") };
        events.push(event);
    }
    events
}

#[test]
fn figures_pass_ten_times_a_second_and_the_last_one_is_kept() {
    let mut mailbox = mailbox();
    let mut passed = Vec::new();
    for ms in 0..1_000 {
        let done = u32::try_from(ms).expect("it is small");
        mailbox.observe(Timestamp(ms), state(&[("1", done, false)])).expect("room");
        mailbox.observe(Timestamp(ms), single("1", done)).expect("room");
        passed.extend(drain(&mut mailbox, ms));
    }
    assert_eq!(passed.len(), 10, "the first is a new state, then every 100 ms");
    assert_eq!(mailbox.due(), Some(Timestamp(1_000)));
    assert_eq!(drain(&mut mailbox, 999), []);
    assert_eq!(drain(&mut mailbox, 1_000), [state(&[("1", 999, false)])]);
    assert_eq!(mailbox.due(), None);
}

#[test]
fn a_new_state_passes_at_once_and_replaces_what_was_held() {
    let mut mailbox = mailbox();
    let states = [state(&[("1", 1, false)]), state(&[("1", 20, true)]), state(&[("1", 20, true), ("2", 0, false)])];
    mailbox.observe(Timestamp(0), states[0].clone()).expect("room");
    mailbox.observe(Timestamp(1), state(&[("1", 19, false)])).expect("room");
    mailbox.observe(Timestamp(2), states[1].clone()).expect("room");
    mailbox.observe(Timestamp(3), states[2].clone()).expect("room");
    assert_eq!(drain(&mut mailbox, 3), states);
    assert_eq!(mailbox.due(), None);
}

#[test]
fn the_last_figures_go_before_the_end() {
    let mut mailbox = mailbox();
    let ending = ComfyEvent::Ending { prompt: PromptId("p".into()) };
    mailbox.observe(Timestamp(0), state(&[("1", 1, false)])).expect("room");
    mailbox.observe(Timestamp(1), state(&[("1", 7, false)])).expect("room");
    mailbox.observe(Timestamp(2), ending.clone()).expect("room");
    assert_eq!(drain(&mut mailbox, 2), [state(&[("1", 1, false)]), state(&[("1", 7, false)]), ending]);
}

#[test]
fn servers_without_states_tell_single_bars() {
    let mut mailbox = mailbox();
    for done in 0..5 {
        mailbox.observe(Timestamp(0), single("1", done)).expect("room");
        mailbox.observe(Timestamp(0), single("2", done)).expect("room");
    }
    assert_eq!(drain(&mut mailbox, 0), [single("1", 4), single("2", 4)]);
    mailbox.observe(Timestamp(50), single("1", 5)).expect("room");
    assert_eq!(mailbox.due(), Some(Timestamp(100)));
}

#[test]
fn texts_and_queue_figures_are_the_newest() {
    let mut mailbox = mailbox();
    let text = |text: &str| ComfyEvent::NodeTexted { node: "1".into(), text: text.into() };
    mailbox.observe(Timestamp(0), text("a")).expect("room");
    mailbox.observe(Timestamp(0), text("b")).expect("room");
    mailbox.observe(Timestamp(0), ComfyEvent::QueueChanged { remaining: 1 }).expect("room");
    mailbox.observe(Timestamp(0), ComfyEvent::QueueChanged { remaining: 2 }).expect("room");
    assert_eq!(drain(&mut mailbox, 0), [ComfyEvent::QueueChanged { remaining: 2 }, text("b")]);
}

#[test]
fn texts_pass_ten_times_a_second_in_turn_and_the_last_ones_before_the_end() {
    let mut mailbox = mailbox();
    let text = |node: &str, text: u64| ComfyEvent::NodeTexted { node: node.into(), text: text.to_string() };
    let mut passed = Vec::new();
    for ms in 0..1_000 {
        for node in ["1", "2", "3"] {
            mailbox.observe(Timestamp(ms), text(node, ms)).expect("room");
        }
        passed.extend(drain(&mut mailbox, ms));
    }
    assert_eq!(passed.len(), 10);
    assert_eq!(passed[..4], [text("1", 0), text("2", 100), text("3", 200), text("1", 300)]);
    let ending = ComfyEvent::Ending { prompt: PromptId("p".into()) };
    mailbox.observe(Timestamp(999), ending.clone()).expect("room");
    let last = [text("2", 999), text("3", 999), text("1", 999), ending.clone()];
    assert_eq!(drain(&mut mailbox, 999), last);
    // A server that says it again does not get round the limit.
    mailbox.observe(Timestamp(1_000), text("1", 1_000)).expect("room");
    mailbox.observe(Timestamp(1_000), ending.clone()).expect("room");
    assert_eq!(drain(&mut mailbox, 999), [ending]);
}

#[test]
fn what_the_link_says_is_bounded_while_the_engine_stands_still() {
    let mut mailbox = mailbox();
    let instance = mailbox.instance.clone();
    let gap = |n: u32| Input::Link(instance.clone(), LinkChange::Gap { why: n.to_string() });
    let restarted = Input::Link(instance.clone(), LinkChange::Restarted { evidence: "once".into() });
    let run = comfyd_engine::testkit::run_id(1);
    let ended =
        comfyd_engine::Ending { verdict: comfyd_engine::Verdict::Succeeded, cached: vec![], outputs: vec![], parents: vec![] };
    mailbox.say(restarted.clone());
    for n in 0..10_000 {
        mailbox.say(gap(n));
        mailbox.say(Input::Reconciled(run, RemoteStatus::Pending { position: n }));
    }
    mailbox.say(Input::Reconciled(run, RemoteStatus::Ended(Box::new(ended.clone()))));
    mailbox.say(Input::Reconciled(run, RemoteStatus::Absent));
    let mut said: Vec<Input> = std::iter::from_fn(|| mailbox.pop(Timestamp(0))).collect();
    assert_eq!(said.len(), MAX_CHANGES + 1);
    assert_eq!(said.pop(), Some(Input::Reconciled(run, RemoteStatus::Ended(Box::new(ended)))));
    assert_eq!((said.first(), said.last()), (Some(&restarted), Some(&gap(9_999))));
}

#[test]
fn an_overflow_drops_observations_only() {
    let mut mailbox = mailbox();
    let started = |n: usize| ComfyEvent::NodeStarted { prompt: None, node: n.to_string().as_str().into() };
    let instance = mailbox.instance.clone();
    mailbox.say(Input::Deadline);
    for n in 0..MAX_WAITING {
        mailbox.observe(Timestamp(0), started(n)).expect("room");
    }
    assert_eq!(mailbox.observe(Timestamp(0), started(MAX_WAITING)), Err(Overflow));
    mailbox.drop_observations();
    assert_eq!(mailbox.pop(Timestamp(0)), Some(Input::Deadline));
    assert_eq!(mailbox.pop(Timestamp(0)), None);
    mailbox.observe(Timestamp(0), started(1)).expect("room again");
    assert_eq!(mailbox.pop(Timestamp(0)), Some(Input::Observed(instance, started(1))));
}
