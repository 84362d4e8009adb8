//! Many runs on a machine that cannot be reached: it is asked by one, and with patience.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use comfyd_engine::RunId;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::World;

const RUNS: usize = 100;

/// Takes connections at a port, and lets each hang until it is told to end it.
struct Hanging {
    taken: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    ends: Arc<Semaphore>,
}

impl Hanging {
    fn at(listener: TcpListener) -> Self {
        let count = Arc::<AtomicUsize>::default;
        let this = Self { taken: count(), open: count(), most: count(), ends: Arc::new(Semaphore::new(0)) };
        let (taken, open, most, ends) =
            (Arc::clone(&this.taken), Arc::clone(&this.open), Arc::clone(&this.most), Arc::clone(&this.ends));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                taken.fetch_add(1, Ordering::SeqCst);
                most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let (open, ends) = (Arc::clone(&open), Arc::clone(&ends));
                tokio::spawn(async move {
                    let mut said = [0; 1024];
                    tokio::select! {
                        end = ends.acquire() => if let Ok(end) = end { end.forget() },
                        // Whoever gives up closes it.
                        () = async { while stream.read(&mut said).await.is_ok_and(|n| n > 0) {} } => {}
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        this
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

/// Takes the machine away, and waits until that is noticed: what is posted just then is in doubt, as it must be.
async fn gone(world: &mut World) -> String {
    world.completed(world.first).await;
    let instance = world.instance_of(world.first).await;
    world.sshd.down();
    world.wait_for("noticed", || world.instance(&instance).state == "unreachable").await;
    instance
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runs_ask_a_machine_that_is_gone_as_one() {
    let mut world = World::trusted(&[], 50.0).await;
    let instance = gone(&mut world).await;
    let listener = TcpListener::bind(("127.0.0.1", world.sshd.port())).await.expect("the port is free");
    let gate = Hanging::at(listener);
    let runs: Vec<RunId> = futures_util::future::join_all((0..RUNS).map(|_| world.run_on(&instance))).await;
    let told = |view: &comfyd_engine::RunView| view.attention.as_ref().is_some_and(|it| it.kind == "unreachable");
    let mut lookers = JoinSet::new();
    for attempt in 1..5 {
        world.wait_for("tried again", || gate.taken() >= attempt).await;
        // While one hangs everybody waits for that one, also who looks at the instance.
        for _ in 0..20 {
            let (app, instance) = (world.running.app.clone(), instance.clone());
            lookers.spawn(async move { app.instance_stats(&instance).await.is_ok() });
        }
        gate.ends.add_permits(1);
    }
    for run in &runs {
        world.until(*run, "told", told).await;
        assert_eq!(world.posts_of(*run), 0);
    }
    assert_eq!(gate.most.load(Ordering::SeqCst), 1, "one at a time");
    gate.ends.add_permits(RUNS);
    while let Some(answered) = lookers.join_next().await {
        assert!(!answered.expect("it does not panic"), "nobody answers");
    }
    world.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_waited_for_a_machine_share_its_connections() {
    let mut world = World::trusted(&[], 50.0).await;
    let instance = gone(&mut world).await;
    let runs: Vec<RunId> = futures_util::future::join_all((0..RUNS).map(|_| world.run_on(&instance))).await;
    let before = world.logins();
    world.sshd.up().expect("sshd again");
    for run in runs {
        world.completed(run).await;
        assert_eq!(world.posts_of(run), 1);
    }
    // One for what is quick, one for what is large.
    assert!(world.logins() - before <= 2, "{} logins", world.logins() - before);
    world.ends().await;
}
