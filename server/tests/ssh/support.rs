//! A machine with an SSH server and a ComfyUI, and a comfyd.

use std::path::{Path, PathBuf};
use std::time::Duration;

use comfyd_adapters::comfy::tuning::Tuning;
use comfyd_adapters::ssh::Surroundings;
use comfyd_engine::{RunId, RunView};
use comfyd_fixtures::netns::Namespace;
use comfyd_fixtures::sshd::Sshd;
use comfyd_fixtures::wire::Wire;
use comfyd_fixtures::{FakeComfy, FakeConfig, FakeServer, workflows};
use comfyd_server::app::{Execute, Filter, Source, Target};
use comfyd_server::instances::{InstanceView, Place, SetInstance, SshWish};
use comfyd_server::server::{Running, ServeOptions, start};
use tempfile::TempDir;

/// Nothing that is waited for takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// How often something is looked at that nothing tells of.
const GLANCE: Duration = Duration::from_millis(10);

/// A workflow that takes some seconds at its own pace.
pub(crate) const SAMPLE: &str = "20_custom_slow_previews";

pub(crate) struct World {
    /// The run that was there when the machine was accepted.
    pub(crate) first: RunId,
    pub(crate) sshd: Sshd,
    /// The line to it, where there is one that can be cut.
    wire: Option<Wire>,
    /// The network that the line ends in, where it is another one than ours.
    net: Option<Namespace>,
    pub(crate) fake: FakeServer,
    pub(crate) running: Running,
    pub(crate) dir: TempDir,
}

impl World {
    /// A machine that nobody knows yet. `settings` are lines of its `sshd_config`.
    pub(crate) async fn new(settings: &[&str], time_scale: f64) -> Self {
        Self::over(None, Sshd::start(settings).expect("sshd"), time_scale).await
    }

    /// A machine that is trusted, at the end of a line.
    pub(crate) async fn wired(settings: &[&str], time_scale: f64) -> Self {
        let sshd = Sshd::start(settings).expect("sshd");
        let wire = Wire::to(([127, 0, 0, 1], sshd.port()).into()).await.expect("a free port");
        Self::over(Some(wire), sshd, time_scale).await.trust().await
    }

    /// A machine that is trusted, whose line can be cut: one that falls silent, or with `COMFYD_NETWORK`, as root, that to a network of its own.
    pub(crate) async fn cuttable(number: u8) -> Self {
        if std::env::var_os("COMFYD_NETWORK").is_none() {
            return Self::wired(&[], 1.0).await;
        }
        let sshd = Sshd::start(&[]).expect("sshd");
        let net = Namespace::new(number).expect("a network: run it as root, with iproute2");
        let listener = net.listener().expect("a free port");
        let wire = Wire::between(listener, ([127, 0, 0, 1], sshd.port()).into()).expect("it listens");
        let world = Self::over(Some(wire), sshd, 1.0).await;
        Self { net: Some(net), ..world }.trust().await
    }

