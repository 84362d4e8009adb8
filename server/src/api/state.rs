//! `/workflow/state`: what a page goes on showing after a reload, of both types.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use comfyd_engine::{Percent, RunView, StreamId, Time};
use serde::{Deserialize, Serialize};

use super::body::fields;
use super::reply::{Answer, ok, query_of, success};
use super::routes::Ctx;
use super::setup_shapes::{Gone, ImportedState, StateShown, SummaryShown};
use super::setup_view::{self, SetupView};
use super::state_file;
use crate::problem::Problem;

const RUN_TYPE: &str = "comfyui_workflow";

/// Which state.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// `comfyui_workflow` or `generic_workflow`; both if absent.
    r#type: Option<String>,
    /// A certain one, active or not; the active one if absent.
    workflow_id: Option<String>,
}

/// One of both kinds.
enum Found {
    Run(Box<RunView>),
    Setup(Arc<comfyd_engine::Setup>),
}

/// A kind of states.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Run,
    Setup,
}

impl Type {
    /// The types that a query means.
    fn meant(named: Option<&str>) -> Result<&'static [Self], Problem> {
        match named {
            None => Ok(&[Self::Run, Self::Setup]),
            Some(RUN_TYPE) => Ok(&[Self::Run]),
            Some(setup_view::TYPE) => Ok(&[Self::Setup]),
            Some(other) => {
                let other: String = other.chars().take(60).collect();
                let hint = "Use comfyui_workflow or generic_workflow, or leave it out.";
                Err(Problem::invalid("bad_query", format!("`type` cannot be `{other}`"), hint))
            }
        }
    }
}

impl Found {
    /// The state that a query means; none if none is active.
    async fn of(ctx: &Ctx, query: &Which) -> Result<Option<Self>, Problem> {
        let types = Type::meant(query.r#type.as_deref())?;
        match &query.workflow_id {
            Some(id) => Self::named(ctx, types, id).await.map(Some),
            None => Self::active(ctx, types).await,
        }
    }

    async fn named(ctx: &Ctx, types: &[Type], id: &str) -> Result<Self, Problem> {
        if types.contains(&Type::Run)
            && let Ok(run) = ctx.app.resolve(id)
        {
            return Ok(Self::Run(Box::new(ctx.app.view(run).await?)));
        }
        if types.contains(&Type::Setup) { ctx.app.setup(id).await.map(Self::Setup) } else { Err(Problem::unknown_workflow(id)) }
    }

    /// Of both types that which changed last.
    async fn active(ctx: &Ctx, types: &[Type]) -> Result<Option<Self>, Problem> {
        let run = match ctx.app.active().filter(|_| types.contains(&Type::Run)) {
            Some(run) => Some(ctx.app.view(run).await?),
            None => None,
        };
        let setup = ctx.app.active_setup().filter(|_| types.contains(&Type::Setup));
        Ok(match (run, setup) {
            (Some(run), Some(setup)) if setup.recorded() > run.timing.last_update.0 => Some(Self::Setup(setup)),
            (Some(run), _) => Some(Self::Run(Box::new(run))),
            (None, setup) => setup.map(Self::Setup),
        })
    }
}

/// What is shown; the state is null when there is none.
#[derive(Serialize)]
struct Shown<T: Serialize> {
    state: Option<T>,
}

/// Gives the state to go on showing after a reload.
#[utoipa::path(get, path = "/workflow/state", operation_id = "getState", params(Which), tag = "plan", responses(
    (status = 200, description = "`state` in the plan's shape of its `type`, or null", body = StateShown),
    (status = 404, description = "There is no workflow of this id and type", body = Problem),
))]
pub(super) async fn get(State(ctx): State<Ctx>, query: Result<Query<Which>, QueryRejection>) -> Answer {
    match Found::of(&ctx, &query_of(query)?).await? {
        Some(Found::Run(view)) => ok(&Shown { state: Some(&*view) }),
        Some(Found::Setup(setup)) => ok(&Shown { state: Some(SetupView::of(&setup).set_aside(ctx.app.set_aside(setup.id()))) }),
        None => ok(&Shown::<()> { state: None }),
    }
}

/// A state that was taken over.
#[derive(Serialize)]
struct Imported<'a> {
    workflow_id: &'a str,
    message: &'static str,
    state: SetupView<'a>,
}

