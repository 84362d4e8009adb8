//! All routes, in one table.
//!
//! Invariants: the router is made from the table, so that a route which is not in it does not exist, and a path that is not in it is closed.

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::feed::Feed;
use super::guard::{Guard, Security, SharedGuard, layer};
use super::hub::Hubs;
use super::limits::{Bounds, Limits};
use super::recent::Recent;
use super::ring::Places;
use super::{
    archive, batches, canvas, chosen, content, conversion, feed, follow, graph, health, instances, log, login, openapi, outputs,
    page, patches, plan, request_id, runs, setups, state, stats, thumbnail, workflows,
};
use crate::app::App;
use crate::problem::Problem;

/// What handlers share. Each request has several copies.
#[derive(Clone)]
pub(super) struct Ctx(Arc<Parts>);

impl Deref for Ctx {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The parts of it.
pub(super) struct Parts {
    pub(super) app: App,
    pub(super) guard: SharedGuard,
    pub(super) limits: Limits,
    pub(super) hubs: Hubs,
    pub(super) feed: Feed,
    pub(super) places: crate::patch::Checkpoints,
    pub(super) recent: Recent,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody who uses a name of ours.
    Open,
    /// Our own page, with the token in the body.
    Login,
    /// Who has the token or a session.
    Token,
}

/// What a route is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads; HEAD is answered too.
    Get,
    /// Changes.
    Post,
    /// Changes a part, or replaces.
    Put,
    /// Removes.
    Delete,
}

