//! Folds a recorded session of a real ComfyUI and prints what comfyd would have recorded and shown.
//!
//! ```text
//! cargo run -p comfyd-tests --example fold_trace -- o_expansion_and_lists
//! ```

use std::io::{self, Write};

use comfyd_engine::Fact;
use comfyd_fixtures::traces::{Trace, names};
use comfyd_tests::recorded::{Folding, told};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let Some(name) = std::env::args().nth(1) else {
        writeln!(out, "usage: fold_trace NAME, one of: {}", names().map_err(io::Error::other)?.join(" "))?;
        return Ok(());
    };
    let trace = Trace::read(&name).map_err(io::Error::other)?;
    let folding = Folding::of(&told(&trace));
    for fact in &folding.facts {
        let (stream, at, event) = match fact {
            Fact::Instance(id, recorded) => (id.to_string(), recorded.at, serde_json::to_string(&recorded.event)?),
            Fact::Run(id, recorded) => (format!("{id} {}", recorded.seq), recorded.at, serde_json::to_string(&recorded.event)?),
        };
        writeln!(out, "{at} {stream} {event}")?;
    }
    for view in folding.views() {
        writeln!(out, "{}", serde_json::to_string_pretty(&view)?)?;
    }
    Ok(())
}
