//! Random lives with crashes in them.

use comfyd_server::store::{Class, Fault, FileStore, SimDisk, Sync};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{Model, now, open};

#[derive(Clone, Debug)]
enum Step {
    Append { parts: Vec<(usize, usize, usize)>, sync: Sync },
    Snapshot(usize),
    Tick,
    Sync,
    Flush,
    Shutdown,
    Plan(Fault),
    Capacity(Option<u64>),
    Crash,
    CrashHard,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let part = (0..7_usize, 1..4_usize, prop_oneof![4 => 0..80_usize, 1 => 500..1500_usize]);
    let sync = prop_oneof![Just(Sync::Now), Just(Sync::Lazy)];
    prop_oneof![
        12 => (vec(part, 1..4), sync).prop_map(|(parts, sync)| Step::Append { parts, sync }),
        6 => (0..7_usize).prop_map(Step::Snapshot),
        3 => Just(Step::Tick),
        3 => Just(Step::Sync),
        1 => Just(Step::Flush),
        1 => Just(Step::Shutdown),
        1 => (1..12_u64).prop_map(|nth| Step::Plan(Fault::Write(nth))),
        1 => (1..12_u64).prop_map(|nth| Step::Plan(Fault::Sync(nth))),
        1 => (1..25_u64).prop_map(|nth| Step::Plan(Fault::Power(nth))),
        1 => (0..6000_u64).prop_map(|more| Step::Capacity(Some(more))),
        1 => Just(Step::Capacity(None)),
        2 => Just(Step::Crash),
        1 => Just(Step::CrashHard),
        1 => Just(Step::Kill),
    ]
}

/// One process after another on one disk.
struct Life {
    disk: SimDisk,
    model: Model,
    store: Option<FileStore>,
}

impl Life {
    fn start(&mut self) {
        let Some((store, recovered)) = open(&self.disk).ok() else {
            // No room, or a failure while opening: with both gone it must open.
            self.disk.set_capacity(None);
            self.disk.crash();
            let (store, recovered) = open(&self.disk).expect("opens when nothing fails");
            self.model.check(&self.disk, &store, &recovered);
            self.store = Some(store);
            return;
        };
        self.model.check(&self.disk, &store, &recovered);
        self.store = Some(store);
    }

    fn end(&mut self, how: fn(&SimDisk)) {
        self.store = None;
        how(&self.disk);
        self.start();
    }

    fn step(&mut self, step: Step) {
        let store = self.store.as_ref().expect("always one");
        match step {
            Step::Append { parts, sync } => {
                // What an answer means is the model's business.
                let _ = self.model.append(store, &parts, sync, Class::Ordinary);
            }
            Step::Snapshot(n) => self.model.snapshot(store, n),
            Step::Tick => store.tick(),
            Step::Sync => drop(self.model.append(store, &[], Sync::Now, Class::Ordinary)),
            Step::Flush => {
                if now(store.flush()).is_ok() {
                    self.model.all_sure();
                }
            }
            Step::Shutdown => {
                if now(store.shutdown()).is_ok() {
                    self.model.all_sure();
                }
                self.end(SimDisk::kill);
            }
            Step::Plan(fault) => self.disk.plan(fault),
            Step::Capacity(more) => self.disk.set_capacity(more.map(|more| self.disk.used() + more)),
            Step::Crash => self.end(SimDisk::crash),
            Step::CrashHard => self.end(SimDisk::crash_hard),
            Step::Kill => self.end(SimDisk::kill),
        }
    }
}

proptest! {
    #[test]
    fn nothing_promised_is_lost_and_nothing_else_appears(seed in any::<u64>(), steps in vec(step(), 1..60)) {
        let mut life = Life { disk: SimDisk::new(seed), model: Model::default(), store: None };
        life.start();
        for step in steps {
            life.step(step);
        }
        life.end(SimDisk::crash);
        life.end(SimDisk::crash_hard);
    }
}
