//! Texts that the page changes when it queues: `{a|b}` in prompts and `%...%` in the names of files.

use std::collections::BTreeMap;

use serde_json::Value;

use super::build::World;
use super::model::{At, Role};
use crate::json::printed;

/// A moment as people write it, for `%date:...%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// As 2026.
    pub year: u32,
    /// 1 for January.
    pub month: u32,
    /// 1 for the first.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
}

/// What texts are resolved with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts<'a> {
    pub(super) now: &'a Moment,
    /// Chooses among so many; the first argument counts the choices made.
    pub(super) choose: fn(u64, u64, usize) -> usize,
    pub(super) seed: u64,
}

/// Nodes by name.
#[derive(Default)]
struct Names<'a> {
    aliased: BTreeMap<&'a str, At>,
    titled: BTreeMap<&'a str, At>,
}

impl World<'_> {
    /// Resolves `%date:...%` and `%Node.widget%`; what cannot be found stays as it is.
    pub(super) fn replaced(&self, text: &str, texts: &Texts<'_>) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut names = None;
        while let Some(start) = rest.find('%') {
            let after = &rest[start + 1..];
            let Some(len) = after.find('%').filter(|len| *len > 0) else {
                // Two signs in a row begin nothing; the second may.
                out.push_str(&rest[..=start]);
                rest = after;
                continue;
            };
            out.push_str(&rest[..start]);
            let name = &after[..len];
            match self.replacement(name, texts, &mut names) {
                Some(value) => out.push_str(&value),
                None => out.extend(["%", name, "%"]),
            }
            rest = &after[len + 1..];
        }
        out.push_str(rest);
        out
    }

    /// The nodes by the names that files of names may use; the first of a name counts.
    fn names(&self) -> Names<'_> {
        let mut names = Names::default();
        for (graph, held) in self.graphs.iter().enumerate() {
            for (place, node) in held.nodes.iter().enumerate() {
                let at = At { graph, node: place };
                if let Some(alias) = node.file.property("Node name for S&R") {
                    names.aliased.entry(alias).or_insert(at);
                }
                names.titled.entry(self.shown_title(at)).or_insert(at);
            }
        }
        names
    }

    /// What a widget of a node holds; that of a subgraph is one of those inside.
    fn shown_value(&self, at: At, widget: &str) -> Option<Value> {
        let node = self.node(at);
        let held = match node.role {
            Role::Host(_) => self.held(at, node.inputs.iter().position(|input| input.name == widget)?)?.0,
            Role::Runs | Role::Unknown | Role::Reroute | Role::Primitive | Role::Set(_) | Role::Get(_) | Role::Note => {
                node.widget(widget)?.value.clone()
            }
        };
        Some(held.unwrap_or(Value::Null))
    }

    fn replacement<'a>(&'a self, name: &str, texts: &Texts<'_>, names: &mut Option<Names<'a>>) -> Option<String> {
        let parts: Vec<&str> = name.split('.').collect();
        let [node, widget] = parts.as_slice() else {
            return parts.first()?.strip_prefix("date:").map(|format| format_date(format, texts.now));
        };
        let names = names.get_or_insert_with(|| self.names());
        let found = names.aliased.get(node).or_else(|| names.titled.get(node))?;
        let value = self.shown_value(*found, widget)?;
        let text = if value.is_null() { String::new() } else { printed(&value) };
        Some(text.chars().map(|letter| if is_unfit(letter) { '_' } else { letter }).collect())
    }
}

/// What no name of a file may hold.
fn is_unfit(letter: char) -> bool {
    matches!(letter, '/' | '?' | '<' | '>' | '\\' | ':' | '*' | '|' | '"' | '\0'..='\x1f' | '\x7f')
}

