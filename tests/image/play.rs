//! A play of manifests: a node, a database outside its cluster, and what has happened in a pod.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use attache_kit::kubelet::{Event, Namespace, Node, Pod};
use attache_kit::namespace::machine;
use attache_kit::{StartError, available, tools};

use crate::house::{Database, SECRET, node};

/// Containers are built and started by programs that take minutes where other tests run beside them.
pub const LONG: Duration = Duration::from_secs(300);

pub fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

pub fn rendered(command: &mut Command) -> String {
    tools::run(command, b"", LONG).ok()
}

pub fn kustomize(name: &str) -> Result<String, StartError> {
    Ok(rendered(tools::kubectl()?.arg("kustomize").arg(deploy().join("kustomize/example").join(name))))
}

/// A database outside the cluster at this address, which its certificate calls `orders-db`.
pub fn database_at(address: &str) -> Result<Database, StartError> {
    let database = Database::start(&["orders-db", "orders-1.db.example.com"])?;
    database.reach_at(address);
    database.server.sql_in("orders", &format!("create table place as select '{address}' as name"));
    database.server.sql_in("orders", "grant select on place to orders");
    Ok(database)
}

/// The namespace with what its manifests expect to be there.
pub fn namespace<'n>(node: &'n Node, name: &str, yaml: &str, database: &Database) -> Namespace<'n> {
    let space = node.namespace(name, yaml);
    space.secret("attache", &[("username", "orders"), ("password", SECRET)]);
    space.config_map("attache-ca", &[("ca.pem", database.pki.ca_pem())]);
    space
}

pub fn played(test: &str, body: impl FnOnce(&Node) -> Result<(), StartError>) {
    let permitted = machine(test, || {
        let Some(node) = available(node()) else { return };
        available(body(&node));
    });
    available(permitted);
}

pub fn at(events: &[Event], wanted: &Event) -> usize {
    events.iter().position(|event| event == wanted).unwrap_or_else(|| panic!("no {wanted:?} in {events:?}"))
}

/// That these came, in this order.
pub fn in_order(pod: &Pod<'_>, wanted: &[Event]) {
    let events = pod.events();
    let places: Vec<_> = wanted.iter().map(|event| at(&events, event)).collect();
    assert!(places.is_sorted(), "{events:?}");
}

pub fn started(name: &str) -> Event {
    Event::Started(name.to_owned())
}
