//! Reads the template folders.
//!
//! Invariants: no link is followed below a folder; what is too large, too much or unreadable becomes an entry that says so.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use comfyd_adapters::workflow::Graph;

use super::template::{Content, Origin, Place, Template};
use crate::beneath;
use crate::problem::Problem;

/// The largest workflow, as for runs.
const MAX_WORKFLOW: u64 = 16 << 20;
/// The longest description.
const MAX_DESCRIPTION: u64 = 256 << 10;
/// The largest preview picture.
const MAX_PREVIEW: u64 = 4 << 20;
/// Entries that are looked at in a folder.
pub(super) const MAX_ENTRIES: usize = 500;
/// The longest name, in characters.
const MAX_NAME: usize = 100;

/// What tells that a file is as it was: its number, length and time.
type Stamp = (u64, u64, i64, i64);

/// The stamps of workflow, description and preview.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps([Option<Stamp>; 3]);

/// Lists the folders to watch before anything in them is read, so that no change falls between.
pub(super) fn folders(roots: &[PathBuf]) -> BTreeSet<PathBuf> {
    let below = |root: &PathBuf| entries(root).map_or_else(|_| vec![], |(entries, _)| entries);
    let inner = roots.iter().flat_map(|root| {
        let folders = below(root).into_iter().filter(|entry| entry.kind == EntryKind::Folder);
        folders.map(|entry| root.join(entry.name)).collect::<Vec<_>>()
    });
    roots.iter().cloned().chain(inner).collect()
}

/// Reads the folders; what has not changed since is not read again.
pub(super) fn read(roots: &[PathBuf], known: &[Template]) -> Vec<Template> {
    let mut found: Vec<Template> = Vec::new();
    for root in roots {
        let (listed, more) = match entries(root) {
            Ok(listed) => listed,
            // It need not be there; it is looked for again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                tracing::warn!(%error, folder = %root.display(), "templates.folder_unreadable");
                continue;
            }
        };
        if more {
            tracing::warn!(folder = %root.display(), limit = MAX_ENTRIES, "templates.too_many");
        }
        for entry in listed {
            let mut template = entry.template(root, known);
            let taken = |other: &&Template| other.name == template.name && other.error.is_none();
            if let Some(other) = found.iter().find(taken).filter(|_| template.error.is_none()) {
                let message = format!("{} has the same name as {}", template.file(), other.file());
                let error = Problem::new(409, "template_name_taken", message, "Rename one of them.");
                template = Template::broken(&template.name, template.place, error);
            }
            found.push(template);
        }
    }
    found
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EntryKind {
    Folder,
    File,
    Link,
}

struct Entry {
    name: String,
    kind: EntryKind,
}

/// What may be a template in a folder, in the order of names, folders first; and whether there is more than is looked at.
fn entries(root: &Path) -> io::Result<(Vec<Entry>, bool)> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut more = false;
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(kind) = entry.file_type() else { continue };
        let kind = if kind.is_dir() {
            EntryKind::Folder
        } else if kind.is_symlink() {
            EntryKind::Link
        } else {
            EntryKind::File
        };
        // Hidden files are those of editors and version control; other files are notes and pictures.
        let other = kind == EntryKind::File && Path::new(&name).extension().is_none_or(|ending| ending != "json");
        if name.starts_with('.') || other {
            continue;
        }
        if entries.len() == MAX_ENTRIES {
            more = true;
            break;
        }
        entries.push(Entry { name, kind });
    }
    entries.sort_by(|a, b| (a.kind != EntryKind::Folder, &a.name).cmp(&(b.kind != EntryKind::Folder, &b.name)));
    Ok((entries, more))
}

