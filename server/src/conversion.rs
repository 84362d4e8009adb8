//! Canvas files on their way in, and graphs held against the classes of their instance before they are queued.
//!
//! Invariants: what is in API format already keeps its bytes; a run is refused here only for what ComfyUI itself would refuse it, by classes
//! that were asked for just now. Absent: the rules, see `comfyd_workflow`.

use std::collections::BTreeMap;
use std::sync::Arc;

use comfyd_adapters::comfy::lenient::{from_json, to_wire};
use comfyd_adapters::workflow::Graph;
use comfyd_engine::{Note, Timestamp};
use comfyd_workflow::validate::validate;
use comfyd_workflow::{Converted, Finding, Moment, Options, Verdict, Warning, canvas, convert};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::app::{App, Execute, Source, Target, Validation};
use crate::instances::Classes as Known;
use crate::intake::Prepared;
use crate::problem::Problem;

/// How much is told of what was put right.
const MAX_NOTES: usize = 100;

/// What a workflow became.
#[derive(Clone, Debug)]
pub(crate) struct Conversion {
    /// The graph in API format.
    pub(crate) graph: Arc<Graph>,
    /// Where it was on the canvas, and what was put right; none if it was in API format.
    pub(crate) converted: Option<Converted>,
}

/// A workflow that was read.
enum Read {
    Canvas(Value),
    Graph(Arc<Graph>),
}

impl App {
    /// A workflow of either kind in API format. Only a canvas needs the instance.
    pub(crate) async fn convert(&self, text: String, target: Option<&Target>) -> Result<Conversion, Problem> {
        let read = move || match canvas_of(&text) {
            Some(canvas) => Ok(Read::Canvas(canvas)),
            None => graph_of(&text).map(Read::Graph),
        };
        let canvas = match self.intake.offload.run(read).await? {
            Read::Graph(graph) => return Ok(Conversion { graph, converted: None }),
            Read::Canvas(canvas) => canvas,
        };
        let classes = self.classes_of(target).await?;
        let options = Options { now: moment(self.now()), seed: self.rng.below(u64::MAX) };
        let make = move || {
            let converted = convert(&canvas, &classes.descriptions(), &options).map_err(|problems| not_converted(&problems))?;
            Ok::<_, Problem>(Conversion { graph: graph_of(&printed(&converted.graph)?)?, converted: Some(converted) })
        };
        self.intake.offload.run(make).await
    }

    /// What the instance would say of a workflow.
    pub(crate) async fn judge(&self, text: String, target: Option<&Target>) -> Result<(Conversion, Verdict), Problem> {
        let conversion = self.convert(text, target).await?;
        let classes = self.classes_of(target).await?;
        let verdict = self.verdict_by(&conversion.graph, classes).await;
        Ok((conversion, verdict))
    }

    async fn classes_of(&self, target: Option<&Target>) -> Result<Known, Problem> {
        let instance = self.intake.instance(target, &self.core).await?;
        self.instances.classes(instance.as_str(), None, false).await
    }

    /// The same wish with the text of its file, so that it is read once; templates stay, as they are graphs.
    pub(crate) async fn opened(&self, request: Execute) -> Result<Execute, Problem> {
        let Source::File(_) = &request.source else { return Ok(request) };
        let given = self.intake.text(&request.source).await?;
        let source = Source::Inline { text: given.text, file: given.file };
        Ok(Execute { source, canvas: request.canvas.or(given.canvas), ..request })
    }

    /// The same wish with its canvas converted, and with the canvas that is to be kept.
    pub(crate) async fn converted(&self, request: Execute) -> Result<Execute, Problem> {
        self.check_canvas(request.canvas.as_ref()).await?;
        let request = self.opened(request).await?;
        let Source::Inline { text, file } = &request.source else { return Ok(request) };
        if !looks_like_canvas(text) {
            return Ok(request);
        }
        let Conversion { graph, converted } = self.convert(text.clone(), request.target.as_ref()).await?;
        let Some(converted) = converted else { return Ok(request) };
        for warning in &converted.warnings {
            tracing::info!(code = warning.code, "{warning}");
        }
        let source = Source::Inline { text: graph.text().to_owned(), file: file.clone() };
        let canvas = request.canvas.or_else(|| Some(text.clone()));
        Ok(Execute { source, canvas, notes: notes_of(&converted), ..request })
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
        if self.verdict_by(&prepared.graph, known).await.is_runnable() {
            return Ok(());
        }
        // Lists of models change while an instance runs, so that the refusal rests on what it says now.
        let Ok(fresh) = self.instances.classes(name, None, true).await else { return Ok(()) };
        let verdict = self.verdict_by(&prepared.graph, fresh).await;
        if verdict.is_runnable() { Ok(()) } else { Err(not_valid(&verdict)) }
    }

    async fn verdict_by(&self, graph: &Arc<Graph>, known: Known) -> Verdict {
        let graph = Arc::clone(graph);
        self.intake.offload.run(move || validate(graph.fields(), &known.descriptions())).await
    }
}

/// What the user of a run should know of its conversion, by the ids of the graph.
fn notes_of(converted: &Converted) -> Vec<Note> {
    let ids: BTreeMap<&str, &str> =
        converted.places.iter().filter_map(|place| Some((place.path.as_str(), place.node.as_deref()?))).collect();
    let note = |warning: &Warning| {
        let node = warning.node.as_deref().and_then(|path| ids.get(path));
        // One that does not run is named in the message.
        let message = if node.is_some() { warning.message.clone() } else { warning.to_string() };
        Note { code: warning.code.to_owned(), message: message.chars().take(1000).collect(), node: node.map(|id| (*id).into()) }
    };
    let mut notes: Vec<Note> = converted.warnings.iter().take(MAX_NOTES).map(note).collect();
    if let Some(more) = converted.warnings.len().checked_sub(MAX_NOTES).filter(|more| *more > 0) {
        let message = format!("{more} more things were put right; `comfyd convert` names all of them");
        notes.push(Note { code: "more_put_right".to_owned(), message, node: None });
    }
    notes
}

/// Whether it is worth reading a text as a canvas: most workflows are not, and may be large.
fn looks_like_canvas(text: &str) -> bool {
    text.contains("\"nodes\"") && ["\"links\"", "\"last_node_id\"", "\"definitions\""].iter().any(|part| text.contains(part))
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

/// What is no workflow is told in the same words as for a run.
pub(crate) fn graph_of(text: &str) -> Result<Arc<Graph>, Problem> {
    Graph::parse(text).map(Arc::new).map_err(|error| Problem::invalid(error.code(), error.to_string(), error.hint()))
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
    use comfyd_workflow::Classes;

    use super::*;

    #[test]
    fn only_a_canvas_with_nodes_is_converted() {
        for rest in [r#""links": []"#, r#""last_node_id": 1"#, r#""definitions": {}"#] {
            assert!(canvas_of(&format!(r#"{{"nodes": [{{"id": 1, "type": "A"}}], {rest}}}"#)).is_some(), "{rest}");
        }
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
        let verdict = validate(
            graph_of(r#"{"1": {"class_type": "A"}, "2": {"class_type": "B"}}"#).expect("nodes").fields(),
            &Classes::default(),
        );
        let problem = not_valid(&verdict);
        assert_eq!((problem.status, problem.code.as_str()), (422, "workflow_not_valid"));
        assert_eq!(problem.details.expect("all of them").lines().count(), 3, "two classes, and nothing gives an output");
    }
}
