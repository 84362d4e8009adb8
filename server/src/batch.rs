//! Several runs of one workflow, made as one.
//!
//! Invariants: all of a batch are checked before the first is created; they are written together and answered when all of them are on disk; each is a
//! run like any other. A repeat with the same key answers with the same batch, and makes what is missing of it: a crash in the middle of the
//! write, before the answer, may have left only the first ones.

use comfyd_adapters::comfy::ports::Blobs;
use comfyd_adapters::digest::sha256;
use comfyd_engine::{Force, NewRun, PromptSpec, RunId, RunSpec, Sha256, Status, Upload, Workload};
use futures_util::StreamExt;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{App, Created, Execute, Filter, Images};
use crate::live::Keyed;
use crate::live::Summary;
use crate::problem::Problem;

/// The largest batch.
pub const MAX_RUNS: usize = 1000;
/// Workflows beyond so many bytes in all go to files of their own, so that one write stays short.
const MAX_INLINE: usize = 4 << 20;
/// How many cancels are asked for at a time: fewer than the core loop takes, so that others get in between.
const CANCELS: usize = 32;

/// A wish for several runs of one workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecuteBatch {
    /// What all of them share; its key is the one of the batch.
    pub base: Execute,
    /// How they differ; empty for runs that do not.
    pub variations: Vec<Variation>,
    /// How many runs there are of each variation.
    pub repeat: usize,
}

/// What one run of a batch has of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variation {
    /// Values to set after the shared ones.
    pub inputs: Vec<(String, String)>,
    /// Its name; else the shared one.
    pub name: Option<String>,
}

/// A created batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CreatedBatch {
    /// Its id.
    pub batch_id: String,
    /// Its runs, in the order of the variations.
    pub runs: Vec<Created>,
    /// Whether it was created now; false for a repeat with the same `Idempotency-Key`.
    pub fresh: bool,
}

/// How many runs stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    /// Not yet run.
    pub queued: usize,
    /// Being run.
    pub executing: usize,
    /// Ended well.
    pub completed: usize,
    /// Did not work.
    pub failed: usize,
    /// Were stopped.
    pub cancelled: usize,
}

impl Counts {
    /// Counts one.
    pub(crate) fn add(&mut self, status: Status) {
        match status {
            Status::Queued => self.queued += 1,
            Status::Executing => self.executing += 1,
            Status::Completed => self.completed += 1,
            Status::Failed => self.failed += 1,
            Status::Cancelled => self.cancelled += 1,
        }
    }

    /// How many there are that have not ended.
    pub fn open(&self) -> usize {
        self.queued + self.executing
    }
}

/// A batch as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BatchView {
    /// Its id.
    pub batch_id: String,
    /// How many runs it has.
    pub total: usize,
    /// How they stand.
    pub counts: Counts,
    /// Whether all of them have ended.
    pub ended: bool,
    /// The runs, in the order in which they were made.
    pub runs: Vec<Summary>,
}

/// What came of cancelling a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct CancelledBatch {
    /// Its id.
    pub batch_id: String,
    /// The runs that are asked to stop.
    pub cancelled: Vec<RunId>,
    /// How many had ended before.
    pub already_ended: usize,
    /// The runs that could not be asked, and why.
    pub refused: Vec<RefusedCancel>,
}

/// A run that could not be asked to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusedCancel {
    /// The run.
    pub run_id: RunId,
    /// A stable name.
    pub code: String,
    /// What happened.
    pub message: String,
}

/// Bytes that go into the log of a run, under their hash.
type Blob = (Sha256, Vec<u8>);

/// What the runs of a batch were drawn as, kept once.
struct Canvas {
    hash: Option<Sha256>,
    /// The bytes, where they are small enough for the log.
    inline: Option<Blob>,
}

impl Canvas {
    /// That of the first run.
    fn of(prompt: &PromptSpec, blobs: &[Blob]) -> Self {
        let hash = prompt.canvas.clone();
        let inline = blobs.iter().find(|(one, _)| Some(one) == hash.as_ref()).cloned();
        Self { hash, inline }
    }
}

impl ExecuteBatch {
    /// The wishes for the single runs, each made when it is its turn: they may be large.
    fn wishes(&self) -> impl Iterator<Item = Execute> {
        let nothing = self.variations.is_empty().then_some(None);
        let variations = self.variations.iter().map(Some).chain(nothing);
        let repeated = variations.flat_map(|variation| std::iter::repeat_n(variation, self.repeat));
        repeated.map(|variation| {
            let mut wish = self.base.clone();
            if let Some(Variation { inputs, name }) = variation {
                wish.inputs.extend(inputs.iter().cloned());
                wish.name = name.clone().or(wish.name);
            }
            wish
        })
    }

    /// How many runs it makes.
    pub fn len(&self) -> usize {
        self.variations.len().max(1).saturating_mul(self.repeat)
    }

