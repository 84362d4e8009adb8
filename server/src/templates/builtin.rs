//! The templates that are built into the program.

use comfyd_adapters::workflow::Graph;

use super::template::{Content, Origin, Place, Template};
use crate::problem::Problem;

/// The files of a template.
struct Files {
    name: &'static str,
    workflow: &'static str,
    description: &'static str,
    preview: &'static [u8],
}

macro_rules! files {
    ($name:literal) => {
        Files {
            name: $name,
            workflow: include_str!(concat!("../../../resources/workflows/", $name, "/workflow.json")),
            description: include_str!(concat!("../../../resources/workflows/", $name, "/description.md")),
            preview: include_bytes!(concat!("../../../resources/workflows/", $name, "/preview.png")),
        }
    };
}

/// By name.
static ALL: [Files; 3] = [files!("image_enhancement"), files!("img2video"), files!("txt2img_basic")];

/// All of them, in the order of their names.
pub(super) fn all() -> Vec<Template> {
    // A test reads each of them, so that none is missing here.
    ALL.iter().filter_map(|files| one(files).ok()).collect()
}

fn one(files: &Files) -> Result<Template, Problem> {
    let content = content(files.name)?;
    Ok(Template { has_preview: true, ..Template::usable(files.name, Origin::Builtin, Place::Builtin, &content) })
}

fn named(name: &str) -> Option<&'static Files> {
    ALL.iter().find(|files| files.name == name)
}

/// What one holds.
pub(super) fn content(name: &str) -> Result<Content, Problem> {
    let files = named(name).ok_or_else(|| Problem::internal(format!("the program lacks its template `{name}`")))?;
    let graph = Graph::parse(files.workflow).map_err(|error| Problem::internal(format!("template `{name}`: {error}")))?;
    Ok(Content { text: files.workflow.to_owned(), graph, description: Some(files.description.to_owned()) })
}

/// The preview picture of one.
pub(super) fn preview(name: &str) -> Option<&'static [u8]> {
    named(name).map(|files| files.preview)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_whole() {
        let all = all();
        let names: Vec<&str> = all.iter().map(|template| template.name.as_str()).collect();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../resources/workflows");
        let entries = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
        let mut folders: Vec<_> =
            entries.filter(|path| path.is_dir()).filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect();
        folders.sort();
        assert_eq!(names, folders);
        for template in &all {
            let content = content(&template.name).expect("it can be read");
            assert!(content.graph.nodes().all(|node| node.title().is_some()), "{}: each node has a title", template.name);
            assert!(content.description.is_some() && template.summary.is_some(), "{}", template.name);
            assert!(!template.title.contains('_'), "{} has a heading", template.name);
            let preview = preview(&template.name).expect("a preview");
            assert!(preview.starts_with(b"\x89PNG") && preview.len() <= 60_000, "{}", template.name);
            let said = content.description.unwrap_or_default();
            assert!(template.needs_models.iter().all(|model| said.contains(&model.file)), "{} names its models", template.name);
        }
    }
}
