//! What the command makes of manifests, kept in files so that a change is seen in review.

use std::fs;
use std::path::Path;

use crate::command::{USUAL, inject, manifest, objects, uninject};
use crate::judge::assert_valid;
use crate::snapshots;

struct Case {
    input: &'static str,
    output: &'static str,
    arguments: &'static [&'static str],
}

const SOCKETS: &[&str] = &["-c", "{data}/sockets.yaml", "--secret", "orders=orders-db", "--env", "shop"];

const CASES: &[Case] = &[
    Case {
        input: "deployment.yaml",
        output: "deployment.yaml",
        arguments: &["--env", "shop=orders", "--env", "migrate=orders"],
    },
    Case {
        input: "deployment.yaml",
        output: "embedded.yaml",
        arguments: &["--embed", "--config-map", "shop-attache"],
    },
    Case {
        input: "deployment.yaml",
        output: "carried.yaml",
        arguments: &["--carry", "--memory-limit", "64Mi"],
    },
    Case {
        input: "deployment.yaml",
        output: "classic.yaml",
        arguments: &["--classic", "--image", "localhost/attache"],
    },
    Case { input: "deployment.yaml", output: "sockets.yaml", arguments: SOCKETS },
    Case { input: "statefulset.yaml", output: "statefulset.yaml", arguments: &["--env", "*=orders"] },
    Case { input: "job.yaml", output: "job.yaml", arguments: &[] },
    Case { input: "cronjob.yaml", output: "cronjob.yaml", arguments: &[] },
    Case { input: "pod.yaml", output: "pod.yaml", arguments: &["--env", "shell=orders"] },
    Case { input: "list.yaml", output: "list.yaml", arguments: &["--env", "*=orders"] },
    Case { input: "list.json", output: "list.json", arguments: &["--env", "app=orders"] },
];

impl Case {
    fn arguments(&self) -> Vec<&'static str> {
        let usual: &[&str] = if self.arguments.contains(&"-c") { &[] } else { &USUAL };
        usual.iter().chain(self.arguments).copied().collect()
    }

    fn output(&self) -> String {
        inject(&manifest(self.input), &self.arguments())
    }
}

#[test]
fn manifests_become_what_the_files_say() {
    for case in CASES {
        snapshots::compare(&format!("tests/snapshots/inject/{}", case.output), &case.output());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/inject");
    assert_eq!(fs::read_dir(folder).unwrap().count(), CASES.len(), "a file that no case makes");
}

#[test]
fn every_line_that_a_person_wrote_is_still_there_and_in_its_place() {
    for case in CASES {
        let (before, after) = (manifest(case.input), case.output());
        let mut lines = after.lines();
        for line in before.lines() {
            // What stands in braces on one line is added to on that line.
            let is_grown = |found: &str| pieces(line).all(|piece| found.contains(piece));
            assert!(
                lines.any(|found| {
                    let is_followed = found.strip_suffix(',') == Some(line);
                    found == line || is_followed || (line.contains(['{', ':']) && is_grown(found))
                }),
                "{}: {line:?} is lost in\n{after}",
                case.output
            );
        }
    }
}

fn pieces(line: &str) -> impl Iterator<Item = &str> {
    line.split(['{', '}', '[', ']', ',']).map(str::trim).filter(|piece| !piece.is_empty())
}

#[test]
fn a_second_time_changes_nothing() {
    for case in CASES {
        let once = case.output();
        assert_eq!(inject(&once, &case.arguments()), once, "{}", case.output);
    }
}

#[test]
fn uninject_gives_back_what_was_there_to_the_last_octet() {
    for case in CASES {
        let original = manifest(case.input);
        let back = uninject(&case.output());
        match case.input {
            // A key without a value goes with the values that it was given.
            "statefulset.yaml" => assert_eq!(back, original.replace("            volumes:\n", "")),
            _ => assert_eq!(back, original, "{}", case.output),
        }
    }
}

#[test]
fn other_flags_bring_an_injected_manifest_up_to_date() {
    let original = manifest("deployment.yaml");
    let old =
        inject(&original, &[USUAL.as_slice(), &["--image", "localhost/attache:old", "--classic"]].concat());
    let new = [USUAL.as_slice(), &["--env", "shop=orders", "--embed"]].concat();
    assert_eq!(inject(&old, &new), inject(&original, &new));
    let embedded = inject(&original, &new);
    assert_eq!(inject(&embedded, &USUAL), inject(&original, &USUAL));
}

#[test]
fn each_protocol_leads_its_own_clients() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attache.yaml");
    let route = |protocol: &str, port: u16, more: &str| {
        format!(
            "  {protocol}: {{ protocol: {protocol}, listen: 127.0.0.1:{port}, upstream: {{ endpoints: x:1 }}{more} }}\n"
        )
    };
    let credential = ", credential: { path: /run/secret }";
    let config =
        ["postgres", "mysql"].map(|name| route(name, 1000, credential)).concat() + &route("tcp", 2000, "");
    fs::write(&file, format!("routes:\n{}", config.replacen("1000", "1001", 1))).unwrap();
    for (route, variable, value) in [
        ("postgres", "PGPORT", "1001"),
        ("mysql", "MYSQL_HOST", "127.0.0.1"),
        ("tcp", "ATTACHE_PORT", "2000"),
    ] {
        let wish = format!("reindex={route}");
        let usual = ["-c", file.to_str().unwrap(), "--secret", "postgres=a", "--env", &wish];
        let job = &objects(&inject(&manifest("job.yaml"), &usual))[0]["spec"]["template"]["spec"];
        let env = job["containers"][0]["env"].as_array().unwrap();
        assert!(env.iter().any(|it| it["name"] == variable && it["value"] == value), "{route}: {env:?}");
        // `health` was left at its default, where no kubelet could ask.
        let opened = serde_json::json!({ "name": "ATTACHE_HEALTH", "value": "0.0.0.0:9900" });
        assert_eq!(job["initContainers"][0]["env"][0], opened);
    }
}