    /// Whether it makes none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn check(&self) -> Result<(), Problem> {
        if (1..=MAX_RUNS).contains(&self.len()) {
            return Ok(());
        }
        let message = format!("a batch of {} runs", self.len());
        Err(Problem::invalid("batch_size", message, format!("A batch has 1 to {MAX_RUNS} runs: `variations` times `repeat`.")))
    }

    /// The hash of everything that makes it that batch and no other.
    fn fingerprint(&self) -> Sha256 {
        let base = crate::intake::fingerprint(&self.base);
        sha256(format!("batch\n{base}\n{:?}\n{}", self.variations, self.repeat).as_bytes())
    }
}

impl App {
    /// Creates the runs of a batch: answers when all of them are on disk.
    ///
    /// # Errors
    /// What is wrong with the request, or why it cannot be stored; no run is created then.
    pub async fn execute_batch(&self, wish: ExecuteBatch) -> Result<CreatedBatch, Problem> {
        wish.check()?;
        if wish.base.idempotency_key.is_none() {
            let id = self.draw_id().to_string();
            return self.create_batch(wish, id, vec![], None).await;
        }
        let app = self.clone();
        // In a task of its own: a caller that hangs up must not let its twin in before the first is known.
        let created = tokio::spawn(async move { app.create_batch_keyed(wish).await });
        created.await.unwrap_or_else(|error| Err(Problem::internal(format!("the request was not finished: {error}"))))
    }

    async fn create_batch_keyed(&self, wish: ExecuteBatch) -> Result<CreatedBatch, Problem> {
        let body = wish.fingerprint();
        let key = wish.base.idempotency_key.clone().unwrap_or_default();
        let _turn = self.keyed.turn(&key).await;
        let (batch, there) = match self.live.keyed(&key) {
            None => (self.draw_id().to_string(), vec![]),
            Some(Keyed { body: known, run, removed: true }) if known == body => return Err(Problem::run_removed(&key, run)),
            Some(Keyed { body: known, run, .. }) if known == body => {
                let batch = self.live.summary(run).and_then(|summary| summary.batch);
                let batch = batch.ok_or_else(|| Problem::internal("a run of a batch does not name it"))?;
                let there: Vec<_> = self.runs_of(&batch).iter().map(|summary| self.created(summary.run_id, false)).collect();
                (batch, there)
            }
            Some(Keyed { run, .. }) => return Err(Problem::key_reused(&key, run)),
        };
        if there.len() >= wish.len() {
            return Ok(CreatedBatch { batch_id: batch, runs: there, fresh: false });
        }
        self.create_batch(wish, batch, there, Some(body)).await
    }

    async fn create_batch(
        &self,
        wish: ExecuteBatch,
        batch: String,
        there: Vec<Created>,
        body: Option<Sha256>,
    ) -> Result<CreatedBatch, Problem> {
        let wish = ExecuteBatch { base: self.opened(wish.base).await?, ..wish };
        let mut checked: Option<Sha256> = None;
        let mut uploads: Option<Vec<Upload>> = None;
        let mut canvas: Option<Canvas> = None;
        let mut new = Vec::new();
        let mut inline = 0;
        for mut one in wish.wishes().skip(there.len()) {
            if uploads.is_some() {
                // The files are the same for all, and are kept already.
                one.images = Images::InOrder(vec![]);
            }
            // Each for itself, as the page draws anew each time what prompts leave to chance.
            let mut one = self.converted(one).await?;
            if canvas.is_some() {
                one.canvas = None;
            }
            let mut prepared = self.intake.prepare(one, body.clone(), &self.core).await?;
            let Workload::Prompt(prompt) = &prepared.spec.workload;
            if checked.as_ref() != Some(&prompt.graph) {
                checked = Some(prompt.graph.clone());
                self.check_known(&prepared, wish.base.validation).await?;
            }
            let Workload::Prompt(prompt) = &mut prepared.spec.workload;
            prompt.uploads.clone_from(uploads.get_or_insert_with(|| prompt.uploads.clone()));
            // So is the canvas: what is left to chance is drawn in the graph. A small one is in the log of each run, as runs are removed one by one.
            let canvas = canvas.get_or_insert_with(|| Canvas::of(prompt, &prepared.blobs));
            prompt.canvas.clone_from(&canvas.hash);
            let is_there = |(hash, _): &&Blob| prepared.blobs.iter().any(|(one, _)| one == hash);
            let missing = canvas.inline.as_ref().filter(|blob| !is_there(blob)).cloned();
            prepared.blobs.extend(missing);
            inline += prepared.blobs.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
            if inline > MAX_INLINE {
                for (_, bytes) in prepared.blobs.drain(..) {
                    let stored = self.intake.vault.put(bytes.into()).await;
                    stored.map_err(|error| crate::intake::not_stored("a workflow", &error))?;
                }
            }
            let spec = RunSpec { batch: Some(batch.clone()), ..prepared.spec };
            new.push(NewRun { id: self.draw_id(), spec: Box::new(spec), blobs: prepared.blobs });
        }
        // Drawn within one millisecond they come in any order; the list of the batch is in the order of the wish.
        let mut ids: Vec<RunId> = new.iter().map(|run| run.id).collect();
        ids.sort_unstable();
        for (run, id) in new.iter_mut().zip(&ids) {
            run.id = *id;
        }
        self.core.create_all(new).await.map_err(Problem::from)?;
        let new = ids.into_iter().map(|run| self.created(run, true));
        Ok(CreatedBatch { batch_id: batch, runs: there.into_iter().chain(new).collect(), fresh: true })
    }

