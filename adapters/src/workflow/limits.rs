//! What a workflow may be (reliability.md 9), checked before anything is built from it.

use super::WorkflowError;

/// How many nodes.
pub(super) const MAX_NODES: usize = 5_000;
/// How many bytes the id of a node may have: those of ComfyUI are numbers, with `:` between those of nested subgraphs.
pub(super) const MAX_NODE_ID: usize = 200;
/// How many bytes.
pub(super) const MAX_BYTES: usize = 16 * 1024 * 1024;
/// How deep lists and objects may be nested.
pub(super) const MAX_DEPTH: usize = 64;

/// Checks length and depth in one pass, without recursion.
pub(super) fn check_text(text: &str) -> Result<(), WorkflowError> {
    if text.len() > MAX_BYTES {
        return Err(WorkflowError::TooLarge { bytes: text.len() });
    }
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                // The inside of a string nests nothing.
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(WorkflowError::TooDeep);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            // Numbers, words and separators.
            _ => {}
        }
    }
    Ok(())
}
