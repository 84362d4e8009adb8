//! All templates, kept up to date.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use comfyd_adapters::digest::sha256;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::template::{Content, Origin, Place, Template};
use super::watch::Watcher;
use super::{builtin, scan};
use crate::offload::Offload;
use crate::problem::Problem;

/// Changes come in bursts: it is read again when there was none for so long ...
const QUIET: Duration = Duration::from_millis(100);
/// ... or when they have gone on for so long.
const AT_LATEST: Duration = Duration::from_secs(1);
/// Names that an error lists at most.
const NEAREST: usize = 3;
/// How like a name must be to be offered, from 0 to 1.
const LIKENESS: f64 = 0.6;

/// The templates at one time, in the order of their names.
pub(crate) type Shelf = Arc<[Template]>;

/// All templates.
pub(crate) struct Library {
    inner: Arc<Inner>,
    /// Ends with the library.
    _follower: Option<AbortOnDropHandle<()>>,
}

struct Inner {
    roots: Vec<PathBuf>,
    offload: Offload,
    /// None until the folders were read for the first time.
    shelf: watch::Sender<Option<Shelf>>,
    /// How often it was found to be another one.
    changes: watch::Sender<u64>,
    /// Whether changes are told; if not, the folders are read again for each request.
    told: AtomicBool,
    watcher: Mutex<Watcher>,
}

impl Library {
    /// The built-in templates alone.
    pub(crate) fn builtin() -> Self {
        let shelf = watch::Sender::new(Some(builtin::all().into()));
        let inner = Inner {
            roots: vec![],
            offload: Offload::Inline,
            shelf,
            changes: watch::Sender::new(0),
            told: AtomicBool::new(true),
            watcher: Mutex::new(Watcher::default()),
        };
        Self { inner: Arc::new(inner), _follower: None }
    }

    /// The built-in templates and those in these folders, the first of which wins; needs a runtime.
    pub(crate) fn open(roots: Vec<PathBuf>) -> Self {
        let wake = Arc::new(Notify::new());
        let inner = Arc::new(Inner {
            roots,
            offload: Offload::Threads,
            shelf: watch::Sender::new(None),
            changes: watch::Sender::new(0),
            told: AtomicBool::new(false),
            watcher: Mutex::new(Watcher::new(Arc::clone(&wake))),
        });
        let follower = tokio::spawn(Arc::clone(&inner).follow(wake));
        Self { inner, _follower: Some(AbortOnDropHandle::new(follower)) }
    }

    /// A figure that changes when the list or a file of a template does.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// All templates, also those that cannot be used.
    pub(crate) async fn list(&self) -> Shelf {
        let mut newest = self.inner.shelf.subscribe();
        let first = match newest.wait_for(Option::is_some).await {
            Ok(first) => first.clone(),
            Err(_) => None,
        };
        if self.inner.told.load(Ordering::Acquire) {
            return first.unwrap_or_else(|| Arc::new([]));
        }
        self.inner.read().await;
        let now = self.inner.shelf.borrow().clone();
        now.unwrap_or_else(|| Arc::new([]))
    }

    /// The template of this name; one that can be used comes before one that cannot.
    pub(crate) async fn find(&self, name: &str) -> Result<Template, Problem> {
        let all = self.list().await;
        let named = || all.iter().filter(|template| template.name == name);
        let found = named().find(|template| template.error.is_none()).or_else(|| named().next());
        found.cloned().ok_or_else(|| unknown(name, &all))
    }

    /// What a template holds, read now.
    pub(crate) async fn content(&self, template: &Template) -> Result<Content, Problem> {
        match &template.place {
            Place::Builtin => builtin::content(&template.name),
            Place::Folder { .. } | Place::File { .. } => {
                let place = template.place.clone();
                let read = self.inner.offload.run(move || scan::content(&place)).await;
                read.map_err(|error| unusable(&template.name, &error))
            }
        }
    }