impl Verb {
    /// The HTTP method.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// A route.
pub struct Route {
    /// What it is asked with.
    pub verb: Verb,
    /// Its path; `{name}` stands for one segment.
    pub path: &'static str,
    /// Who may ask.
    pub access: Access,
    serve: fn(MethodFilter) -> MethodRouter<Ctx>,
}

const fn open(path: &'static str, serve: fn(MethodFilter) -> MethodRouter<Ctx>) -> Route {
    Route { verb: Verb::Get, path, access: Access::Open, serve }
}

const fn get(path: &'static str, serve: fn(MethodFilter) -> MethodRouter<Ctx>) -> Route {
    Route { verb: Verb::Get, path, access: Access::Token, serve }
}

const fn post(path: &'static str, serve: fn(MethodFilter) -> MethodRouter<Ctx>) -> Route {
    Route { verb: Verb::Post, path, access: Access::Token, serve }
}

const fn put(path: &'static str, serve: fn(MethodFilter) -> MethodRouter<Ctx>) -> Route {
    Route { verb: Verb::Put, path, access: Access::Token, serve }
}

const fn delete(path: &'static str, serve: fn(MethodFilter) -> MethodRouter<Ctx>) -> Route {
    Route { verb: Verb::Delete, path, access: Access::Token, serve }
}

/// Every route of the server.
pub static ROUTES: &[Route] = &[
    open("/", |verb| on(verb, page::index)),
    open("/favicon.svg", |verb| on(verb, page::icon)),
    open("/assets/{name}", |verb| on(verb, page::asset)),
    open("/healthz", |verb| on(verb, health::alive)),
    open("/readyz", |verb| on(verb, health::ready)),
    Route { verb: Verb::Post, path: "/api/v1/login", access: Access::Login, serve: |verb| on(verb, login::log_in) },
    post("/comfyui/workflow/execute", |verb| on(verb, plan::execute)),
    get("/comfyui/workflow/state", |verb| on(verb, plan::state)),
    get("/comfyui/workflow/{id}/progress", |verb| on(verb, plan::progress)),
    post("/comfyui/workflow/{id}/cancel", |verb| on(verb, plan::cancel)),
    get("/comfyui/workflow/{id}/outputs", |verb| on(verb, plan::outputs)),
    get("/workflow/state", |verb| on(verb, state::get)),
    post("/workflow/state", |verb| on(verb, state::import)),
    delete("/workflow/state", |verb| on(verb, state::dismiss)),
    get("/workflow/state/summary", |verb| on(verb, state::summary)),
    post("/workflow/start", |verb| on(verb, setups::start)),
    post("/workflow/stop", |verb| on(verb, setups::stop)),
    post("/workflow/resume", |verb| on(verb, setups::resume)),
    get("/api/v1/openapi.json", |verb| on(verb, openapi::described)),
    get("/api/v1/instances", |verb| on(verb, instances::list)),
    post("/api/v1/instances", |verb| on(verb, instances::add)),
    post("/api/v1/instances/test", |verb| on(verb, instances::test_url)),
    get("/api/v1/instances/{name}", |verb| on(verb, instances::one)),
    put("/api/v1/instances/{name}", |verb| on(verb, instances::edit)),
    delete("/api/v1/instances/{name}", |verb| on(verb, instances::remove)),
    post("/api/v1/instances/{name}/test", |verb| on(verb, instances::test)),
    post("/api/v1/instances/{name}/trust", |verb| on(verb, instances::trust)),
    post("/api/v1/instances/{name}/unlock", |verb| on(verb, instances::unlock)),
    get("/api/v1/instances/{name}/stats", |verb| on(verb, instances::stats)),
    get("/api/v1/instances/{name}/object_info", |verb| on(verb, instances::object_info)),
    get("/api/v1/events", |verb| on(verb, feed::all)),
    post("/api/v1/runs", |verb| on(verb, runs::create)),
    get("/api/v1/runs", |verb| on(verb, runs::list)),
    get("/api/v1/runs/{id}", |verb| on(verb, runs::one)),
    delete("/api/v1/runs/{id}", |verb| on(verb, runs::delete)),
    get("/api/v1/runs/{id}/at/{seq}", |verb| on(verb, runs::at)),
    get("/api/v1/runs/{id}/workflow", |verb| on(verb, graph::workflow)),
    get("/api/v1/runs/{id}/canvas", |verb| on(verb, canvas::canvas)),
    get("/api/v1/runs/{id}/log", |verb| on(verb, log::log)),
    get("/api/v1/runs/{id}/patches", |verb| on(verb, patches::patches)),
    get("/api/v1/runs/{id}/events", |verb| on(verb, follow::run)),
    get("/api/v1/runs/{id}/preview", |verb| on(verb, outputs::preview)),
    get("/api/v1/runs/{id}/outputs", |verb| on(verb, outputs::list)),
    get("/api/v1/runs/{id}/outputs.zip", |verb| on(verb, archive::archive)),
    get("/api/v1/outputs.zip", |verb| on(verb, chosen::chosen)),
    get("/api/v1/runs/{id}/outputs/{n}", |verb| on(verb, outputs::one)),
    get("/api/v1/runs/{id}/outputs/{n}/thumbnail", |verb| on(verb, thumbnail::thumbnail)),
    get("/api/v1/runs/{id}/outputs/{n}/content", |verb| on(verb, content::content)),
    post("/api/v1/runs/{id}/cancel", |verb| on(verb, runs::cancel)),
    post("/api/v1/runs/{id}/resubmit", |verb| on(verb, runs::resubmit)),
    post("/api/v1/runs/{id}/retry", |verb| on(verb, runs::retry)),
    get("/api/v1/workflows", |verb| on(verb, workflows::list)),
    post("/api/v1/workflows/convert", |verb| on(verb, conversion::convert)),
    post("/api/v1/workflows/validate", |verb| on(verb, conversion::validate)),
    get("/api/v1/workflows/{name}", |verb| on(verb, workflows::one)),
    get("/api/v1/workflows/{name}/preview", |verb| on(verb, workflows::preview)),
    get("/api/v1/workflows/{name}/workflow.json", |verb| on(verb, workflows::graph)),
    post("/api/v1/batches", |verb| on(verb, batches::create)),
    get("/api/v1/batches/{id}", |verb| on(verb, batches::one)),
    post("/api/v1/batches/{id}/cancel", |verb| on(verb, batches::cancel)),
    get("/api/v1/stats", |verb| on(verb, stats::stats)),
];

/// Who may ask for a path of the table; what is not in it is for nobody without the token.
pub(super) fn access_of(path: Option<&str>) -> Access {
    let route = ROUTES.iter().find(|route| Some(route.path) == path);
    route.map_or(Access::Token, |route| route.access)
}

/// The whole API and the page, guarded.
pub fn router(app: App, security: Security) -> Router {
    router_within(app, security, Bounds::default())
}

/// The same with bounds of the caller's.
pub fn router_within(app: App, security: Security, bounds: Bounds) -> Router {
    let boot = format!("{:x}", app.rng.below(u64::MAX));
    let ctx = Ctx(Arc::new(Parts {
        app,
        guard: SharedGuard::new(Guard::new(security)),
        limits: Limits::new(bounds),
        hubs: Hubs::new(Places::new(&boot)),
        feed: Feed::default(),
        places: crate::patch::Checkpoints::default(),
        recent: Recent::default(),
    }));
    let routes = ROUTES.iter().fold(Router::new(), |router, route| router.route(route.path, (route.serve)(route.verb.filter())));
    routes
        .fallback(|| async {
            Problem::new(404, "not_found", "there is nothing at this path", "The page is at `/`, the API at `/api/v1`.")
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                405,
                "method_not_allowed",
                "this path is not asked with this method",
                "`Allow` lists the ones that work.",
            )
        })
        // Bodies have limits of their own kind, see `body` and `upload`.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(ctx.clone(), layer))
        .layer(from_fn_with_state(ctx.clone(), request_id::layer))
        .with_state(ctx)
}

#[cfg(test)]
mod tests {
    use super::{Access, ROUTES, access_of};

    #[test]
    fn a_path_has_one_access_and_an_unknown_one_is_closed() {
        for route in ROUTES {
            assert_eq!(access_of(Some(route.path)), route.access, "{}", route.path);
        }
        assert_eq!(access_of(Some("/metrics")), Access::Token);
        assert_eq!(access_of(None), Access::Token);
    }
}