/// `yyyy-MM-dd hh:mm:ss` and the like; one letter less leaves out the leading zero.
fn format_date(format: &str, now: &Moment) -> String {
    const PARTS: [&str; 12] = ["dd", "d", "MM", "M", "hh", "h", "mm", "m", "ss", "s", "yyyy", "yy"];
    let mut out = String::new();
    let mut rest = format;
    while let Some(letter) = rest.chars().next() {
        let Some(part) = PARTS.iter().find(|part| rest.starts_with(**part)) else {
            out.push(letter);
            rest = &rest[letter.len_utf8()..];
            continue;
        };
        let number = match part.as_bytes()[0] {
            b'd' => now.day,
            b'M' => now.month,
            b'h' => now.hour,
            b'm' => now.minute,
            b's' => now.second,
            _ => now.year, // `y`, the last of the parts.
        };
        match *part {
            "yy" => out.push_str(number.to_string().get(2..).unwrap_or_default()),
            "yyyy" => out.push_str(&number.to_string()),
            part => out.extend([format!("{number:0width$}", width = part.len())]),
        }
        rest = &rest[part.len()..];
    }
    out
}

/// Resolves `{a|b}` and takes comments out, as the page does when it queues.
pub(super) fn resolved_prompt(text: &str, texts: &Texts<'_>) -> String {
    let mut made = 0;
    let mut out = String::with_capacity(text.len());
    resolve_into(&without_comments(text), texts, &mut made, 0, &mut out);
    out
}

/// Choices inside of choices are followed this far; what is deeper stays as it is.
const MAX_DEPTH: usize = 64;

fn resolve_into(text: &str, texts: &Texts<'_>, made: &mut u64, depth: usize, out: &mut String) {
    let mut raw = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                raw.push('\\');
                raw.extend(letters.next());
            }
            '{' if depth < MAX_DEPTH => {
                let options = options_of(&mut letters);
                let chosen = (texts.choose)(texts.seed, *made, options.len()).min(options.len().saturating_sub(1));
                *made += 1;
                let chosen = options.get(chosen).map(String::as_str).unwrap_or_default();
                let mut inner = String::new();
                resolve_into(&without_comments(chosen), texts, made, depth + 1, &mut inner);
                raw.push_str(&inner);
            }
            other => raw.push(other),
        }
    }
    unescape(&raw, out);
}

/// Reads on to the brace that closes, and splits at the bars outside of inner braces.
fn options_of(letters: &mut std::str::Chars<'_>) -> Vec<String> {
    let mut options = vec![String::new()];
    let mut depth = 0_usize;
    while let Some(letter) = letters.next() {
        let option = options.last_mut().expect("one from the start");
        match letter {
            '\\' => {
                option.push('\\');
                option.extend(letters.next());
            }
            '{' => {
                depth += 1;
                option.push('{');
            }
            '}' if depth == 0 => break,
            '}' => {
                depth -= 1;
                option.push('}');
            }
            '|' if depth == 0 => options.push(String::new()),
            other => option.push(other),
        }
    }
    options
}

/// `\{`, `\}` and `\|` stand for themselves.
fn unescape(raw: &str, out: &mut String) {
    let mut letters = raw.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('\\', Some(next @ ('{' | '}' | '|'))) => {
                out.push(*next);
                letters.next();
            }
            _ => out.push(letter), // All other letters stay.
        }
    }
}

/// Takes `/* ... */` and `// ...` out.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // Once no end was found there is none behind it either.
    let mut ends = true;
    while let Some(place) = rest.find('/') {
        let after = &rest[place..];
        let body = after.strip_prefix("/*").filter(|_| ends);
        let long = body.and_then(|body| body.find("*/"));
        ends &= body.is_none() || long.is_some();
        if let Some(end) = long {
            out.push_str(&rest[..place]);
            rest = &after[end + 4..];
        } else if after.starts_with("//") {
            out.push_str(&rest[..place]);
            let end = after.find(['\n', '\r', '\u{2028}', '\u{2029}']).unwrap_or(after.len());
            rest = &after[end..];
        } else {
            out.push_str(&rest[..=place]);
            rest = &after[1..];
        }
    }
    out.push_str(rest);
    out
}
