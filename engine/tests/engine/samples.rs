//! One sample of every kind of event.

use comfyd_engine::testkit::{planned_node, run_id, sha256_of_zeros, small_run};
use comfyd_engine::*;

use crate::kit::saved_file;

/// When the samples were recorded.
pub(crate) const AT: Timestamp = Timestamp(1_732_184_100_000);

fn full_spec() -> RunSpec {
    let mut node = planned_node("3", &["1", "2"]);
    node.title = Some("Title".into());
    node.expected_ms = Some(2_500);
    let upload = Upload { blob: sha256_of_zeros(), node: "1".into(), input: "image".into(), file_name: "cat.png".into() };
    let workload = Workload::Prompt(PromptSpec {
        graph: sha256_of_zeros(),
        nodes: vec![planned_node("1", &[]), node],
        outputs: Some(vec!["3".into()]),
        uploads: vec![upload],
        canvas: None,
        notes: vec![],
    });
    RunSpec {
        priority: -2,
        retry_of: Some(run_id(7)),
        workflow_file: Some("flow.json".into()),
        ssh_connection: Some("ssh -p 22 root@gpu".into()),
        output_dir: Some("pictures".into()),
        idempotency: Some(Idempotency { key: "once".into(), body: sha256_of_zeros() }),
        workload,
        ..small_run("gpu-a")
    }
}

fn problem() -> NodeProblem {
    NodeProblem {
        node: "3".into(),
        class: "Save".into(),
        reason: "value_not_in_list".into(),
        input: Some("format".into()),
        value: Some("gif".into()),
        allowed: Some("png, webp".into()),
        message: "Value not in list".into(),
    }
}

fn error() -> RunError {
    RunError {
        node_id: Some("3".into()),
        node_type: Some("Save".into()),
        details: Some("at line 1".into()),
        problems: vec![problem()],
        ..crate::kit::error("node_failed")
    }
}

/// Every kind of a run's events, in the order of `RunEvent::KINDS`.
pub(crate) fn run_events() -> Vec<RunEvent> {
    let node = || NodeId::from("3");
    let why = || "because".to_owned();
    let file = RemoteFile { key: "images".into(), filename: "a.png".into(), subfolder: "sub".into(), folder: "output".into() };
    let text = Produced::Text { key: "text".into(), text: "a cat".into() };
    let found = vec![
        Output { n: 1, node: node(), produced: Produced::File(file) },
        Output { n: 2, node: "3.0.0.1".into(), produced: text },
    ];
    let uploaded = UploadedFile { node: "1".into(), input: "image".into(), name: "comfyd_00.png".into() };
    vec![
        RunCreated { spec: full_spec(), carried: 0 }.into(),
        BlobStored { sha256: sha256_of_zeros(), bytes: vec![0, 255, 1] }.into(),
        StagingStarted {}.into(),
        Staged { prompt: sha256_of_zeros(), outputs: vec![node()], uploaded: vec![uploaded] }.into(),
        StagingDelayed { why: why(), retry_at: AT }.into(),
        SubmitIntended {
            attempt: 2,
            prompt_id: run_id(1).into(),
            client: ClientId("us".into()),
            prompt: sha256_of_zeros(),
            boot: 3,
        }
        .into(),
        Submitted { prompt_id: run_id(1).into(), evidence: Evidence::Lookup }.into(),
        SubmitNotSent { why: why(), retry_at: AT }.into(),
        SubmitInDoubt { why: why() }.into(),
        AbsenceNoted {}.into(),
        ResubmitRequested::default().into(),
        TwinFound { running: true }.into(),
        TwinDeleted {}.into(),
        TwinWatchEnded {}.into(),
        OutputsRefused { problems: vec![problem()], outputs: vec![node()] }.into(),
        QueueMoved { position: 4 }.into(),
        ExecutionStarted {}.into(),
        NodesCached { nodes: vec![node()] }.into(),
        NodeStarted { node: "3.0.0.1".into(), parent: Some(node()) }.into(),
        NodesProgressed { nodes: vec![NodeProgress { node: node(), done: 3, total: 20 }] }.into(),
        NodeTexted { node: node(), text: "half way".into() }.into(),
        NodeFinished { node: node(), parent: None }.into(),
        NodeBlocked { node: node(), message: "no mask".into() }.into(),
        GapNoted { why: why() }.into(),
        OutputsFound { outputs: found }.into(),
        OutputSaved { n: 1, file: saved_file(1) }.into(),
        OutputLost { n: 1, why: why() }.into(),
        OutputDelayed { n: 1, why: why(), retry_at: AT }.into(),
        OutputRetried { n: 1 }.into(),
        InputsRemovalIntended { files: vec![InputFile { name: "comfyd_00.png".into(), blob: sha256_of_zeros() }] }.into(),
        InputsRemovalDelayed { why: why(), retry_at: AT }.into(),
        InputsRemoved { removed: vec!["comfyd_00.png".into()], left: vec![InputLeft { name: "other".into(), why: why() }] }
            .into(),
        ExecutionSucceeded {}.into(),
        CancelRequested { force: true }.into(),
        LimitReached { limit: Limit::QueueTimeout }.into(),
        StopSent {}.into(),
        StopRepeated {}.into(),
        CancelRefused { why: why() }.into(),
        AttentionRaised::new(AttentionKind::SubmitUnknown, why()).into(),
        AttentionCleared { kind: AttentionKind::Unreachable }.into(),
        Completed {}.into(),
        Failed::of(error()).into(),
        InstanceLogNoted { lines: vec!["got prompt".into(), "Prompt executed in 0.66 seconds".into()] }.into(),
        Cancelled {}.into(),
        LogRepaired { offset: 20, bytes: 7, sha256: sha256_of_zeros() }.into(),
    ]
}

