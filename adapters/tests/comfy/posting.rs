//! What became of a post is never guessed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use comfyd_adapters::comfy::http::{Client, PostError};
use comfyd_adapters::transport::{Address, TcpTransport, Transport};
use comfyd_engine::{Input, LinkChange};
use comfyd_fixtures::{FakeComfy, FakeConfig, PostFault, workflows};

use crate::world::{Wire, World};

fn body() -> Bytes {
    let workflow = workflows::named("06_text").unwrap().json;
    format!(r#"{{"prompt": {workflow}, "prompt_id": "0193a1b2-0000-7000-8000-000000abc123", "client_id": "us"}}"#).into()
}

fn client(fake: &FakeComfy) -> (Arc<Wire>, Client) {
    let wire = Wire::new(fake);
    let client = Client::new(Arc::clone(&wire) as Arc<dyn Transport>);
    (wire, client)
}

#[tokio::test(start_paused = true)]
async fn a_refused_port_is_a_definite_no() {
    let fake = FakeComfy::new(FakeConfig::default());
    fake.kill();
    let (_, client) = client(&fake);
    assert!(matches!(client.post_prompt(body()).await, Err(PostError::NotSent(_))));
}

#[tokio::test(start_paused = true)]
async fn a_cut_request_is_a_definite_no_wherever_it_is_cut() {
    let fake = FakeComfy::new(FakeConfig::default());
    let (wire, client) = client(&fake);
    let length = body().len();
    let mut whole = 0;
    for cut in (0..length + 200).step_by(37) {
        wire.cuts.lock().unwrap().push(cut);
        let before = fake.ledger().posts();
        match client.post_prompt(body()).await {
            Err(PostError::NotSent(_)) => assert_eq!(fake.ledger().posts(), before, "cut at {cut}"),
            Err(PostError::Unclear(why)) => panic!("cut at {cut}: {why}"),
            Ok(reply) => {
                whole += 1;
                assert!(reply.status == 200 && cut >= length, "cut at {cut}");
            }
        }
    }
    assert!(whole > 0, "some cuts lie behind the request");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_unclear() {
    let fake = FakeComfy::new(FakeConfig::default());
    let (_, client) = client(&fake);
    for fault in [PostFault::DropReply, PostFault::DropRequest, PostFault::ReplyAfter(Duration::from_mins(10))] {
        fake.tune(|knobs| knobs.next_posts.push_back(fault));
        assert!(matches!(client.post_prompt(body()).await, Err(PostError::Unclear(_))), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_looked_up_and_never_posted_again() {
    for fault in [PostFault::DropReply, PostFault::ErrorAfterAccept, PostFault::AcceptAfter(Duration::from_secs(5))] {
        let fake = FakeComfy::new(FakeConfig::default());
        fake.tune(|knobs| knobs.next_posts.push_back(fault));
        let mut world = World::new(&fake);
        let run = world.start(workflows::named("20_custom_slow_previews").unwrap().json);
        assert_eq!(world.settled(run).await, "completed", "{fault:?}");
        let record = fake.ledger().prompt(&run.to_string());
        assert_eq!((record.posts, record.executions), (1, 1), "{fault:?}");
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_of_an_old_server_is_found_by_our_mark() {
    for name in ["20_custom_slow_previews", "06_text"] {
        let version = comfyd_fixtures::ServerVersion::old();
        let fake = FakeComfy::new(FakeConfig { version, ..FakeConfig::default() });
        fake.tune(|knobs| knobs.next_posts.push_back(PostFault::DropReply));
        let mut world = World::new(&fake);
        let run = world.start(workflows::named(name).unwrap().json);
        assert_eq!(world.settled(run).await, "completed", "{name}: {:?}", world.kinds(run));
        assert_eq!(fake.ledger().posts(), 1);
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_accepted_waits_for_the_user() {
    let fake = FakeComfy::new(FakeConfig::default());
    fake.tune(|knobs| knobs.next_posts.push_back(PostFault::DropRequest));
    let mut world = World::new(&fake);
    let run = world.start(workflows::named("06_text").unwrap().json);
    world.until("the search is over", |world| world.engine.run(run).unwrap().attention().is_some()).await;
    assert_eq!(world.phase(run), "in_doubt");
    assert!(world.now() >= 60_000, "five absences over a minute: {} ms", world.now());
    assert_eq!(fake.ledger().prompt(&run.to_string()).accepted, 0);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_post_is_not_made_while_the_port_is_refused() {
    let fake = FakeComfy::new(FakeConfig::default());
    let mut world = World::new(&fake);
    world.online().await;
    fake.kill();
    let run = world.start(workflows::named("06_text").unwrap().json);
    let down = |input: &Input| matches!(input, Input::Link(_, LinkChange::Down { .. }));
    world.until("it is down", |world| world.count(down) > 0).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(fake.ledger().posts(), 0);
    fake.start();
    assert_eq!(world.settled(run).await, "completed", "{:?}", world.kinds(run));
    assert_eq!(fake.ledger().posts(), 1);
    world.end().await;
}

#[tokio::test]
async fn the_same_holds_over_tcp() {
    let fake = FakeComfy::new(FakeConfig::default());
    let server = fake.listen("127.0.0.1:0").await.unwrap();
    let address: Address = format!("http://{}", server.local_addr()).parse().unwrap();
    let client = Client::new(Arc::new(TcpTransport::new(address)));
    assert_eq!(client.post_prompt(body()).await.unwrap().status, 200);
    assert_eq!(client.system_stats().await.unwrap().as_deref(), Some("0.8.0"));
    drop(server);
    fake.kill();
    // The connection of the last answer may have taken it before its end was seen; a new one is refused.
    assert!(matches!(client.post_prompt(body()).await, Err(PostError::NotSent(_) | PostError::Unclear { .. })));
    assert!(matches!(client.post_prompt(body()).await, Err(PostError::NotSent(_))));
    assert_eq!(fake.ledger().posts(), 1);
    assert!(
        client.queue().await.is_err_and(|error| error.is_refused()),
        "the idle connection was tried and a new one was refused"
    );
}
