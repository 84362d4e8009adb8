//! `comfyd outputs`: what a run made, and where it is.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use comfyd_adapters::digest::hex;
use http_body_util::BodyExt;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::args;
use super::client::Client;
use super::error::CliError;
use super::handle::Door;
use super::out::{Form, Out};
use super::text::{clean, clean_lines, size};
use super::wire::{OutputDoc, RunDoc};

/// `comfyd outputs`
pub(crate) async fn outputs(args: &args::Outputs, out: Out) -> Result<(), CliError> {
    let door = Door::open(&args.door).await?;
    let listed = list_wanted(&door, args, out).await;
    door.close(out).await;
    listed
}

async fn list_wanted(door: &Door, args: &args::Outputs, out: Out) -> Result<(), CliError> {
    let name = super::names::resolve(door.client(), &args.run).await?;
    let mut run = super::runs::read(door.client(), &name).await?.1;
    if let Some(n) = args.numbers.iter().find(|n| run.outputs.iter().all(|output| output.n != **n)) {
        let message = format!("run {name} has no output {n}");
        return Err(CliError::usage("no_such_output", message, "Leave the numbers out to list them all."));
    }
    run.outputs.retain(|output| args.numbers.is_empty() || args.numbers.contains(&output.n));
    let fetched = match &args.to {
        Some(to) => fetch_all(door.client(), &run, to).await?,
        None => vec![],
    };
    list(&run, door.client().directory(), &fetched, out)
}

/// Prints the outputs with the place of each on this machine.
pub(crate) fn list(run: &RunDoc, data: Option<&Path>, fetched: &[(u32, PathBuf)], out: Out) -> Result<(), CliError> {
    for output in &run.outputs {
        let got = fetched.iter().find(|(n, _)| *n == output.n).map(|(_, path)| path.clone());
        let place = got.or_else(|| local_path(run, output, data));
        match out.form() {
            Form::Json => {
                let path = place.map(|path| path.display().to_string());
                out.line(json!({
                    "n": output.n, "node_id": output.node_id, "type": output.kind, "filename": output.filename, "downloaded": output.downloaded,
                    "size": output.size, "sha256": output.sha256, "text": output.text, "problem": output.problem, "path": path,
                }))?;
            }
            Form::Human => describe(output, place.as_deref()).into_iter().try_for_each(|line| out.line(line))?,
        }
    }
    Ok(())
}

fn describe(output: &OutputDoc, place: Option<&Path>) -> Vec<String> {
    if let Some(text) = &output.text {
        let head = format!("output {} of node {}: text", output.n, clean(output.node_id.as_str()));
        return std::iter::once(head).chain(clean_lines(text).into_iter().map(|line| format!("  {line}"))).collect();
    }
    let name = match place {
        Some(path) => clean(&path.display().to_string()),
        None => clean(&output.filename),
    };
    let bytes = output.size.map(|bytes| format!(" ({})", size(bytes))).unwrap_or_default();
    let state = match (&output.problem, output.downloaded) {
        (Some(why), _) => format!(": {}", clean(why)),
        (None, true) => String::new(),
        (None, false) => ": not here yet".to_owned(),
    };
    vec![format!("output {} {}: {name}{bytes}{state}", output.n, clean(&output.kind))]
}

/// Where the server keeps it, if that is on this machine.
fn local_path(run: &RunDoc, output: &OutputDoc, data: Option<&Path>) -> Option<PathBuf> {
    let data = data?;
    if let Some(copy) = &output.copied_to {
        return Some(PathBuf::from(copy));
    }
    Some(data.join("runs").join(&run.run_id).join("outputs").join(plain_name(output.local_name.as_ref()?)?))
}

/// A name that stays in its directory.
fn plain_name(name: &str) -> Option<&str> {
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    plain.then_some(name)
}

/// Fetches all stored outputs into a directory; gives where each is.
pub(crate) async fn fetch_all(client: &Client, run: &RunDoc, to: &Path) -> Result<Vec<(u32, PathBuf)>, CliError> {
    std::fs::create_dir_all(to).map_err(|error| CliError::unwritable(to, &error))?;
    let mut fetched = Vec::new();
    for output in run.outputs.iter().filter(|output| output.downloaded && output.text.is_none()) {
        fetched.push((output.n, fetch(client, run, output, to).await?));
    }
    Ok(fetched)
}

async fn fetch(client: &Client, run: &RunDoc, output: &OutputDoc, to: &Path) -> Result<PathBuf, CliError> {
    let name = output.local_name.as_deref().and_then(plain_name).map_or_else(|| format!("{}-output", output.n), str::to_owned);
    let free = free_name(to, &name, output.sha256.as_deref())?;
    let Free::New(path) = free else { return Ok(to.join(name)) };
    let part = to.join(format!(".{name}.{}.part", run.run_id));
    let done = download(client, run, output, &part).await.and_then(|()| {
        // A hard link fails where a file is already, unlike a rename.
        std::fs::hard_link(&part, &path).map_err(|error| CliError::unwritable(&path, &error))
    });
    // What is left of a failed download is of no use; a later one begins anew.
    let _ = std::fs::remove_file(&part);
    done.map(|()| path)
}

enum Free {
    /// Nothing is there.
    New(PathBuf),
    /// The very same file is there.
    Same,
}

fn free_name(to: &Path, name: &str, sha256: Option<&str>) -> Result<Free, CliError> {
    let (stem, ending) = name.rsplit_once('.').map_or((name, String::new()), |(stem, ending)| (stem, format!(".{ending}")));
    let first = to.join(name);
    if !first.exists() {
        return Ok(Free::New(first));
    }
    let there = std::fs::read(&first).map_err(|error| CliError::unreadable(&first, &error))?;
    if sha256 == Some(hex(&Sha256::digest(&there)).as_str()) {
        return Ok(Free::Same);
    }
    let free = (1..10_000).map(|n| to.join(format!("{stem}-{n}{ending}"))).find(|path| !path.exists());
    free.map(Free::New).ok_or_else(|| {
        let message = format!("{} and thousands of names like it are taken", first.display());
        CliError::failed("name_taken", message, "Name another directory with --to.")
    })
}

async fn download(client: &Client, run: &RunDoc, output: &OutputDoc, part: &Path) -> Result<(), CliError> {
    let broken = |why: String| {
        CliError::failed(
            "download_broken",
            format!("output {} did not come whole: {why}", output.n),
            "Try again; nothing is overwritten.",
        )
    };
    let unwritable = |error: std::io::Error| CliError::unwritable(part, &error);
    let path = format!("/api/v1/runs/{}/outputs/{}/content", run.run_id, output.n);
    let mut body = client.get_stream(&path).await?.into_body();
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(part).map_err(unwritable)?;
    let mut hash = Sha256::new();
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.map_err(|error| broken(error.to_string()))?.into_data() {
            hash.update(&bytes);
            file.write_all(&bytes).map_err(unwritable)?;
        }
    }
    file.sync_all().map_err(unwritable)?;
    let got = hex(&hash.finalize());
    match &output.sha256 {
        Some(want) if *want != got => Err(broken(format!("its hash is {got}, not {want}"))),
        Some(_) | None => Ok(()),
    }
}
