//! Canvas files on their way in, and graphs held against the classes of their instance before they are queued.
//!
//! Invariants: what is in API format already keeps its bytes; a run is refused here only for what ComfyUI itself would refuse it, by classes
//! that were asked for just now. Absent: the rules, see `comfyd_workflow`.

use std::sync::Arc;

use comfyd_adapters::comfy::lenient::{from_json, to_wire};
use comfyd_adapters::workflow::Graph;
use comfyd_engine::Timestamp;
use comfyd_workflow::validate::validate;
use comfyd_workflow::{Classes, Converted, Finding, Moment, Options, Verdict, canvas, convert};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::app::{App, Execute, Source, Target, Validation};
use crate::instances::Classes as Known;
use crate::intake::Prepared;
use crate::problem::Problem;

/// What a workflow became.
#[derive(Clone, Debug)]
pub(crate) struct Conversion {
    /// The graph in API format.
    pub(crate) text: String,
    /// Where it was on the canvas, and what was put right; none if it was in API format.
    pub(crate) converted: Option<Converted>,
}

impl App {
    /// A workflow of either kind in API format. Only a canvas needs the instance.
    pub(crate) async fn convert(&self, text: String, target: Option<&Target>) -> Result<Conversion, Problem> {
        let Some(canvas) = canvas_of(&text) else { return Ok(Conversion { text, converted: None }) };
        let classes = self.classes_of(target).await?;
        let options = Options { now: moment(self.now()), seed: self.rng.below(u64::MAX) };
        let done = self.intake.offload.run(move || convert(&canvas, &classes.descriptions(), &options)).await;
        let converted = done.map_err(|problems| not_converted(&problems))?;
        Ok(Conversion { text: printed(&converted.graph)?, converted: Some(converted) })
    }

    /// What the instance would say of a workflow.
    pub(crate) async fn judge(&self, text: String, target: Option<&Target>) -> Result<(Conversion, Verdict), Problem> {
        let conversion = self.convert(text, target).await?;
        let graph = nodes_of(&conversion.text)?;
        let classes = self.classes_of(target).await?;
        let verdict = self.intake.offload.run(move || validate(&graph, &classes.descriptions())).await;
        Ok((conversion, verdict))
    }

    async fn classes_of(&self, target: Option<&Target>) -> Result<Known, Problem> {
        let instance = self.intake.instance(target, &self.core).await?;
        self.instances.classes(instance.as_str(), None, false).await
    }

    /// The same wish with its canvas converted, and with the canvas that is to be kept.
    pub(crate) async fn converted(&self, request: Execute) -> Result<Execute, Problem> {
        self.check_canvas(request.canvas.as_ref()).await?;
        let given = match &request.source {
            Source::Inline { text, .. } if !looks_like_canvas(text) => return Ok(request),
            Source::Template(_) => return Ok(request),
            Source::Inline { .. } | Source::File(_) => self.intake.text(&request.source).await?,
        };
        let conversion = self.convert(given.text.clone(), request.target.as_ref()).await?;
        for warning in conversion.converted.iter().flat_map(|converted| &converted.warnings) {
            tracing::info!(code = warning.code, "{warning}");
        }
        let own = conversion.converted.is_some().then_some(given.text);
        let source = Source::Inline { text: conversion.text, file: given.file };
        Ok(Execute { source, canvas: request.canvas.or(own).or(given.canvas), ..request })
    }

    /// A canvas that is given beside the graph must be one.
    async fn check_canvas(&self, given: Option<&String>) -> Result<(), Problem> {
        let Some(text) = given.cloned() else { return Ok(()) };
        if self.intake.offload.run(move || canvas_of(&text).is_some()).await {
            return Ok(());
        }
        let hint = "Give the canvas as ComfyUI saves it, with `nodes` and `links`, or leave it out.";
        Err(Problem::invalid("bad_field", "field `canvas` is no canvas", hint))
    }

    /// Refuses a run that its instance would refuse, as far as its classes are known: nothing is asked for a run that passes.
    pub(crate) async fn check_known(&self, prepared: &Prepared, validation: Validation) -> Result<(), Problem> {
        match validation {
            Validation::Before => {}
            Validation::ByInstance => return Ok(()),
        }
        let name = prepared.spec.instance.as_str();
        let Some(known) = self.instances.kept_classes(name) else { return Ok(()) };
        if self.verdict_by(&prepared.graph, known).await?.is_runnable() {
            return Ok(());
        }
        // Lists of models change while an instance runs, so that the refusal rests on what it says now.
        let Ok(fresh) = self.instances.classes(name, None, true).await else { return Ok(()) };
        let verdict = self.verdict_by(&prepared.graph, fresh).await?;
        if verdict.is_runnable() { Ok(()) } else { Err(not_valid(&verdict)) }
    }

