//! What the image says it consists of.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use attache_kit::available;
use attache_kit::tools;
use serde_json::Value;

use crate::render::{deploy, run};

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

#[test]
fn the_bill_names_what_is_linked_in_with_licence_and_origin() {
    let Some(mut python) = available(tools::kubernetes_python()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let script = deploy().join("image/notices.py");
    // The Python of the tests has no home, and cargo is found by one.
    python.env("HOME", std::env::var_os("HOME").unwrap_or_default()).env("CARGO_NET_OFFLINE", "true");
    run(python.arg(script).args(["--target", &host, "--into"]).arg(folder.path())).ok();

    let text = fs::read_to_string(folder.path().join("sbom.cdx.json")).unwrap();
    let bill: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bill["specVersion"], "1.5");
    let components: Vec<_> = list(&bill, "components").chain([&bill["metadata"]["component"]]).collect();
    let names: BTreeSet<_> = components.iter().map(|it| it["name"].as_str().unwrap()).collect();
    for linked in ["attache", "attache-postgres", "aws-lc-sys", "rustls", "tokio", "glibc"] {
        assert!(names.contains(linked), "{linked} is missing");
    }
    for tool in ["attache-kit", "proptest", "serde_derive", "cc"] {
        assert!(!names.contains(tool), "{tool} is not part of the program");
    }
    let refs: BTreeSet<_> = components.iter().map(|it| it["bom-ref"].as_str().unwrap()).collect();
    assert_eq!(refs.len(), components.len(), "a reference twice");
    let used = list(&bill, "dependencies").flat_map(|it| list(it, "dependsOn").chain([&it["ref"]]));
    assert!(used.map(|it| it.as_str().unwrap()).all(|it| refs.contains(it)));
    let notices = fs::read_to_string(folder.path().join("THIRD-PARTY.txt")).unwrap();
    for component in components {
        let (name, version) = (component["name"].as_str().unwrap(), component["version"].as_str().unwrap());
        assert_ne!(component["licenses"][0]["expression"], "NOASSERTION", "{name}");
        let own = name.starts_with("attache");
        assert!(
            own || notices.contains(&format!("{name} {version} (")) || notices.contains(&format!("{name} (")),
            "{name}"
        );
        let from_registry = component["purl"].is_string() && !own;
        assert!(!from_registry || component["hashes"][0]["alg"] == "SHA-256", "{name} has no checksum");
    }
}

/// Both ways to the image end in the same one.
#[test]
fn the_dockerfile_and_the_containerfile_agree() {
    let read = |file: &str| fs::read_to_string(deploy().join(file)).unwrap();
    let (docker, container) = (read("Dockerfile"), read("image/Containerfile"));
    let (_, of_docker) = docker.split_once("COPY --from=build /image/ /\n").unwrap();
    let (_, of_container) = container.split_once("COPY . /\n").unwrap();
    assert_eq!(of_docker, of_container);
    assert!(of_docker.contains("USER 65532:65532"));
    assert!(Command::new("bash").arg("-n").arg(deploy().join("image/root")).status().unwrap().success());
}
