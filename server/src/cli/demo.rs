//! `comfyd demo`: a server, a built-in simulated ComfyUI and a sample run; no set-up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use comfyd_fixtures::{FakeComfy, FakeConfig, Folder, Picture};

use super::args;
use super::error::{CliError, Exit};
use super::handle::{self, Door};
use super::out::Out;
use super::signals::Signals;
use super::submit::Wish;
use super::{access, run};
use crate::server::{ServeOptions, start};

/// A text-to-image workflow as ComfyUI exports it.
const SAMPLE: &str = include_str!("demo.json");
/// The checkpoint that the sample names.
const CHECKPOINT: &str = "sd_xl_base_1.0.safetensors";
/// The models that the built-in templates name, and the picture that they load.
const TEMPLATE_MODELS: [&str; 2] = ["v1-5-pruned-emaonly-fp16.safetensors", "svd.safetensors"];
const EXAMPLE: &str = "example.png";
/// How much slower than the simulator's own pace: its sampler steps take 20 ms, those of a real one about 600.
const SLOWER: f64 = 30.0;
/// What every other node takes, before it is slowed down as well.
const NODE_TIME: Duration = Duration::from_millis(15);

/// `comfyd demo`
pub(crate) async fn demo(args: &args::Demo, out: Out) -> Result<Exit, CliError> {
    let dir = match &args.data_dir {
        Some(dir) => access::absolute(dir)?,
        None => access::default_dir("comfyd-demo")?,
    };
    let fake = FakeComfy::new(FakeConfig {
        time_scale: args.speed.clamp(0.01, 1000.0) / SLOWER,
        models: BTreeMap::from([(
            "checkpoints".to_owned(),
            [CHECKPOINT].into_iter().chain(TEMPLATE_MODELS).map(str::to_owned).collect(),
        )]),
        node_time: NODE_TIME,
        ..FakeConfig::default()
    });
    fake.put_file(Folder::Input, "", EXAMPLE, Picture::finished(512, 320, 7).png(&[]));
    let comfy = fake.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await;
    let comfy = comfy
        .map_err(|error| CliError::failed("cannot_listen", format!("failed to start the simulated ComfyUI: {error}"), ""))?;
    let mut options = ServeOptions::new(dir.clone());
    options.listen = args.listen;
    options.token = access::given_token(None)?.filter(|_| !args.listen.ip().is_loopback());
    options.default_url = Some(comfy.url());
    let running = start(options).await.map_err(|error| handle::cannot_start(&error))?;
    out.say("A simulated ComfyUI runs a sample: nothing here needs a GPU.")?;
    out.say(format!("Page: {}", running.page()))?;
    let door = Door::own(dir, running);
    let exit = sample(&door, &comfy.url(), out).await;
    match (&exit, args.once) {
        (Ok(Exit::Detached) | Err(_), _) | (Ok(_), true) => {}
        (Ok(_), false) => serve_on(out).await?,
    }
    door.leave().await;
    drop(comfy);
    exit
}

async fn sample(door: &Door, url: &str, out: Out) -> Result<Exit, CliError> {
    let wish = Wish::inline(SAMPLE).named("txt2img sample").on(url).setting("3.seed", &fresh_seed());
    let created = wish.send(door.client()).await?;
    run::follow_to_exit(door, &created.run_id, Duration::from_mins(1), None, out).await
}

/// Another seed each time, so that nothing is cached from the last demo.
fn fresh_seed() -> String {
    super::time::now().0.to_string()
}

async fn serve_on(out: Out) -> Result<(), CliError> {
    out.say("The server keeps running. Ctrl-C ends it.")?;
    Signals::listen()?.next().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_names_the_checkpoint_that_is_there() {
        let sample: serde_json::Value = serde_json::from_str(SAMPLE).expect("JSON");
        assert_eq!(sample["4"]["inputs"]["ckpt_name"], CHECKPOINT);
        assert_eq!(sample["3"]["class_type"], "KSampler");
    }
}
