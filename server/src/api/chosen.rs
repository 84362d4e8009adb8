//! Outputs of several runs as one file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

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

/// How many outputs one archive has at most.
const MOST: usize = 500;

/// Which outputs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The outputs with commas between, each as `RUN/N`: a run id or a `workflow_id`, and the number of the output. 500 at most.
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
    let mut views: HashMap<RunId, RunView> = HashMap::new();
    let mut wanted: Vec<(RunId, u32)> = Vec::new();
    for (name, n) in query.parts()? {
        let run = ctx.app.resolve(name)?;
        if let Entry::Vacant(place) = views.entry(run) {
            place.insert(ctx.app.view(run).await?);
        }
        if !wanted.contains(&(run, n)) {
            wanted.push((run, n));
        }
    }
    let many = views.len() > 1;
    let items = wanted.iter().map(|(run, n)| {
        let view = &views[run];
        let output = view.outputs.iter().find(|output| output.n == *n).ok_or_else(|| crate::history::no_such_output(*run, *n))?;
        let folder = crate::outputs::folder(&ctx.app.history.root, *run);
        let item = archive::item(&folder, output).ok_or_else(|| {
            let message = format!("output {n} of run {run} is not stored here");
            Problem::new(409, "not_stored", message, "Wait until `downloaded` is true.")
        })?;
        Ok(if many { Item { name: format!("{run}/{}", item.name), ..item } } else { item })
    });
    let items = items.collect::<Result<Vec<_>, Problem>>()?;
    let made = views.values().map(archive::made).max_by_key(DateTime::datepart).unwrap_or_default();
    let response: Response = archive::answer(items, made, "outputs.zip", place).await?;
    Ok(response)
}