#[test]
fn line_ends_of_other_systems_stay() {
    let text = manifest("job.yaml").replace('\n', "\r\n");
    let injected = inject(&text, &USUAL);
    assert_eq!(injected.matches('\n').count(), injected.matches("\r\n").count());
    assert_eq!(uninject(&injected), text);
}

#[test]
fn odd_notation_keeps_its_comments_and_its_empty_lines() {
    let odd = "\u{feff}%YAML 1.2
---
apiVersion: v1
kind: Pod
metadata: # who it is
  generateName: p-
spec:
  initContainers: null # none yet
  volumes: # nor these
  containers:
  - name: app
    image: x
    env: ~
    command: [sh, -c]
    args:
    - |+
      #!/bin/sh
      # what it does

      run

  # about containers
...
# the end
";
    let usual = [USUAL.as_slice(), &["--env", "app=orders"]].concat();
    let once = inject(odd, &usual);
    for line in [
        "  initContainers: # none yet\n  - name: attache\n",
        "  volumes: # nor these\n  - name: attache-conf",
    ] {
        assert!(once.contains(line), "{line:?} is not in\n{once}");
    }
    let pod = &objects(&once)[0]["spec"];
    assert_eq!(pod["containers"][0]["args"][0], "#!/bin/sh\n# what it does\n\nrun\n\n");
    assert_eq!(pod["containers"][0]["env"][0]["name"], "PGHOST");
    assert_eq!(inject(&once, &usual), once);
    let keys = ["  initContainers: null # none yet\n", "  volumes: # nor these\n", "    env: ~\n"];
    assert_eq!(uninject(&once), keys.iter().fold(odd.to_owned(), |text, key| text.replace(key, "")));
}

#[test]
fn an_embedded_config_map_has_the_name_that_each_pod_asks_for() {
    let pod = |name: &str, map: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{ name: {name}, annotations: {{ attache-proxy.io/config-map: {map} }} }}\n\
             spec: {{ containers: [{{ name: app }}] }}\n"
        )
    };
    let pods = [pod("a", "one"), pod("b", "two"), pod("c", "one")].join("---\n");
    let made = objects(&inject(&pods, &[USUAL.as_slice(), &["--embed"]].concat()));
    let maps: Vec<_> =
        made.iter().filter(|it| it["kind"] == "ConfigMap").map(|it| &it["metadata"]["name"]).collect();
    assert_eq!(maps, ["one", "two"]);
    let flags = [USUAL.as_slice(), &["--embed", "--config-map", "all"]].concat();
    let made = objects(&inject(&pods, &flags));
    assert_eq!(made.iter().filter(|it| it["kind"] == "ConfigMap").count(), 1);
}

#[test]
fn what_comes_out_is_valid_for_kubernetes_1_28_to_1_37() {
    let all = CASES.iter().flat_map(|case| {
        let objects = objects(&case.output());
        objects.into_iter().map(|object| (case.output.to_owned(), object))
    });
    assert_valid(&all.collect::<Vec<_>>());
}