fn instance_setup() -> InstanceSetup {
    InstanceSetup {
        connection: Connection::Url("http://gpu-a:8188".into()),
        label: Some("The big one".into()),
        source: InstanceSource::Api,
        default: true,
    }
}

/// Every kind of an instance's events, in the order of `InstanceEvent::KINDS`.
pub(crate) fn instance_events() -> Vec<InstanceEvent> {
    vec![
        InstanceAdded { client: ClientId("us".into()), url: "http://gpu-a:8188".into() }.into(),
        InstanceUp { version: Some("0.3.75".into()), live: true, process: None }.into(),
        InstanceDown { why: "timeout".into(), obstacle: None }.into(),
        InstanceRestarted { evidence: "another pid".into() }.into(),
        InstanceConfigured { client: ClientId("us".into()), setup: instance_setup() }.into(),
        InstanceRemoved {}.into(),
        InstanceLetGo {}.into(),
        HostKeyTrusted {
            machine: "[gpu]:2".into(),
            algorithm: "ssh-ed25519".into(),
            key: "AAAA".into(),
            fingerprint: "SHA256:abc".into(),
        }
        .into(),
    ]
}

/// Every kind of a generic workflow's events, in the order of `SetupEvent::KINDS`.
pub(crate) fn setup_events() -> Vec<SetupEvent> {
    let fields = || [("seconds".to_owned(), "1.50".to_owned())].into();
    let plan = || PlannedStep { action: "wait".into(), label: "Wait".into(), enabled: true, fields: fields() };
    let error = || StepError { code: "ssh_unavailable".into(), message: "no shell".into(), hint: "skip it".into() };
    let task = |status, subtasks| SetupTask {
        name: "KSampler (12)".into(),
        status,
        note: Some("Sampling step 45/100".into()),
        subtasks,
        fields: fields(),
    };
    let tasks = || vec![task(TaskStatus::Running, vec![task(TaskStatus::Success, vec![])])];
    let target = || SetupTarget { ssh_connection: Some("ssh -p 22 root@gpu".into()), instance: None, url: None };
    let step = ImportedStep {
        plan: plan(),
        status: StepStatus::Blocked,
        tasks: tasks(),
        note: Some("8/8".into()),
        error: Some(error()),
    };
    vec![
        SetupCreated { target: target(), steps: vec![plan()], step_delay_ms: 5_000 }.into(),
        SetupImported {
            target: target(),
            status: ImportedStatus::Blocked,
            steps: vec![step],
            started: Timestamp(1),
            updated: Timestamp(2),
            fields: fields(),
        }
        .into(),
        SetupStepBegun { step: 1, attempt: 2 }.into(),
        SetupStepRun { step: 1, run: run_id(7) }.into(),
        SetupStepReported { step: 1, tasks: tasks(), note: Some("8/15 nodes".into()) }.into(),
        SetupStepEnded { step: 1, ending: StepEnding::Blocked(error()) }.into(),
        SetupStopRequested {}.into(),
        SetupStopped {}.into(),
        SetupResumed { skip: vec![1] }.into(),
    ]
}
