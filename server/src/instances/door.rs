//! What every door can do with instances.

use comfyd_adapters::ssh::Secret;
use comfyd_engine::InstanceId;

use super::{Classes, InstanceEntry, InstanceView, NewInstance, Place, SetInstance, StatsView, TestReport};
use crate::app::App;
use crate::problem::Problem;

impl App {
    /// The instances, by name.
    pub fn instances(&self) -> Vec<InstanceView> {
        self.instances.list()
    }

    /// An instance.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn instance(&self, name: &str) -> Result<InstanceView, Problem> {
        self.instances.one(name)
    }

    /// Adds an instance.
    ///
    /// # Errors
    /// If its name or its address is taken or not allowed, or it cannot be stored.
    pub async fn add_instance(&self, new: NewInstance) -> Result<InstanceView, Problem> {
        self.instances.add(new).await
    }

    /// Changes an instance.
    ///
    /// # Errors
    /// If there is none, it is in use or of the configuration file, or the change is not allowed or cannot be stored.
    pub async fn set_instance(&self, name: &str, change: SetInstance) -> Result<InstanceView, Problem> {
        self.instances.edit(name, change).await
    }

    /// Removes an instance; its runs stay in history.
    ///
    /// # Errors
    /// If there is none, it is in use or of the configuration file, or it cannot be stored.
    pub async fn remove_instance(&self, name: &str) -> Result<InstanceId, Problem> {
        self.instances.remove(name).await
    }

    /// Goes the way to an instance step by step.
    ///
    /// # Errors
    /// If there is none; that it does not answer is no error.
    pub async fn test_instance(&self, name: &str) -> Result<TestReport, Problem> {
        self.instances.test(name).await
    }

    /// Goes the way to an address step by step, or over SSH.
    ///
    /// # Errors
    /// If the address is not allowed; that nobody answers there is no error.
    pub async fn test_place(&self, place: &Place) -> Result<TestReport, Problem> {
        self.instances.test_place(place).await
    }

    /// Accepts the host key of this fingerprint, which a machine on the way to an instance must present; `replace` also where it had another one.
    ///
    /// # Errors
    /// If there is no such instance, the machine presents another key, or it changed and is not to be replaced.
    pub async fn trust_instance(&self, name: &str, fingerprint: &str, replace: bool) -> Result<InstanceView, Problem> {
        self.instances.trust(name, fingerprint, replace).await
    }

    /// Keeps a secret that somebody typed for an instance until the server ends, in memory only.
    ///
    /// # Errors
    /// If there is no such instance over SSH.
    pub fn unlock_instance(
        &self,
        name: &str,
        passphrase: Option<Secret>,
        password: Option<Secret>,
    ) -> Result<InstanceView, Problem> {
        self.instances.unlock(name, passphrase, password)
    }

    /// What an instance tells of itself now.
    ///
    /// # Errors
    /// If there is none or it does not answer.
    pub async fn instance_stats(&self, name: &str) -> Result<StatsView, Problem> {
        self.instances.stats(name).await
    }

    /// The classes of nodes that an instance has, or one of them; kept while it is the same process, unless they are to be `fresh`.
    ///
    /// # Errors
    /// If there is no such instance or class, or it does not answer.
    pub async fn classes(&self, name: &str, class: Option<&str>, fresh: bool) -> Result<Classes, Problem> {
        self.instances.classes(name, class, fresh).await
    }

    /// Makes the instances of the configuration file so; said again whenever the file changes. What open runs are in the way of follows when they
    /// have ended.
    pub async fn declare_instances(&self, entries: Vec<InstanceEntry>) {
        self.instances.declare(entries).await;
    }
}
