//! Kills at random times: everything that was acknowledged is there in the end, once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use comfyd_fixtures::SplitMix64;
use serde_json::Value;

use crate::support::{Client, Comfy, Place, kills, text};

/// What the client knows.
#[derive(Default)]
struct Known {
    /// Wishes by their key, with the run of those that were acknowledged.
    wishes: BTreeMap<String, Option<String>>,
    /// Runs whose cancelling was acknowledged.
    cancelled: Vec<String>,
}

/// Submits and cancels until the server is gone.
fn work(client: &Client, comfy: &Comfy, known: &Mutex<Known>, rng: &mut SplitMix64, gone: &AtomicBool) {
    let workflow = comfyd_fixtures::workflows::named("20_custom_slow_previews").expect("a fixture").json;
    while !gone.load(Ordering::SeqCst) {
        let (open, runs) = {
            let known = known.lock().expect("no panic");
            let open = known.wishes.iter().find(|(_, run)| run.is_none()).map(|(key, _)| key.clone());
            (open, known.wishes.values().flatten().cloned().collect::<Vec<_>>())
        };
        if open.is_none() && !runs.is_empty() && rng.chance(250) {
            let run = &runs[usize::try_from(rng.below(runs.len() as u64)).expect("an index")];
            match client.ask("POST", &format!("/api/v1/runs/{run}/cancel"), None, "{}") {
                Ok((202, _)) => known.lock().expect("no panic").cancelled.push(run.clone()),
                Ok((status, body)) => assert_eq!((status, &body["code"]), (409, &Value::from("already_settled")), "{body}"),
                Err(_) => return,
            }
            continue;
        }
        // A wish whose answer was lost is told again, with the same key and the same words.
        let key = open.unwrap_or_else(|| {
            let mut known = known.lock().expect("no panic");
            let key = format!("wish {}", known.wishes.len() + 1);
            known.wishes.insert(key.clone(), None);
            key
        });
        let body = format!(
            r#"{{"workflow":{workflow},"url":"{}","inputs":{{"1.steps":3,"2.steps":2}},"workflow_name":"{key}"}}"#,
            comfy.url()
        );
        let Ok((status, created)) = client.ask("POST", "/api/v1/runs", Some(&key), &body) else { return };
        assert!(matches!(status, 200..=202), "{created}");
        known.lock().expect("no panic").wishes.insert(key, Some(text(&created, "run_id")));
        // A person does not ask without end; a server that is gone is noticed at once.
        for _ in 0..rng.below(40) {
            if gone.load(Ordering::SeqCst) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn what_was_acknowledged_outlives_kills_at_any_time() {
    let seed = std::env::var("COMFYD_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x5eed);
    let rounds = kills().unwrap_or(5);
    eprintln!("COMFYD_SEED={seed} COMFYD_KILLS={rounds}");
    let mut rng = SplitMix64::new(seed);
    let (comfy, place) = (Comfy::new(), Place::new());
    let known = Mutex::new(Known::default());
    for _ in 0..rounds {
        let (server, gone) = (place.serve(), AtomicBool::new(false));
        let client = server.client.clone();
        let (mut of_client, lives_ms) = (SplitMix64::new(rng.next_u64()), rng.below(900));
        std::thread::scope(|scope| {
            scope.spawn(|| work(&client, &comfy, &known, &mut of_client, &gone));
            // The time is the test.
            std::thread::sleep(Duration::from_millis(lives_ms));
            server.kill();
            gone.store(true, Ordering::SeqCst);
        });
    }
    let known = known.into_inner().expect("no panic");
    let server = place.serve();
    let listed = server.client.runs();
    let acknowledged: Vec<&String> = known.wishes.values().flatten().collect();
    for run in &acknowledged {
        assert!(listed.contains(run), "run {run} was acknowledged");
    }
    // One wish at most is without an answer, and it was stored once or not at all.
    assert!(listed.len() <= known.wishes.len() && listed.len() + 1 >= known.wishes.len(), "{listed:?} for {:?}", known.wishes);
    let mut views = Vec::new();
    for run in &listed {
        views.push(server.client.over(run, &comfy));
    }
    server.stop();
    let ledger = comfy.fake.ledger();
    for view in &views {
        let (run, record) = (text(view, "run_id"), ledger.prompt(&text(view, "prompt_id")));
        let about = format!("run {run}, {record:?}: {view}");
        assert!(record.posts <= 1 && record.executions <= 1, "{about}");
        match view["status"].as_str().expect("a status") {
            "completed" => assert_eq!(record.executions, 1, "{about}"),
            "cancelled" => assert!(known.cancelled.contains(&run), "nobody cancelled {about}"),
            other => panic!("{other}: {about}"),
        }
        place.outputs_are_right(&comfy, view, &about);
        place.verify(&run, &about);
    }
    assert!(ledger.foreign_victims.is_empty(), "{:?}", ledger.foreign_victims);
    let ours = views.iter().filter(|view| ledger.prompt(&text(view, "prompt_id")).posts > 0).count();
    assert_eq!(ledger.prompts.len(), ours, "every prompt is a run's");
    // In the end a kill costs nothing that was there.
    let server = place.serve();
    for view in &views {
        let after = server.client.get(&format!("/api/v1/runs/{}", text(view, "run_id")));
        assert_eq!((&after["status"], &after["outputs"], &after["nodes"]), (&view["status"], &view["outputs"], &view["nodes"]));
    }
    server.stop();
}
