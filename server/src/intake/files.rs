//! Files that a request names by path.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::beneath;
use crate::problem::Problem;

/// Reads a file under one of the roots, at most `limit` bytes of it.
pub(super) fn read(field: &str, path: &Path, roots: &[PathBuf], limit: u64) -> Result<Vec<u8>, Problem> {
    let shown = path.display();
    if !path.is_absolute() {
        // The server's working directory is nothing that its callers know.
        let message = format!("{field}: `{shown}` is not an absolute path");
        return Err(Problem::invalid(
            "path_not_absolute",
            message,
            "Give the path from the root, as the server's machine has it.",
        ));
    }
    let missing = |error: &std::io::Error| {
        Problem::invalid(
            "file_not_readable",
            format!("{field}: cannot read {shown}: {error}"),
            "Check the path and its permissions on the server's machine.",
        )
    };
    let outside = || {
        let hint = format!("{}, or send the bytes in the request.", under("Move it", roots));
        Problem::new(403, "path_not_allowed", format!("{field}: {shown} lies outside of the folders that may be read"), hint)
    };
    let inside = |path: &Path| roots.iter().find(|root| path.starts_with(root));
    // Symbolic links are followed first, so that what is compared is what is opened. What is outside is not told to exist or not.
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) if inside(path).is_some() => return Err(missing(&error)),
        Err(_) => return Err(outside()),
    };
    let Some(root) = inside(&real) else { return Err(outside()) };
    let meta = real.metadata().map_err(|error| missing(&error))?;
    if !meta.is_file() {
        return Err(Problem::invalid("not_a_file", format!("{field}: {shown} is not a file"), "Name a file."));
    }
    let mut bytes = Vec::new();
    let below = real.strip_prefix(root).expect("it was just found below the root");
    // Without following links: what is put there after the look above is not read.
    let file = beneath::file(root, below).map_err(|error| missing(&error))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| missing(&error))?;
    if bytes.len() as u64 > limit {
        return Err(Problem::new(
            413,
            "file_too_large",
            format!("{field}: {shown} is larger than {limit} bytes"),
            "Use a smaller file.",
        ));
    }
    Ok(bytes)
}

/// What to do to come under one of the roots.
fn under(what: &str, roots: &[PathBuf]) -> String {
    let listed: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
    match listed.as_slice() {
        [] => "No folder is allowed: leave the path out".to_owned(),
        listed => format!("{what} under {}", listed.join(" or ")),
    }
}

/// Checks a folder for copies of outputs: it, or the nearest ancestor that exists, lies under one of the roots.
pub(super) fn check_output_dir(path: &Path, roots: &[PathBuf]) -> Result<String, Problem> {
    let shown = path.display();
    if !path.is_absolute() || path.components().any(|part| part == std::path::Component::ParentDir) {
        return Err(Problem::invalid(
            "output_dir_invalid",
            format!("output_dir: {shown} is not an absolute path without `..`"),
            "Give an absolute path.",
        ));
    }
    let real = path.ancestors().find_map(|folder| folder.canonicalize().ok());
    if !real.is_some_and(|real| roots.iter().any(|root| real.starts_with(root))) {
        let hint = format!("{}; without output_dir the outputs stay in the data directory.", under("Choose a folder", roots));
        return Err(Problem::new(
            403,
            "output_dir_not_allowed",
            format!("output_dir: {shown} lies outside of the folders that may be written"),
            hint,
        ));
    }
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Problem::invalid("output_dir_invalid", format!("output_dir: {shown} is not UTF-8"), "Choose a folder with a plain name.")
    })
}
