//! What may be typed for a run: its id, its workflow id, a piece of the id that only one run has, or `last`.

use serde::Deserialize;

use super::client::Client;
use super::error::CliError;
use super::runs::path_of;
use super::text::clean;

/// The shortest piece of an id; ids of the same minutes begin alike, so the end is what people take.
const SHORTEST: usize = 4;
/// How many runs with a piece are looked at.
const LOOKED_AT: usize = 200;
/// How many are named when a piece is not enough.
const NAMED: usize = 5;

#[derive(Deserialize)]
struct Listed {
    runs: Vec<Known>,
}

#[derive(Deserialize)]
struct Known {
    run_id: String,
    #[serde(default)]
    workflow_name: String,
}

/// The run that was typed, as the server knows it.
pub(crate) async fn resolve(client: &Client, typed: &str) -> Result<String, CliError> {
    if typed == "last" {
        let newest: Listed = client.get("/api/v1/runs?limit=1").await?;
        return newest.runs.into_iter().next().map(|run| run.run_id).ok_or_else(|| {
            CliError::usage(
                "unknown_run",
                "there is no run yet",
                "Start one: comfyd run WORKFLOW.json --url http://127.0.0.1:8188",
            )
        });
    }
    let Some(piece) = piece(typed) else { return path_of(typed).map(|_| typed.to_owned()) };
    let listed: Listed = client.get(&format!("/api/v1/runs?text={piece}&limit={LOOKED_AT}")).await?;
    let found =
        listed.runs.iter().filter(|run| is_piece_of(&piece, &run.run_id)).map(|run| (run.run_id.as_str(), &run.workflow_name));
    one(typed, found.map(|(id, name)| (id.to_owned(), name.clone())).collect())
}

/// The same among ids alone, for when no server is asked.
pub(crate) fn among(typed: &str, mut ids: Vec<String>) -> Result<String, CliError> {
    ids.sort_unstable();
    if typed == "last" {
        // Ids begin with the time, so the last one is the newest.
        return ids.pop().ok_or_else(|| unknown(typed));
    }
    let Some(piece) = piece(typed) else { return path_of(typed).map(|_| typed.to_owned()) };
    one(typed, ids.into_iter().filter(|id| is_piece_of(&piece, id)).map(|id| (id, String::new())).collect())
}

/// The typed text as a piece of an id, if it is one and not a whole.
fn piece(typed: &str) -> Option<String> {
    let hex = typed.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let digits = typed.bytes().filter(u8::is_ascii_hexdigit).count();
    (hex && digits >= SHORTEST && typed.len() < 36).then(|| typed.to_ascii_lowercase())
}

fn is_piece_of(piece: &str, id: &str) -> bool {
    id.starts_with(piece) || id.ends_with(piece)
}

fn one(typed: &str, mut found: Vec<(String, String)>) -> Result<String, CliError> {
    match found.len() {
        0 => Err(unknown(typed)),
        1 => Ok(found.swap_remove(0).0),
        count => {
            let message = format!("`{}` is a piece of {count} run ids", clean(typed));
            let named = found.iter().take(NAMED).map(|(id, name)| format!("{id} {name}").trim_end().to_owned());
            let more = (count > NAMED).then(|| format!("and {} more", count - NAMED));
            let details = named.chain(more).collect::<Vec<_>>().join("\n");
            let error = CliError::usage("ambiguous_run", message, "Type more of it; the end of an id differs most.");
            Err(error.with_details(Some(details)))
        }
    }
}

fn unknown(typed: &str) -> CliError {
    let message = format!("no run id begins or ends with `{}`", clean(typed));
    CliError::usage("unknown_run", message, "List the runs with `comfyd runs`.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0193a1b2-0000-7000-8000-000000abc123";
    const B: &str = "0193a1b2-0000-7000-8000-000000abd123";

    fn found(typed: &str) -> Result<String, String> {
        among(typed, vec![B.to_owned(), A.to_owned()]).map_err(|error| error.code)
    }

    #[test]
    fn pieces_of_ids() {
        assert_eq!(found("c123").as_deref(), Ok(A));
        assert_eq!(found("ABD123").as_deref(), Ok(B));
        assert_eq!(found("last").as_deref(), Ok(B));
        assert_eq!(found(A).as_deref(), Ok(A));
        assert_eq!(found("comfyui_workflow_1_abc123").as_deref(), Ok("comfyui_workflow_1_abc123"));
        assert_eq!(found("0193").expect_err("both"), "ambiguous_run");
        assert_eq!(found("0000"), Err("unknown_run".to_owned()), "the middle does not count");
        assert_eq!(found("ffff"), Err("unknown_run".to_owned()));
        assert_eq!(found("123").as_deref(), Ok("123"), "too short for a piece: the server says that it is unknown");
        assert!(found("../x").is_err());
        assert_eq!(among("last", vec![]).expect_err("none").code, "unknown_run");
    }

    #[test]
    fn what_is_ambiguous_is_listed() {
        let ids: Vec<_> = (0..8).map(|n| format!("0193a1b2-0000-7000-8000-00000000000{n}")).collect();
        let error = among("0193a1b2", ids).expect_err("eight");
        let details = error.details.expect("a list");
        assert_eq!((details.lines().count(), details.lines().last()), (NAMED + 1, Some("and 3 more")));
    }
}
