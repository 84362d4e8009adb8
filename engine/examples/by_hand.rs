//! Drives a run by hand, without any server, and prints what its readers would see.

use comfyd_engine::testkit::{Rig, instance_id, run_id, small_run};
use comfyd_engine::{ComfyEvent, Input, Limits, Outcome, Request, RunView};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (run, gpu) = (run_id(1), instance_id("gpu-a"));
    let mut rig = Rig::new(Limits::default());
    rig.online("gpu-a");
    let step = rig.say(Input::Request(run, Request::Create { spec: Box::new(small_run("gpu-a")), blobs: vec![] }))?;

    // A shell would write `step.facts` to disk here, and only then post the prompt that `step.commands` asks for.
    let answer = Outcome::Accepted { prompt_id: run.into(), problems: vec![], refused: vec![] };
    rig.say(Input::Outcome(step.commands[0].id.clone(), answer))?;
    for (node, done, total) in [("1", 0, 1), ("2", 5, 20), ("2", 12, 20)] {
        rig.wait_ms(1_500);
        let progress = ComfyEvent::NodeProgressed { prompt: Some(run.into()), node: node.into(), done, total };
        rig.say(Input::Observed(gpu.clone(), progress))?;
    }

    let view = RunView::of(rig.run(run));
    serde_json::to_writer_pretty(std::io::stdout(), &view)?;
    Ok(())
}