    async fn verdict_by(&self, graph: &Graph, known: Known) -> Result<Verdict, Problem> {
        let graph = nodes_of(graph.text())?;
        let check = move || {
            let classes: Arc<Classes> = known.descriptions();
            validate(&graph, &classes)
        };
        Ok(self.intake.offload.run(check).await)
    }
}

/// Whether it is worth reading a text as a canvas: most workflows are not, and may be large.
fn looks_like_canvas(text: &str) -> bool {
    text.contains("\"nodes\"") && (text.contains("\"links\"") || text.contains("\"last_node_id\""))
}

/// The canvas that a text holds, if it is one with nodes.
pub(crate) fn canvas_of(text: &str) -> Option<Value> {
    if !looks_like_canvas(text) {
        return None;
    }
    let value: Value = from_json(text.trim_start_matches('\u{feff}')).ok()?;
    let has_nodes = value.get("nodes").and_then(Value::as_array).is_some_and(|nodes| !nodes.is_empty());
    (canvas::is_canvas(&value) && has_nodes).then_some(value)
}

pub(crate) fn nodes_of(text: &str) -> Result<Map<String, Value>, Problem> {
    // The same checks as for a run, so that what is no workflow is told in the same words.
    let graph = Graph::parse(text).map_err(|error| Problem::invalid(error.code(), error.to_string(), error.hint()))?;
    match from_json(graph.text()) {
        Ok(Value::Object(nodes)) => Ok(nodes),
        Ok(_) | Err(_) => Err(Problem::internal("a workflow was read and cannot be read again")),
    }
}

fn printed(graph: &Map<String, Value>) -> Result<String, Problem> {
    let text =
        serde_json::to_string(graph).map_err(|error| Problem::internal(format!("the graph cannot be written: {error}")))?;
    Ok(to_wire(&text).into_owned())
}

/// A time in this machine's zone, as the page would write the time of its own.
pub(crate) fn moment(at: Timestamp) -> Moment {
    let at = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    let at = at.to_zoned(TimeZone::system());
    let part = |number: i8| u32::try_from(number).unwrap_or_default();
    Moment {
        year: u32::try_from(at.year()).unwrap_or_default(),
        month: part(at.month()),
        day: part(at.day()),
        hour: part(at.hour()),
        minute: part(at.minute()),
        second: part(at.second()),
    }
}

/// Why a canvas was not converted: the first reason, and all of them.
pub(crate) fn not_converted(problems: &[comfyd_workflow::Problem]) -> Problem {
    let lines: Vec<String> = problems.iter().map(|problem| format!("{problem}. {}", problem.remedy)).collect();
    let first = problems.first().map_or_else(String::new, ToString::to_string);
    let hint = problems.first().map_or_else(String::new, |problem| problem.remedy.clone());
    let message = format!("the canvas cannot be converted: {first}{}", and_more(problems.len()));
    Problem::new(422, "workflow_not_converted", message, hint).with_details(lines.join("\n"))
}

fn not_valid(verdict: &Verdict) -> Problem {
    const SKIP: &str = "If the instance tells less than it has: `validate: false`, on the command line --no-validate.";
    let certain: Vec<&Finding> = verdict.findings.iter().filter(|finding| finding.certain).collect();
    let lines: Vec<String> = certain.iter().map(|finding| format!("{finding}. {}", finding.hint())).collect();
    let first = certain.first().map_or_else(String::new, ToString::to_string);
    let hint = certain.first().map_or_else(String::new, |finding| format!("{} {SKIP}", ended(finding.hint())));
    let message = format!("the instance would refuse this workflow: {first}{}", and_more(certain.len()));
    Problem::new(422, "workflow_not_valid", message, hint).with_details(lines.join("\n"))
}

/// A sentence with its full stop.
fn ended(text: String) -> String {
    if text.ends_with(['.', '?', '!']) { text } else { text + "." }
}

fn and_more(count: usize) -> String {
    if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_canvas_with_nodes_is_converted() {
        assert!(canvas_of(r#"{"nodes": [{"id": 1, "type": "A"}], "links": []}"#).is_some());
        for text in [
            r#"{"nodes": [], "links": []}"#,
            r#"{"1": {"class_type": "\"nodes\" \"links\"", "inputs": {}}}"#,
            r#"{"nodes""links""#,
        ] {
            assert!(canvas_of(text).is_none(), "{text}");
        }
    }

    #[test]
    fn all_reasons_are_told() {
        let verdict =
            validate(&nodes_of(r#"{"1": {"class_type": "A"}, "2": {"class_type": "B"}}"#).expect("nodes"), &Classes::default());
        let problem = not_valid(&verdict);
        assert_eq!((problem.status, problem.code.as_str()), (422, "workflow_not_valid"));
        assert_eq!(problem.details.expect("all of them").lines().count(), 3, "two classes, and nothing gives an output");
    }
}
