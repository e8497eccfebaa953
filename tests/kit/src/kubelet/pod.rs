//! The life of one pod, from its first init container to its last sidecar.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::manifest::{list, text};
use super::volume::{self, Volume};
use super::{Namespace, container, hook, network};
use crate::scratch;
use crate::tools::Ran;
use crate::wait::{eventually, within};

/// Kubernetes' own default.
const GRACE_SECONDS: u64 = 30;
const LONG: Duration = Duration::from_secs(180);

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        self.namespace.node.engine.remove_pod(&self.name);
    }
}

/// What happened to a container, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Started(String),
    /// Its startup probe has passed: what comes after it may start.
    StartupPassed(String),
    PreStop(String),
    /// It was sent SIGTERM.
    Signalled(String),
    Ended(String, i32),
    /// The grace period was over.
    Killed(String),
}

#[derive(Debug)]
pub struct Pod<'n> {
    namespace: &'n Namespace<'n>,
    name: String,
    template: Value,
    address: Ipv4Addr,
    volumes: BTreeMap<String, Volume>,
    etc: TempDir,
    events: Mutex<Vec<Event>>,
}

impl<'n> Pod<'n> {
    pub(super) fn start(namespace: &'n Namespace<'n>, workload: &str, template: &Value) -> Pod<'n> {
        let name = format!("{}-{workload}-0", namespace.name);
        let engine = &namespace.node.engine;
        engine.podman(&["pod", "create", "--network", "none", "--name", &name]).ok();
        engine.podman(&["pod", "start", &name]).ok();
        let infra = engine.podman(&["pod", "inspect", &name, "--format", "{{.InfraContainerID}}"]).ok();
        let process = engine.podman(&["inspect", infra.trim(), "--format", "{{.State.Pid}}"]).ok();
        let address = namespace.node.network.join(process.trim());
        let etc = scratch::folder("etc");
        network::write_etc(etc.path(), &namespace.name, &name, address);
        let volumes = volume::materialise(template, &namespace.objects());
        let template = template.clone();
        let pod = Pod { namespace, name, template, address, volumes, etc, events: Mutex::default() };
        pod.start_containers();
        pod
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn namespace(&self) -> &str {
        &self.namespace.name
    }

    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a container has written so far.
    pub fn logs(&self, container: &str) -> String {
        let ran = self.podman(&["logs", &self.container(container)]);
        format!("{}{}", ran.stdout, ran.stderr)
    }

    /// Runs a program in a container, to its end.
    pub fn exec(&self, container: &str, command: &[&str]) -> Ran {
        self.podman(&[&["exec", &self.container(container)], command].concat())
    }

    /// The number of its first process on this machine.
    pub fn process(&self, container: &str) -> u32 {
        let told = self.podman(&["inspect", &self.container(container), "--format", "{{.State.Pid}}"]).ok();
        told.trim().parse().expect("a running container has a process")
    }

    /// Whether a probe of a container passes now: `livenessProbe`, `readinessProbe` or `startupProbe`.
    pub fn probe(&self, container: &str, kind: &str) -> bool {
        let container = self.declared(container);
        hook::passes(self, container, &container[kind])
    }

    /// Ready is a pod whose containers all are, the native sidecars among them.
    pub fn is_ready(&self) -> bool {
        self.sidecars().chain(self.containers()).all(|container| {
            let probe = &container["readinessProbe"];
            self.exit_code(container).is_none() && (probe.is_null() || hook::passes(self, container, probe))
        })
    }

    /// Shows the pod's volumes the Secret as it is now, in one step as the kubelet does.
    pub fn sync(&self, secret: &str) {
        volume::refresh(&self.volumes, &self.template, &self.namespace.objects(), secret);
    }

    /// The end of a Job's pod: its containers end by themselves, then its native sidecars are stopped. The exit codes of
    /// the containers decide whether the Job has succeeded; those of sidecars do not.
    pub fn completion(&self, deadline: Duration) -> Vec<i32> {
        let codes = self.containers().map(|container| self.ended(container, deadline)).collect();
        self.stop_sidecars(self.end_of_grace());
        codes
    }

    /// Deletes the pod: the grace period begins now.
    pub fn delete(&self) {
        let end = self.end_of_grace();
        thread::scope(|scope| {
            for container in self.containers() {
                scope.spawn(move || {
                    self.pre_stop(container);
                    self.stop(container, end);
                });
            }
            // These are called at once, although their containers are stopped last.
            for sidecar in self.sidecars() {
                scope.spawn(move || self.pre_stop(sidecar));
            }
        });
        self.stop_sidecars(end);
    }