    /// A batch as it is now.
    ///
    /// # Errors
    /// If there is none of this id.
    pub fn batch(&self, id: &str) -> Result<BatchView, Problem> {
        let runs = self.runs_of(id);
        if runs.is_empty() {
            let id: String = id.chars().take(120).collect();
            let hint = "`batch_id` of the answer to `POST /api/v1/batches` names it; its runs may have been deleted.";
            return Err(Problem::new(404, "unknown_batch", format!("there is no batch `{id}`"), hint));
        }
        let mut counts = Counts::default();
        for run in &runs {
            counts.add(run.status);
        }
        Ok(BatchView { batch_id: id.to_owned(), total: runs.len(), counts, ended: counts.open() == 0, runs })
    }

    /// Asks all runs of a batch to stop that have not ended.
    ///
    /// # Errors
    /// If there is no batch of this id, or all of its runs have ended.
    pub async fn cancel_batch(&self, id: &str, force: Force) -> Result<CancelledBatch, Problem> {
        let batch = self.batch(id)?;
        if batch.ended {
            let message = format!("all runs of batch {} have already ended", batch.batch_id);
            return Err(Problem::new(409, "already_settled", message, "Nothing is left to stop."));
        }
        let open = batch.runs.iter().filter(|run| !run.status.is_settled()).map(|run| run.run_id).collect::<Vec<_>>();
        let mut said = CancelledBatch { already_ended: batch.total - open.len(), batch_id: batch.batch_id, ..Default::default() };
        // The ones that wait longest last, so that no run begins only to be stopped.
        let asked = futures_util::stream::iter(open.into_iter().rev());
        let mut asked = asked.map(|run| async move { (run, self.cancel(run, force).await) }).buffered(CANCELS);
        while let Some((run, answer)) = asked.next().await {
            match answer {
                Ok(()) => said.cancelled.push(run),
                Err(problem) if problem.code == "already_settled" => said.already_ended += 1,
                Err(problem) => {
                    said.refused.push(RefusedCancel { run_id: run, code: problem.code, message: problem.message });
                }
            }
        }
        Ok(said)
    }

    fn runs_of(&self, batch: &str) -> Vec<Summary> {
        let filter = Filter { batch: Some(batch.to_owned()), limit: MAX_RUNS, ..Filter::default() };
        let mut runs = self.list(&filter).runs;
        runs.reverse();
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::{ExecuteBatch, Variation};
    use crate::app::{Execute, Source};

    fn batch(variations: Vec<Variation>, repeat: usize) -> ExecuteBatch {
        let source = Source::Inline { text: "{}".to_owned(), file: None };
        let inputs = vec![("3.seed".to_owned(), "1".to_owned())];
        ExecuteBatch { base: Execute { name: Some("all".to_owned()), inputs, ..Execute::new(source) }, variations, repeat }
    }

    #[test]
    fn a_variation_comes_after_what_is_shared() {
        let own = Variation { inputs: vec![("3.seed".to_owned(), "2".to_owned())], name: Some("own".to_owned()) };
        let batched = batch(vec![Variation::default(), own], 2);
        let wishes: Vec<_> = batched.wishes().collect();
        let said: Vec<_> =
            wishes.iter().map(|wish| (wish.name.as_deref(), wish.inputs.last().map(|(_, value)| value.as_str()))).collect();
        let (all, own) = ((Some("all"), Some("1")), (Some("own"), Some("2")));
        assert_eq!(said, [all, all, own, own]);
        assert_eq!(batch(vec![], 3).wishes().count(), 3);
    }

    #[test]
    fn a_batch_has_one_to_a_thousand_runs() {
        for (variations, repeat, good) in [(0, 1, true), (0, 0, false), (0, 1000, true), (10, 101, false), (2, usize::MAX, false)]
        {
            let batch = batch(vec![Variation::default(); variations], repeat);
            assert_eq!(batch.check().is_ok(), good, "{variations} x {repeat}");
        }
    }

    #[test]
    fn everything_counts_for_the_key() {
        let prints = [batch(vec![], 1), batch(vec![], 2), batch(vec![Variation::default()], 1)].map(|batch| batch.fingerprint());
        assert!(prints[0] != prints[1] && prints[0] != prints[2] && prints[1] != prints[2]);
    }
}
