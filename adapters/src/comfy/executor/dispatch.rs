//! Posting a prompt, once (reliability.md 5).

use bytes::Bytes;
use comfyd_engine::{ClientId, Outcome, PromptId, RunId, Sha256};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Executor, run_error};
use crate::comfy::http::{PostError, Reply};
use crate::comfy::lenient::from_json;
use crate::comfy::produced::cut;
use crate::comfy::refusal;

/// Everything about one post.
pub(super) struct Post {
    pub(super) run: RunId,
    pub(super) prompt: Sha256,
    pub(super) prompt_id: PromptId,
    pub(super) client: ClientId,
    pub(super) attempt: u32,
    pub(super) priority: i32,
}

impl Executor {
    pub(super) async fn dispatch(&self, post: Post) -> Outcome {
        let graph = match self.deps.blobs.get(&post.prompt).await {
            Ok(Some(graph)) => graph,
            Ok(None) => {
                let message =
                    format!("the workflow of this run is missing: blobs/{} is no longer in the data directory", post.prompt);
                let error = run_error("workflow_missing", message, "Start the run again from its workflow file.");
                return Outcome::Rejected { error };
            }
            Err(error) => return Outcome::NotSent { why: format!("read the workflow: {error}") },
        };
        match self.deps.http.post_prompt(body(&post, &graph)).await {
            Ok(reply) => came_to(&reply),
            Err(PostError::NotSent(why)) => Outcome::NotSent { why },
            Err(PostError::Unclear(why)) => Outcome::Unclear { why },
        }
    }
}

/// The request: the graph's own bytes with our names around them.
fn body(post: &Post, graph: &[u8]) -> Bytes {
    let mut rest = json!({
        "prompt_id": post.prompt_id.0,
        "client_id": post.client.0,
        "extra_data": {"comfyd": {"run": post.run.to_string(), "attempt": post.attempt}},
    });
    if post.priority > 0 {
        rest["front"] = Value::Bool(true);
    }
    let rest = rest.to_string();
    let mut body = Vec::with_capacity(graph.len() + rest.len() + 16);
    body.extend_from_slice(b"{\"prompt\": ");
    body.extend_from_slice(graph);
    body.extend_from_slice(b", ");
    body.extend_from_slice(rest.trim_start_matches('{').as_bytes());
    body.into()
}

fn came_to(reply: &Reply) -> Outcome {
    #[derive(Deserialize)]
    struct Accepted {
        prompt_id: String,
        #[serde(default)]
        node_errors: Value,
    }
    let text = reply.text();
    match reply.status {
        200 => match from_json::<Accepted>(&text) {
            Ok(accepted) => {
                let (problems, refused) = refusal::dropped(&accepted.node_errors);
                Outcome::Accepted { prompt_id: PromptId(accepted.prompt_id), problems, refused }
            }
            Err(error) => Outcome::Unclear { why: format!("the answer could not be read: {error}") },
        },
        400 | 403 | 404 | 413 => Outcome::Rejected { error: refusal::refused(reply.status, &text) },
        // A failed server may have queued the prompt all the same (protocol.md 1, fact 10).
        status => Outcome::Unclear { why: format!("the server answered with status {status}: {}", cut(text.trim(), 500)) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(priority: i32) -> Post {
        Post {
            run: "0193a1b2-0000-7000-8000-000000abc123".parse().expect("a run id"),
            prompt: "0".repeat(64).parse().expect("a hash"),
            prompt_id: PromptId("p".into()),
            client: ClientId("us".into()),
            attempt: 2,
            priority,
        }
    }

    #[test]
    fn the_graph_goes_as_it_is() {
        let text = body(&post(0), b"{\"1\": NaN}");
        let expected = r#"{"prompt": {"1": NaN}, "prompt_id":"p","client_id":"us","extra_data":{"comfyd":{"run":"0193a1b2-0000-7000-8000-000000abc123","attempt":2}}}"#;
        assert_eq!(text, expected.as_bytes());
        assert!(body(&post(1), b"{}").ends_with(br#","front":true}"#));
    }

    #[test]
    fn answers() {
        let word = |status, body: &str| match came_to(&Reply { status, body: Bytes::copy_from_slice(body.as_bytes()) }) {
            Outcome::Accepted { prompt_id, refused, .. } => format!("accepted {prompt_id} {}", refused.len()),
            Outcome::Rejected { error } => format!("rejected {}", error.code),
            Outcome::Unclear { .. } => "unclear".to_owned(),
            other => panic!("{other:?}"),
        };
        let partly = r#"{"prompt_id": "p", "number": 1, "node_errors": {"1": {"errors": [], "dependent_outputs": ["9"], "class_type": "A"}}}"#;
        for (status, body, expected) in [
            (200, r#"{"prompt_id": "p", "number": 1, "node_errors": {}}"#, "accepted p 0"),
            (200, partly, "accepted p 1"),
            (200, r#"{"number": 1}"#, "unclear"),
            (200, "<html>", "unclear"),
            (201, "{}", "unclear"),
            (302, "", "unclear"),
            (
                400,
                r#"{"error": {"type": "no_prompt", "message": "", "details": "", "extra_info": {}}, "node_errors": {}}"#,
                "rejected no_prompt",
            ),
            (403, "", "rejected forbidden"),
            (404, "", "rejected not_comfyui"),
            (413, "", "rejected prompt_too_large"),
            (408, "", "unclear"),
            (500, "500 Internal Server Error", "unclear"),
            (502, "", "unclear"),
        ] {
            assert_eq!(word(status, body), expected, "{status} {body}");
        }
    }
}