/// Takes over a state file of the program that this one replaces.
#[utoipa::path(post, path = "/workflow/state", operation_id = "importState", tag = "plan",
    request_body(content = Value, description = "A state file; fields that are not known are kept."), responses(
    (status = 201, description = "It is on disk and shown; nothing of it runs until it is resumed", body = ImportedState),
    (status = 422, description = "It is of another type or a newer version", body = Problem),
    (status = 400, description = "A field is wrong; the message names it", body = Problem),
    (status = 409, description = "A workflow of this id was started here", body = Problem),
    (status = 429, description = "Too many workflows are open", body = Problem),
    (status = 507, description = "Too little room is free on the disk", body = Problem),
))]
pub(super) async fn import(State(ctx): State<Ctx>, request: Request) -> Answer {
    let (id, file) = state_file::read(fields(request).await?)?;
    ctx.app.intake.check_room()?;
    let imported = ctx.app.setups.import(id, file).await?;
    ctx.app.undismiss(imported.setup.id()).await?;
    let workflow_id = imported.setup.id().as_str();
    let state = SetupView::of(&imported.setup);
    success(StatusCode::CREATED, &Imported { workflow_id, message: "State imported", state })
}

/// Stops showing what is active. What runs goes on, and the logs stay.
#[utoipa::path(delete, path = "/workflow/state", operation_id = "dismissState", params(Which), tag = "plan", responses(
    (status = 200, description = "It is not shown any more", body = Gone),
    (status = 404, description = "There is no workflow of this id and type", body = Problem),
))]
pub(super) async fn dismiss(State(ctx): State<Ctx>, query: Result<Query<Which>, QueryRejection>) -> Answer {
    let query = query_of(query)?;
    let mut found = Vec::new();
    if query.workflow_id.is_some() {
        found.extend(Found::of(&ctx, &query).await?);
    } else {
        for one in Type::meant(query.r#type.as_deref())? {
            found.extend(Found::active(&ctx, &[*one]).await?);
        }
    }
    let streams: Vec<StreamId> = found
        .iter()
        .map(|found| match found {
            Found::Run(view) => StreamId::Run(view.run_id),
            Found::Setup(setup) => StreamId::Setup(setup.id().clone()),
        })
        .collect();
    ctx.app.dismiss(&streams).await?;
    let dismissed = found.iter().map(|found| match found {
        Found::Run(view) => view.workflow_id.clone(),
        Found::Setup(setup) => setup.id().to_string(),
    });
    ok(&Gone { dismissed: dismissed.collect() })
}

/// The state in a few words.
#[derive(Serialize, Default)]
struct Summary {
    /// Whether it goes on, or waits for its user.
    active: bool,
    workflow_id: Option<String>,
    status: Option<&'static str>,
    /// The step in progress, from 0; of a run, how many nodes are done.
    current_step: Option<usize>,
    /// The steps; of a run, its nodes.
    total_steps: Option<usize>,
    progress_percent: Option<Percent>,
    start_time: Option<Time>,
    last_update: Option<Time>,
    /// Whether something is being done now.
    is_running: bool,
}

#[derive(Serialize)]
struct Summarised {
    has_workflow: bool,
    summary: Summary,
}

/// Gives the state in a few words.
#[utoipa::path(get, path = "/workflow/state/summary", operation_id = "getSummary", params(Which), tag = "plan", responses(
    (status = 200, description = "`has_workflow`, and `summary` with nulls where there is none", body = SummaryShown),
    (status = 404, description = "There is no workflow of this id and type", body = Problem),
))]
pub(super) async fn summary(State(ctx): State<Ctx>, query: Result<Query<Which>, QueryRejection>) -> Answer {
    let found = Found::of(&ctx, &query_of(query)?).await?;
    let has_workflow = found.is_some();
    let summary = match found {
        None => Summary::default(),
        Some(Found::Setup(setup)) => {
            let view = SetupView::of(&setup).set_aside(ctx.app.set_aside(setup.id()));
            Summary {
                active: !setup.phase().is_over(),
                workflow_id: Some(setup.id().to_string()),
                status: Some(view.status()),
                current_step: Some(setup.current()),
                total_steps: Some(setup.steps().len()),
                progress_percent: Some(view.percent()),
                start_time: Some(Time(setup.started())),
                last_update: Some(Time(setup.updated())),
                is_running: view.is_running(),
            }
        }
        Some(Found::Run(view)) => Summary {
            active: !view.status.is_settled(),
            workflow_id: Some(view.workflow_id.clone()),
            status: Some(view.status.as_str()),
            current_step: Some(view.progress.completed_nodes),
            total_steps: Some(view.progress.total_nodes),
            progress_percent: Some(view.progress.progress_percent),
            start_time: view.timing.start_time,
            last_update: Some(view.timing.last_update),
            is_running: view.status == comfyd_engine::Status::Executing,
        },
    };
    ok(&Summarised { has_workflow, summary })
}