    /// The preview picture of a template, and its hash.
    pub(crate) async fn preview(&self, template: &Template) -> Option<(Cow<'static, [u8]>, String)> {
        let bytes = match &template.place {
            Place::Builtin => Cow::Borrowed(builtin::preview(&template.name)?),
            Place::Folder { .. } | Place::File { .. } => {
                let place = template.place.clone();
                Cow::Owned(self.inner.offload.run(move || scan::preview(&place)).await?)
            }
        };
        let hash = sha256(&bytes).as_str().to_owned();
        Some((bytes, hash))
    }
}

impl Inner {
    /// Reads the folders now, and again after each change.
    async fn follow(self: Arc<Self>, wake: Arc<Notify>) {
        loop {
            self.read().await;
            wake.notified().await;
            let latest = Instant::now() + AT_LATEST;
            while Instant::now() < latest && timeout_at(latest.min(Instant::now() + QUIET), wake.notified()).await.is_ok() {}
        }
    }

    async fn read(&self) {
        // One at a time, so that an older reading never replaces a newer one.
        let mut watcher = self.watcher.lock().await;
        let known = self.shelf.borrow().clone().unwrap_or_else(|| Arc::new([]));
        let (roots, mut taken) = (self.roots.clone(), std::mem::take(&mut *watcher));
        let (told, found, back) = self
            .offload
            .run(move || {
                let told = taken.follow(&scan::folders(&roots));
                (told, scan::read(&roots, &known), taken)
            })
            .await;
        *watcher = back;
        if self.told.swap(told, Ordering::AcqRel) != told || (!told && self.shelf.borrow().is_none()) {
            if told {
                tracing::debug!("templates.watched");
            } else {
                tracing::warn!(folders = ?self.roots, "templates.read_on_request");
            }
        }
        let fresh: Shelf = arranged(found).into();
        let mut news = false;
        self.shelf.send_if_modified(|now| {
            let changed = now.as_ref() != Some(&fresh);
            // Who asked before the first reading waits for that one.
            news = changed && now.is_some();
            *now = Some(fresh);
            changed
        });
        if news {
            self.changes.send_modify(|count| *count += 1);
        }
    }
}

/// With the built-in ones that no usable one stands in for, by name.
fn arranged(mut found: Vec<Template>) -> Vec<Template> {
    let builtin = builtin::all().into_iter();
    let free: Vec<Template> =
        builtin.filter(|own| !found.iter().any(|other| other.name == own.name && other.error.is_none())).collect();
    found.extend(free);
    found.sort_by(|a, b| (&a.name, a.error.is_some()).cmp(&(&b.name, b.error.is_some())));
    found
}

fn unknown(name: &str, shelf: &[Template]) -> Problem {
    let shown: String = name.chars().take(100).collect();
    let usable = || shelf.iter().filter(|template| template.error.is_none()).map(|template| template.name.as_str());
    let mut near: Vec<(f64, &str)> = usable().map(|known| (strsim::jaro_winkler(&shown, known), known)).collect();
    near.retain(|(likeness, _)| *likeness >= LIKENESS);
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let near: Vec<String> = near.into_iter().take(NEAREST).map(|(_, name)| format!("`{name}`")).collect();
    let hint = if near.is_empty() {
        "List the templates with `comfyd templates`.".to_owned()
    } else {
        format!("Did you mean {}? `comfyd templates` lists all.", near.join(" or "))
    };
    Problem::new(404, "unknown_template", format!("there is no template `{shown}`"), hint)
}

/// Why a template cannot be used, to somebody who wants to.
pub(super) fn unusable(name: &str, error: &Problem) -> Problem {
    Problem { status: 400, message: format!("template `{name}`: {}", error.message), ..error.clone() }
}

impl Template {
    /// That it can be used.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        match (&self.error, self.origin) {
            (None, Origin::Builtin | Origin::User) => Ok(()),
            (Some(error), _) => Err(unusable(&self.name, error)),
        }
    }
}