impl Entry {
    fn template(&self, root: &Path, known: &[Template]) -> Template {
        let root = root.to_owned();
        let stem = self.name.strip_suffix(".json").unwrap_or(&self.name);
        let (name, place) = match self.kind {
            EntryKind::Folder => (self.name.as_str(), Place::Folder { root, folder: self.name.clone() }),
            EntryKind::File => (stem, Place::File { root, file: self.name.clone() }),
            EntryKind::Link => {
                let place = Place::File { root, file: self.name.clone() };
                let hint = "Copy the files, or name the folder that they are in with storage.template_dirs.";
                let error =
                    Problem::invalid("template_link", format!("{} is a link, and links are not followed", self.name), hint);
                return Template::broken(stem, place, error);
            }
        };
        if !good_name(name) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
            let hint = "Use up to 100 letters, digits, spaces and other plain characters, but no slash.";
            let error = Problem::invalid("template_name", format!("`{shown}` cannot be the name of a template"), hint);
            return Template::broken(&shown, place, error);
        }
        let stamps = place.stamps();
        let same = |old: &&Template| old.place == place && old.stamps == stamps && stamps != Stamps::default();
        if let Some(old) = known.iter().find(same) {
            return old.clone();
        }
        let template = match content(&place) {
            Ok(content) => {
                let has_preview = preview(&place).is_some();
                Template { has_preview, ..Template::usable(name, Origin::User, place, &content) }
            }
            // A folder without a workflow that holds other folders or nothing may be anything, so it says what is missing.
            Err(error) => Template::broken(name, place, error),
        };
        Template { stamps, ..template }
    }
}

fn good_name(name: &str) -> bool {
    let plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | '\u{fffd}');
    !name.is_empty() && name.chars().count() <= MAX_NAME && name.chars().all(plain) && name.trim() == name
}

impl Place {
    /// Opens one of its files.
    fn open(&self, part: &str) -> io::Result<File> {
        match self {
            Self::Folder { root, folder } => beneath::file(root, &Path::new(folder).join(part)),
            Self::File { root, file } if part == WORKFLOW => beneath::file(root, Path::new(file)),
            Self::File { .. } | Self::Builtin => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn stamps(&self) -> Stamps {
        let stamp = |part| {
            let meta = self.open(part).and_then(|file| file.metadata()).ok()?;
            Some((meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
        };
        Stamps([stamp(WORKFLOW), stamp(DESCRIPTION), stamp(PREVIEW)])
    }
}

const WORKFLOW: &str = "workflow.json";
const DESCRIPTION: &str = "description.md";
const PREVIEW: &str = "preview.png";

/// Reads the workflow and the description.
pub(super) fn content(place: &Place) -> Result<Content, Problem> {
    let shown = match place {
        Place::Folder { folder, .. } => format!("{folder}/{WORKFLOW}"),
        Place::File { file, .. } => file.clone(),
        Place::Builtin => WORKFLOW.to_owned(),
    };
    let bytes = read_part(place, WORKFLOW, MAX_WORKFLOW).map_err(|error| match error {
        Part::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            let hint = "A template is a folder with a workflow.json (ComfyUI: Workflow > Export (API)), or a single NAME.json.";
            Problem::invalid("template_without_workflow", format!("there is no {shown}"), hint)
        }
        Part::Io(error) => {
            let hint = "It must be a readable file and no link.";
            Problem::invalid("template_unreadable", format!("{shown} cannot be read: {error}"), hint)
        }
        Part::TooLarge => {
            let message = format!("{shown} is larger than {} MiB", MAX_WORKFLOW >> 20);
            Problem::new(413, "template_too_large", message, "Keep large data in files that the nodes load.")
        }
    })?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Problem::invalid("template_not_text", format!("{shown} is not UTF-8 text"), "Export it again: Workflow > Export (API).")
    })?;
    let graph = Graph::parse(&text).map_err(|error| Problem::invalid(error.code(), format!("{shown}: {error}"), error.hint()))?;
    let description = match read_part(place, DESCRIPTION, MAX_DESCRIPTION) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(Part::TooLarge) => {
            tracing::warn!(template = %shown, limit = MAX_DESCRIPTION, "template.description_too_large");
            None
        }
        // It need not be there.
        Err(Part::Io(_)) => None,
    };
    Ok(Content { text, graph, description })
}

/// Reads the preview, if it is a PNG.
pub(super) fn preview(place: &Place) -> Option<Vec<u8>> {
    match read_part(place, PREVIEW, MAX_PREVIEW) {
        Ok(bytes) if bytes.starts_with(b"\x89PNG\r\n\x1a\n") => Some(bytes),
        Ok(_) | Err(Part::TooLarge) => {
            tracing::warn!(?place, limit = MAX_PREVIEW, "template.preview_unusable");
            None
        }
        // It need not be there.
        Err(Part::Io(_)) => None,
    }
}

enum Part {
    Io(io::Error),
    TooLarge,
}

fn read_part(place: &Place, part: &str, limit: u64) -> Result<Vec<u8>, Part> {
    let mut bytes = Vec::new();
    place.open(part).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(Part::Io)?;
    if bytes.len() as u64 > limit { Err(Part::TooLarge) } else { Ok(bytes) }
}