    async fn over(wire: Option<Wire>, sshd: Sshd, time_scale: f64) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let fake = FakeComfy::new(FakeConfig { time_scale, folder: Some(dir.path().join("comfyui")), ..FakeConfig::default() });
        let fake = fake.listen("127.0.0.1:0").await.expect("a free port");
        std::fs::copy(sshd.key(), sshd.home().join(".ssh/id_ed25519")).expect("the key is where it is looked for");
        let running = start(options(&sshd, &dir)).await.expect("the server starts");
        Self { first: RunId::new(uuid::Uuid::nil()), sshd, wire, net: None, fake, running, dir }
    }

    /// The same, and the machine is trusted.
    pub(crate) async fn trusted(settings: &[&str], time_scale: f64) -> Self {
        Self::new(settings, time_scale).await.trust().await
    }

    async fn trust(self) -> Self {
        let fingerprint = self.sshd.fingerprint().expect("a fingerprint");
        let first = self.run(SAMPLE).await;
        let instance = self.instance_of(first).await;
        self.running.app.trust_instance(&instance, &fingerprint, false).await.expect("it presents this key");
        Self { first, ..self }
    }

    pub(crate) fn wish(&self) -> SshWish {
        let comfyui_port = Some(self.fake.local_addr().port());
        SshWish { connection: self.command(), comfyui_port, ..SshWish::default() }
    }

    /// What a rental site would print.
    pub(crate) fn command(&self) -> String {
        let at = self.wire.as_ref().map_or(([127, 0, 0, 1], self.sshd.port()).into(), Wire::local_addr);
        format!("ssh -p {} {}@{}", at.port(), self.sshd.user(), at.ip())
    }

    /// The line to the machine.
    pub(crate) fn wire(&self) -> &Wire {
        self.wire.as_ref().expect("this world has one")
    }

    /// Nothing gets through any more, and nobody is told; a line that falls silent is noticed by then.
    pub(crate) async fn cut(&self) {
        if let Some(net) = &self.net {
            return net.cut().expect("cut");
        }
        let before = self.wire().accepted();
        self.wire().silence();
        self.wait_for("tried again", || self.wire().accepted() > before).await;
    }

    /// Everything gets through again.
    pub(crate) fn mend(&self) {
        match &self.net {
            Some(net) => net.mend().expect("mended"),
            None => self.wire().open(),
        }
    }

    /// Where `ComfyUI` keeps its files.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join("comfyui").join(name)
    }

    /// From now on comfyd knows where outputs lie.
    pub(crate) async fn knows_outputs(&self) {
        self.outputs_in(&self.folder("output")).await;
    }

    /// From now on outputs lie in this folder, as far as comfyd knows.
    pub(crate) async fn outputs_in(&self, folder: &Path) {
        let instance = self.instance_of(self.first).await;
        let wish = SshWish { output_dir: Some(folder.display().to_string()), ..self.wish() };
        let change = SetInstance { place: Some(Place::Ssh(wish)), ..SetInstance::default() };
        self.running.app.set_instance(&instance, change).await.expect("the machine stays the same");
        assert_eq!(self.instance(&instance).trusted.len(), 1, "and so does its key");
    }

    /// Starts a sample workflow on the machine.
    pub(crate) async fn run(&self, sample: &str) -> RunId {
        self.execute(Execute::new(Source::Inline {
            text: workflows::named(sample).expect("a fixture").json.to_owned(),
            file: None,
        }))
        .await
    }

    /// Starts something on the machine.
    pub(crate) async fn execute(&self, wish: Execute) -> RunId {
        let wish = Execute { target: Some(Target::Ssh(self.wish())), ..wish };
        self.running.app.execute(wish).await.expect("it is taken").run_id
    }

    /// How often somebody was let in by the machine.
    pub(crate) fn logins(&self) -> usize {
        self.sshd.log().matches("Accepted publickey").count()
    }

    /// Waits for something that nothing tells of.
    pub(crate) async fn wait_for(&self, what: &str, is: impl Fn() -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !is() {
            assert!(
                tokio::time::Instant::now() < deadline,
                "not {what}\n{:?}\n{}",
                self.running.app.list(&Filter::default()),
                self.sshd.log()
            );
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Starts it on an instance that is known.
    pub(crate) async fn run_on(&self, instance: &str) -> RunId {
        let text = workflows::named(SAMPLE).expect("a fixture").json.to_owned();
        let target = Some(Target::Instance(instance.parse().expect("a name")));
        let wish = Execute { target, ..Execute::new(Source::Inline { text, file: None }) };
        self.running.app.execute(wish).await.expect("it is taken").run_id
    }

    pub(crate) async fn instance_of(&self, run: RunId) -> String {
        self.running.app.view(run).await.expect("a view").instance.to_string()
    }

    pub(crate) fn instance(&self, name: &str) -> InstanceView {
        self.running.app.instance(name).expect("it is known")
    }

    /// The run, as soon as it is as wanted.
    pub(crate) async fn until(&self, run: RunId, what: &str, wanted: impl Fn(&RunView) -> bool) -> RunView {
        let waiting = async {
            let mut views = self.running.app.watch(run);
            loop {
                let view = self.running.app.view(run).await.expect("a view");
                if wanted(&view) {
                    return view;
                }
                match &mut views {
                    Some(changes) => drop(changes.changed().await),
                    None => panic!("it is over, and not {what}: {view:?}"),
                }
            }
        };
        if let Ok(view) = tokio::time::timeout(PATIENCE, waiting).await {
            return view;
        }
        panic!("not {what}: {:?}\n{}", self.running.app.view(run).await, self.sshd.log());
    }

    pub(crate) async fn completed(&self, run: RunId) -> RunView {
        let view = self.until(run, "over", |view| view.timing.end_time.is_some()).await;
        assert_eq!(view.status.as_str(), "completed", "{view:?}");
        view
    }

    pub(crate) fn posts_of(&self, run: RunId) -> u32 {
        self.fake.fake().ledger().prompt(&run.to_string()).posts
    }

    /// The next life of the server.
    pub(crate) async fn restarted(self) -> Self {
        let Self { first, sshd, wire, net, fake, running, dir } = self;
        running.stop();
        running.join().await.expect("it ends well");
        let running = start(options(&sshd, &dir)).await.expect("the server starts");
        Self { first, sshd, wire, net, fake, running, dir }
    }

    pub(crate) async fn ends(self) {
        self.running.stop();
        self.running.join().await.expect("it ends well");
    }
}

fn options(sshd: &Sshd, dir: &TempDir) -> ServeOptions {
    let known_hosts = vec![sshd.home().join(".ssh/known_hosts")];
    ServeOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        min_free: 0,
        // So that a machine that is silent is noticed within seconds.
        tuning: Tuning { ssh_keepalive: Duration::from_secs(1), ..Tuning::default() },
        surroundings: Some(Surroundings { home: Some(sshd.home()), agent: None, known_hosts }),
        ..ServeOptions::new(dir.path().join("data"))
    }
}
