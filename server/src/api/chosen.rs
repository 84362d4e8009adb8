//! Outputs of several runs as one file.

use std::collections::{BTreeSet, HashMap};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use comfyd_engine::{RunId, RunView};
use serde::Deserialize;
use utoipa::IntoParams;
use zip::DateTime;

use super::archive::{self, Item};
use super::reply::{Answer, query_of};
use super::routes::Ctx;
use crate::problem::Problem;

/// How many outputs one archive has at most: so many names fit into the head of a request.
const MOST: usize = 300;

/// Which outputs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The outputs with commas between, each as `RUN/N`: a run id or a `workflow_id`, and the number of the output. 300 at most.
    #[param(pattern = "^[^/,]+/[1-9][0-9]*(,[^/,]+/[1-9][0-9]*)*$")]
    of: String,
}

impl Wanted {
    /// The runs by name with the numbers, in their order.
    fn parts(&self) -> Result<Vec<(&str, u32)>, Problem> {
        let words: Vec<&str> = self.of.split(',').collect();
        if words.len() > MOST {
            let message = format!("`of` names {} outputs, and one archive has {MOST} at most", words.len());
            return Err(Problem::invalid("bad_query", message, "Ask for them in several archives."));
        }
        let parts = words.into_iter().map(|word| {
            part(word).ok_or_else(|| {
                let word: String = word.chars().take(80).collect();
                let hint = "Give a run and the number of an output, such as `RUN/1`, with commas between several.";
                Problem::invalid("bad_query", format!("`of` cannot be `{word}`"), hint)
            })
        });
        parts.collect()
    }
}

fn part(word: &str) -> Option<(&str, u32)> {
    let (run, number) = word.split_once('/')?;
    let is_plain = !run.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    Some((run, number.parse().ok().filter(|_| is_plain)?))
}

/// Gives some outputs, of one run or of several, as a zip archive.
#[utoipa::path(get, path = "/api/v1/outputs.zip", operation_id = "getChosenZip", tag = "runs",
    params(Wanted),
    responses(
        (status = 200, description = "The archive, with a folder for each run where there are several; its files are not compressed.", body = String, content_type = "application/zip"),
        (status = 404, description = "There is no such output.", body = Problem),
        (status = 409, description = "One is not stored here.", body = Problem),
        (status = 410, description = "A stored file is gone.", body = Problem),
    ))]
pub(super) async fn chosen(State(ctx): State<Ctx>, query: Result<Query<Wanted>, QueryRejection>) -> Answer {
    let query = query_of(query)?;
    let place = ctx.limits.work()?;
    let mut wanted: Vec<(RunId, u32)> = Vec::new();
    for (name, n) in query.parts()? {
        let one = (ctx.app.resolve(name)?, n);
        if !wanted.contains(&one) {
            wanted.push(one);
        }
    }
    let runs: BTreeSet<RunId> = wanted.iter().map(|(run, _)| *run).collect();
    let mut found: HashMap<(RunId, u32), Item> = HashMap::new();
    let mut made = None;
    // One run after the other: what is known of one may be large.
    for run in &runs {
        let view = ctx.app.view(*run).await?;
        made = made.into_iter().chain([archive::made(&view)]).max_by_key(DateTime::datepart);
        for n in wanted.iter().filter(|(of, _)| of == run).map(|(_, n)| *n) {
            let item = item(&ctx, &view, *run, n)?;
            found.insert((*run, n), if runs.len() > 1 { Item { name: format!("{run}/{}", item.name), ..item } } else { item });
        }
    }
    let items: Vec<Item> = wanted.iter().filter_map(|one| found.remove(one)).collect();
    let response: Response = archive::answer(items, made.unwrap_or_default(), "outputs.zip", place).await?;
    Ok(response)
}

/// One of the outputs of a run.
fn item(ctx: &Ctx, view: &RunView, run: RunId, n: u32) -> Result<Item, Problem> {
    let output = view.outputs.iter().find(|output| output.n == n).ok_or_else(|| crate::history::no_such_output(run, n))?;
    let folder = crate::outputs::folder(&ctx.app.history.root, run);
    archive::item(&folder, output).ok_or_else(|| {
        let message = format!("output {n} of run {run} is not stored here");
        Problem::new(409, "not_stored", message, "Wait until `downloaded` is true.")
    })
}
