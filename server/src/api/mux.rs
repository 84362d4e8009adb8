//! Some runs in full, within the stream of all runs: a browser allows few connections to a server, so a page needs all in one.
//!
//! Events: `run_state`, `run_patch`, `run_preview` and `run_end`, whose data is `{run_id, id, data}` with what [`super::follow`] tells under the names
//! without `run_`, and `run_missing` for a run that cannot be followed. Their `id` is in the data, as that of the stream is the list's. Who comes back
//! names what it has seen.

use bytes::Bytes;
use comfyd_engine::RunId;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt, future};
use serde_json::json;

use super::follow::Follower;
use super::routes::Ctx;
use super::serve::Closing;
use super::sse;
use crate::problem::Problem;

/// How many runs one stream tells.
const MOST: usize = 32;

/// A run that is to be told, and the `id` of its event that was seen last.
pub(super) type Wanted = (String, Option<String>);

/// The runs of a query: names with commas between, each with `@ID` of an event if it is not new.
pub(super) fn wanted(runs: Option<&str>) -> Result<Vec<Wanted>, Problem> {
    let names = runs.unwrap_or_default().split(',').filter(|name| !name.is_empty());
    let wanted: Vec<Wanted> = names.map(one).collect();
    if wanted.len() > MOST {
        let message = format!("`runs` names {} runs", wanted.len());
        return Err(Problem::invalid("bad_query", message, format!("Name {MOST} at most, or open another stream.")));
    }
    Ok(wanted)
}

/// An id that is not of this life of the server is as good as none, so nothing about it is wrong.
fn one(text: &str) -> Wanted {
    text.split_once('@').map_or_else(|| (text.to_owned(), None), |(name, seen)| (name.to_owned(), Some(seen.to_owned())))
}

/// The stream of the list with that of the runs; it ends with the list's.
pub(super) fn together(
    list: impl Stream<Item = Bytes> + Send + 'static,
    ctx: &Ctx,
    wanted: Vec<Wanted>,
    closing: &Closing,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let runs = stream::select_all(wanted.into_iter().map(|wanted| run(ctx.clone(), wanted, closing.clone())));
    let list = list.map(Some).chain(stream::once(future::ready(None)));
    stream::select(list, runs.map(Some)).take_while(|event| future::ready(event.is_some())).filter_map(future::ready)
}

fn run(ctx: Ctx, (name, seen): Wanted, closing: Closing) -> BoxStream<'static, Bytes> {
    let told = async move {
        let from = seen.and_then(|seen| ctx.hubs.places.read(&seen));
        let opened = match ctx.app.resolve(&name) {
            Ok(run) => Follower::patches(&ctx, run, from, closing).await.map(|follower| (run, follower)),
            Err(problem) => Err(problem),
        };
        match opened {
            Ok((run, follower)) => {
                let events = stream::unfold(follower, |mut follower| async move { Some((follower.next().await?, follower)) });
                events.filter_map(move |event| future::ready(tagged(run, &event))).boxed()
            }
            Err(problem) => {
                let data = json!({ "run_id": name, "data": problem });
                stream::once(future::ready(sse::event("run_missing", None, &data.to_string()))).boxed()
            }
        }
    };
    stream::once(told).flatten().boxed()
}

/// An event of a run under its name in this stream; a heartbeat is left out, as the list has its own.
fn tagged(run: RunId, event: &Bytes) -> Option<Bytes> {
    let text = std::str::from_utf8(event).ok()?;
    let (head, data) = text.split_once("\ndata: ")?;
    let name = head.strip_prefix("event: ")?.lines().next()?;
    let id = head.lines().find_map(|line| line.strip_prefix("id: ")).map_or("null".to_owned(), |id| json!(id).to_string());
    let data = format!("{{\"run_id\":\"{run}\",\"id\":{id},\"data\":{}}}", data.trim_end());
    Some(sse::event(&format!("run_{name}"), None, &data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_run_keeps_its_data_and_loses_its_place() {
        let run: RunId = "0193a5f2-7c1e-7000-8000-000000000001".parse().expect("an id");
        let event = tagged(run, &sse::event("patch", Some("b:12"), r#"{"seq":12,"a":"data: x"}"#)).expect("an event");
        let data = format!("{{\"run_id\":\"{run}\",\"id\":\"b:12\",\"data\":{{\"seq\":12,\"a\":\"data: x\"}}}}");
        assert_eq!(event, format!("event: run_patch\ndata: {data}\n\n").as_bytes());
        assert_eq!(tagged(run, &sse::heartbeat()), None);
    }

    #[test]
    fn runs_are_named_with_what_was_seen_of_them() {
        let names = |runs| wanted(Some(runs)).expect("names");
        assert_eq!(names("a,b@1f:7"), [("a".to_owned(), None), ("b".to_owned(), Some("1f:7".to_owned()))]);
        assert!(wanted(None).expect("none").is_empty() && names("").is_empty());
        assert!(wanted(Some(&"a,".repeat(33))).is_err());
    }
}