    /// Sends one container a signal, and leaves the rest of the pod alone.
    pub fn signal(&self, container: &str, signal: &str) {
        self.podman(&["kill", "--signal", signal, &self.container(container)]).ok();
    }

    /// How a container has ended, waiting for it.
    pub fn exit_code_of(&self, container: &str, deadline: Duration) -> i32 {
        self.ended(self.declared(container), deadline)
    }

    fn start_containers(&self) {
        for init in list(self.spec(), "initContainers") {
            self.launch(init);
            if init["restartPolicy"] == "Always" {
                self.await_startup(init);
            } else {
                let code = self.ended(init, LONG);
                assert_eq!(code, 0, "the init container failed: {}", self.logs(text(&init["name"])));
            }
        }
        for container in self.containers() {
            self.launch(container);
        }
    }

    fn launch(&self, declared: &Value) {
        let name = text(&declared["name"]);
        let arguments = container::arguments(self, declared, self.etc.path());
        self.podman(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).ok();
        self.podman(&["start", &self.container(name)]).ok();
        self.happened(Event::Started(name.to_owned()));
        let post_start = &declared["lifecycle"]["postStart"];
        if !post_start.is_null() {
            hook::run(self, declared, post_start);
        }
    }

    fn await_startup(&self, sidecar: &Value) {
        let (name, probe) = (text(&sidecar["name"]), &sidecar["startupProbe"]);
        if !probe.is_null() {
            let passed = within(hook::patience(probe), || hook::passes(self, sidecar, probe).then_some(()));
            assert!(passed.is_some(), "{name} did not pass its startup probe: {}", self.logs(name));
        }
        self.happened(Event::StartupPassed(name.to_owned()));
    }

    fn pre_stop(&self, container: &Value) {
        let hook = &container["lifecycle"]["preStop"];
        if !hook.is_null() && self.exit_code(container).is_none() {
            self.happened(Event::PreStop(text(&container["name"]).to_owned()));
            hook::run(self, container, hook);
        }
    }

    fn stop_sidecars(&self, end: Instant) {
        let sidecars: Vec<_> = self.sidecars().collect();
        for sidecar in sidecars.into_iter().rev() {
            self.stop(sidecar, end);
        }
    }

    fn stop(&self, container: &Value, end: Instant) {
        if self.exit_code(container).is_some() {
            return;
        }
        let name = text(&container["name"]);
        self.happened(Event::Signalled(name.to_owned()));
        self.podman(&["kill", "--signal", "TERM", &self.container(name)]).ok();
        let left = end.saturating_duration_since(Instant::now());
        let code = within(left, || self.exit_code(container)).unwrap_or_else(|| {
            self.happened(Event::Killed(name.to_owned()));
            self.podman(&["kill", "--signal", "KILL", &self.container(name)]);
            self.ended(container, LONG)
        });
        self.happened(Event::Ended(name.to_owned(), code));
    }

    fn ended(&self, container: &Value, deadline: Duration) -> i32 {
        eventually(&format!("the end of {}", container["name"]), deadline, || self.exit_code(container))
    }

    /// `None` while it runs.
    fn exit_code(&self, container: &Value) -> Option<i32> {
        const FORMAT: &str = "{{.State.Running}} {{.State.ExitCode}}";
        let name = self.container(text(&container["name"]));
        let told = self.podman(&["inspect", &name, "--format", FORMAT]).ok();
        told.trim().strip_prefix("false ").map(|code| code.parse().expect("an exit code"))
    }

    fn end_of_grace(&self) -> Instant {
        let seconds = self.spec()["terminationGracePeriodSeconds"].as_u64().unwrap_or(GRACE_SECONDS);
        Instant::now() + Duration::from_secs(seconds)
    }

    fn happened(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    fn podman(&self, arguments: &[&str]) -> Ran {
        self.namespace.node.engine.podman(arguments)
    }

    fn containers(&self) -> impl Iterator<Item = &Value> {
        list(self.spec(), "containers")
    }

    fn sidecars(&self) -> impl Iterator<Item = &Value> {
        list(self.spec(), "initContainers").filter(|container| container["restartPolicy"] == "Always")
    }

    fn declared(&self, name: &str) -> &Value {
        let mut all = list(self.spec(), "initContainers").chain(self.containers());
        all.find(|container| container["name"] == name)
            .unwrap_or_else(|| panic!("the pod has no container {name}"))
    }

    /// What podman calls a container of this pod.
    pub(super) fn container(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    pub(super) fn spec(&self) -> &Value {
        &self.template["spec"]
    }

    pub(super) fn volumes(&self) -> &BTreeMap<String, Volume> {
        &self.volumes
    }

    pub(super) fn image(&self, reference: &str) -> &str {
        self.namespace.node.image(reference)
    }
}
