//! Names that are most like what was meant.
//!
//! Invariants: each name is looked for once in a list; only so many are looked for at all, as lists may be long and files full of nonsense.

use std::collections::BTreeMap;

/// How many near names are told.
const NEAREST: usize = 3;
/// How many names are looked for.
const MOST: usize = 100;
/// Names of models can be long; beyond this they are as far as they get.
const LONG: usize = 200;

/// What was found for names that are not known, by the list and the name.
#[derive(Debug, Default)]
pub(crate) struct Nearest {
    found: BTreeMap<(String, String), Vec<String>>,
}

impl Nearest {
    /// What is most like a name in a list, the nearest first.
    pub(crate) fn of(&mut self, list: &str, meant: &str, names: impl FnOnce() -> Vec<String>) -> Vec<String> {
        let key = (list.to_owned(), meant.to_owned());
        if let Some(found) = self.found.get(&key) {
            return found.clone();
        }
        if self.found.len() >= MOST || meant.len() > LONG {
            return Vec::new();
        }
        let found = nearest(meant, &names());
        self.found.insert(key, found.clone());
        found
    }
}

fn nearest(meant: &str, names: &[String]) -> Vec<String> {
    let lower = meant.to_lowercase();
    let farthest = lower.chars().count().max(4) / 2;
    let mut near: Vec<(usize, &str)> = names.iter().map(|name| (distance(&lower, &name.to_lowercase()), name.as_str())).collect();
    near.sort_unstable();
    near.retain(|(far, _)| *far <= farthest);
    near.into_iter().take(NEAREST).map(|(_, name)| name.to_owned()).collect()
}

fn distance(a: &str, b: &str) -> usize {
    if a.len().max(b.len()) > LONG { LONG } else { strsim::levenshtein(a, b) }
}
