//! How many frames a second a link takes in: from the socket through parsing and coalescing to the engine, on one core.

use std::io;
use std::sync::Arc;

use comfyd_adapters::comfy::http::Client;
use comfyd_adapters::comfy::link::{Link, LinkConfig, LinkDeps};
use comfyd_adapters::comfy::parse;
use comfyd_adapters::env::SystemRng;
use comfyd_adapters::transport::{Stream, Transport};
use comfyd_engine::testkit::{Rig, instance_id, planned_node, run_id, small_run};
use comfyd_engine::{ClientId, ComfyEvent, Input, Limits, PromptId, Request, Workload};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;

fn main() {
    divan::main();
}

/// Frames of one sample.
const FRAMES: usize = 20_000;
/// The nodes of one state: about 1 KB.
const NODES: usize = 5;

fn state(step: usize) -> String {
    let prompt = PromptId::from(run_id(1));
    let node = |n: usize| {
        format!(
            r#""{n}": {{"value": {}, "max": 4000000, "state": "running", "node_id": "{n}", "prompt_id": "{prompt}", "display_node_id": "{n}", "parent_node_id": null, "real_node_id": "{n}"}}"#,
            step + n
        )
    };
    let nodes: Vec<String> = (1..=NODES).map(node).collect();
    format!(r#"{{"type": "progress_state", "data": {{"prompt_id": "{prompt}", "nodes": {{{}}}}}}}"#, nodes.join(", "))
}

/// A frame as a server writes it.
fn written(text: &str, out: &mut Vec<u8>) {
    out.push(0x81);
    match u16::try_from(text.len()) {
        Ok(length @ ..126) => out.push(u8::try_from(length).expect("below 126")),
        Ok(length) => {
            out.push(126);
            out.extend(length.to_be_bytes());
        }
        Err(_) => unreachable!("states are small"),
    }
    out.extend(text.as_bytes());
}

/// A server of canned answers, whose socket sends what it is given.
struct Canned(mpsc::Sender<DuplexStream>);

impl Transport for Canned {
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        let (near, far) = tokio::io::duplex(256 << 10);
        let sockets = self.0.clone();
        tokio::spawn(serve(far, sockets));
        Box::pin(std::future::ready(Ok(Box::new(near) as Box<dyn Stream>)))
    }

    fn host(&self) -> String {
        "canned:1".to_owned()
    }
}

async fn serve(mut stream: DuplexStream, sockets: mpsc::Sender<DuplexStream>) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let header = |name: &str| {
            head.lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        };
        if let Some(key) = header("sec-websocket-key") {
            let accept = derive_accept_key(key.as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await?;
            let mut flags = Vec::new();
            written(r#"{"type": "feature_flags", "data": {}}"#, &mut flags);
            stream.write_all(&flags).await?;
            return sockets.send(stream).await.map_err(io::Error::other);
        }
        let body = match head.split(' ').nth(1) {
            Some("/system_stats") => r#"{"system": {"comfyui_version": "0.8.0"}}"#.to_owned(),
            Some("/queue") => {
                format!(r#"{{"queue_running": [[0, "{}", {{}}, {{}}, []]], "queue_pending": []}}"#, PromptId::from(run_id(1)))
            }
            Some(_) | None => "{}".to_owned(),
        };
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// Socket, parser, mailbox and engine together; only what the mailbox lets through reaches the engine.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn socket_to_engine(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (mut socket, mut inputs, mut rig, stop) = runtime.block_on(connected());
    let mut frames = Vec::new();
    (0..FRAMES).for_each(|step| written(&state(step * 100), &mut frames));
    let bytes = frames.len();
    let mut last = Vec::new();
    written(r#"{"type": "executing", "data": {"node": "1", "prompt_id": "somebody else's"}}"#, &mut last);
    bencher.counter(ItemsCount::new(FRAMES)).counter(BytesCount::new(bytes)).bench_local(|| {
        runtime.block_on(async {
            let feed = async {
                socket.write_all(&frames).await.expect("the link reads");
                socket.write_all(&last).await.expect("the link reads");
            };
            let fold = async {
                loop {
                    let input = inputs.recv().await.expect("the link lives");
                    let ends = matches!(&input, Input::Observed(_, ComfyEvent::NodeStarted { .. }));
                    rig.say(input).expect("an observation is never refused");
                    if ends {
                        break;
                    }
                }
            };
            tokio::join!(feed, fold)
        })
    });
    stop.cancel();
}

async fn connected() -> (DuplexStream, mpsc::Receiver<Input>, Rig, CancellationToken) {
    let mut rig = Rig::new(Limits::default());
    rig.online("gpu-a");
    let mut spec = small_run("gpu-a");
    let Workload::Prompt(prompt) = &mut spec.workload;
    prompt.nodes = (1..=NODES).map(|n| planned_node(&n.to_string(), &[])).collect();
    prompt.outputs = Some(prompt.nodes.iter().map(|node| node.id.clone()).collect());
    rig.say(Input::Request(run_id(1), Request::Create { spec: Box::new(spec), blobs: vec![] })).expect("a new run");
    let (opened, mut sockets) = mpsc::channel(4);
    let (inputs, received) = mpsc::channel(1024);
    // The sender lives as long as the program: nobody changes what is watched.
    let (watched, watching) = watch::channel(vec![(run_id(1), PromptId::from(run_id(1)))]);
    std::mem::forget(watched);
    let (previews, _) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let config = LinkConfig::new(instance_id("gpu-a"), ClientId("bench".into()), Client::new(Arc::new(Canned(opened))));
    let rng = Arc::new(SystemRng::default());
    Link::spawn(config, LinkDeps { inputs, watched: watching, previews, rng, shutdown: stop.clone() });
    let socket = sockets.recv().await.expect("the link opens a socket");
    (socket, received, rig, stop)
}

/// The parser alone.
#[divan::bench]
fn parse_a_state(bencher: Bencher<'_, '_>) {
    let text = state(7);
    bencher
        .counter(ItemsCount::new(1_u32))
        .counter(BytesCount::of_str(&text))
        .bench_local(|| parse::text(black_box(&text)).expect("a good frame"));
}
