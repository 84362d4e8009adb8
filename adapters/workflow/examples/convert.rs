//! Converts many canvas files for the comparison with ComfyUI's page: `convert OBJECT_INFO OUT FILE...`.
//!
//! Writes OUT/NAME.json for each: `{"output": graph, "warnings": [...]}` or `{"problems": [...]}`.

use std::error::Error;
use std::fs;
use std::path::Path;

use comfyd_workflow::{Classes, Moment, Options, convert};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(info), Some(out)) = (words.next(), words.next()) else { return Err("convert OBJECT_INFO OUT FILE...".into()) };
    let classes = Classes::parse(&fs::read_to_string(info)?)?;
    let now = Moment { year: 2026, month: 11, day: 22, hour: 1, minute: 2, second: 3 };
    fs::create_dir_all(&out)?;
    for file in words {
        let canvas: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
        let answer = match convert(&canvas, &classes, &Options { now, seed: 0 }) {
            Ok(converted) => {
                let warnings: Vec<Value> = converted
                    .warnings
                    .iter()
                    .map(|warning| json!({"code": warning.code, "node": warning.node, "text": warning.to_string()}))
                    .collect();
                json!({"output": converted.graph, "warnings": warnings})
            }
            Err(problems) => {
                let problems: Vec<Value> =
                    problems.iter().map(|problem| json!({"code": problem.reason.code(), "text": problem.to_string()})).collect();
                json!({"problems": problems})
            }
        };
        let name = Path::new(&file).file_name().ok_or("a file has a name")?;
        fs::write(Path::new(&out).join(name), serde_json::to_string_pretty(&answer)?)?;
    }
    Ok(())
}
