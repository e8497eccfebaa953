//! An emulation of the kubelet, for what a pod's manifest promises: no Kubernetes is involved.
//!
//! It plays a rendered Pod, or the pod of a Deployment, Job or CronJob, with real containers: volumes of Secrets,
//! ConfigMaps and the pod's own annotations as the kubelet writes them, init containers in order, a native sidecar that
//! holds the others back until its startup probe has passed, postStart and preStop, a Job that ends and takes its
//! sidecars with it, termination with the sidecars last and in reverse order. Names are answered as the cluster's name
//! server does, by namespace.
//!
//! What it does not do: schedule, restart, limit resources, forward to virtual addresses (a Service resolves to its pods
//! or endpoints), apply network policies, admission or `defaultMode`. Probes are asked when a test asks, and more often
//! than their period says. Whatever else a manifest uses is a panic that names it, so that nothing passes unplayed.
//!
//! To be used inside [`namespace::machine`](crate::namespace::machine).

mod container;
mod hook;
mod manifest;
mod network;
mod pod;
mod volume;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

pub use manifest::{Manifests, pod_of};
pub use pod::{Event, Pod};

use crate::container::Engine;
use crate::dns::{Dns, Record};
use crate::skip::StartError;
use manifest::{list, text};
use network::Network;

/// How long an address may be kept, as CoreDNS says it.
const LIFETIME: Duration = Duration::from_secs(30);

/// One machine of a cluster that does not exist.
#[derive(Debug)]
pub struct Node {
    engine: Engine,
    network: Network,
    dns: Dns,
    images: BTreeMap<String, String>,
}

impl Node {
    /// # Errors
    /// podman is not installed, or this machine permits no containers.
    pub fn start() -> Result<Node, StartError> {
        let engine = Engine::start()?;
        let network = Network::start();
        let dns = Dns::at((Node::ADDRESS, 53).into()).expect("port 53 of a fresh network is free");
        Ok(Node { engine, network, dns, images: BTreeMap::new() })
    }

    /// Where the machine itself is for its pods: a server outside the cluster listens here.
    pub const ADDRESS: Ipv4Addr = network::NODE;

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The cluster's name server, and the world's.
    pub fn dns(&self) -> &Dns {
        &self.dns
    }

    /// The image of the engine that stands for a reference in manifests.
    pub fn provide(&mut self, reference: &str, local: &str) {
        self.images.insert(reference.to_owned(), local.to_owned());
    }

    /// Applies rendered manifests. Objects of other namespaces are left out.
    pub fn namespace(&self, name: &str, yaml: &str) -> Namespace<'_> {
        let mut objects = Manifests::default();
        for object in Manifests::parse(yaml).iter() {
            let own = object["metadata"]["namespace"].as_str().is_none_or(|other| other == name);
            if own {
                objects.add(object.clone());
            }
        }
        let namespace = Namespace { node: self, name: name.to_owned(), objects: Mutex::new(objects) };
        namespace.publish_services();
        namespace
    }

    fn image(&self, reference: &str) -> &str {
        self.images.get(reference).unwrap_or_else(|| panic!("no image stands for {reference}"))
    }
}

/// The objects of one namespace.
#[derive(Debug)]
pub struct Namespace<'n> {
    node: &'n Node,
    name: String,
    objects: Mutex<Manifests>,
}

impl<'n> Namespace<'n> {
    /// Writes a Secret, in place of the one of that name. Pods see it with [`Pod::sync`].
    pub fn secret(&self, name: &str, entries: &[(&str, &str)]) {
        self.object(
            "Secret",
            name,
            json!({"stringData": entries.iter().copied().collect::<BTreeMap<_, _>>()}),
        );
    }

    pub fn config_map(&self, name: &str, entries: &[(&str, &str)]) {
        self.object("ConfigMap", name, json!({"data": entries.iter().copied().collect::<BTreeMap<_, _>>()}));
    }

    /// Starts the pod of a workload, and returns once its containers run.
    pub fn run(&'n self, kind: &str, name: &str) -> Pod<'n> {
        let workload = self.objects().named(kind, name).clone();
        let template = pod_of(&workload).unwrap_or_else(|| panic!("no pod in {kind}"));
        let pod = Pod::start(self, name, template);
        self.publish_pod(template, pod.address());
        pod
    }

    fn object(&self, kind: &str, name: &str, body: Value) {
        let mut object = body;
        object["kind"] = kind.into();
        object["metadata"] = json!({"name": name});
        let mut objects = self.objects();
        let mut kept = Manifests::default();
        objects
            .iter()
            .filter(|old| !(old["kind"] == kind && old["metadata"]["name"] == name))
            .for_each(|old| kept.add(old.clone()));
        kept.add(object);
        *objects = kept;
    }

    fn objects(&self) -> MutexGuard<'_, Manifests> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the cluster's name server says of Services that have no pods: another name, or given addresses.
    fn publish_services(&self) {
        let objects = self.objects();
        for service in objects.of_kind("Service") {
            let name = self.domain(service);
            if service["spec"]["type"] == "ExternalName" {
                self.node.dns.alias(&name, text(&service["spec"]["externalName"]));
            }
        }
        for slice in objects.of_kind("EndpointSlice") {
            let service =
                objects.named("Service", text(&slice["metadata"]["labels"]["kubernetes.io/service-name"]));
            assert_eq!(service["spec"]["clusterIP"], "None", "no emulation of virtual addresses: {service}");
            let addresses = list(slice, "endpoints").flat_map(|endpoint| list(endpoint, "addresses"));
            let records: Vec<_> = addresses.map(|address| record(text(address))).collect();
            self.node.dns.set(&self.domain(service), LIFETIME, &records);
        }
    }

    fn publish_pod(&self, template: &Value, address: Ipv4Addr) {
        let labels = &template["metadata"]["labels"];
        for service in self.objects().of_kind("Service") {
            let Some(selector) = service["spec"]["selector"].as_object() else { continue };
            if selector.iter().all(|(key, value)| labels[key] == *value) {
                self.node.dns.set(&self.domain(service), LIFETIME, &[record(&address.to_string())]);
            }
        }
    }

    fn domain(&self, service: &Value) -> String {
        format!("{}.{}.svc.cluster.local", text(&service["metadata"]["name"]), self.name)
    }
}

fn record(address: &str) -> Record {
    Record::Address(address.parse::<IpAddr>().expect("an address of an endpoint"))
}
