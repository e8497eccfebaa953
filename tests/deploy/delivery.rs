//! `deploy/examples/delivery`: its steps are played, its files for CI judged.
//!
//! Helm, kubectl and Attaché are the real ones where no cluster is needed. What needs a cluster, a registry or an identity
//! is a stand-in that writes down how it was called.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use attache_kit::tools::{self, Ran};
use attache_kit::{Missing, available};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::render::{Rendered, check_configurations, deploy, run};

const DEADLINE: Duration = Duration::from_secs(120);
const IMAGE: &str = "ghcr.io/example/orders";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const ENVIRONMENTS: [&str; 2] = ["staging", "production"];

/// Writes down how it was called, fails where it should, and lets the real program do what needs nothing around it.
const STAND_IN: &str = r#"#!/bin/sh
echo "$(basename "$0") $*" >>"$LOG"
[ -z "$FAIL" ] || case "$(basename "$0") $*" in $FAIL) echo "as it should" >&2; exit 1 ;; esac
case "$(basename "$0") $1" in
  "docker inspect") printf '%s\n' "registry.example.com/mirror@sha256:other" "$IMAGE@$PUSHED" ;;
  "helm template") exec "$HELM" "$@" ;;
  "kubectl kustomize") exec "$KUBECTL" "$@" ;;
  "kubectl apply") cat >/dev/null ;;
  "attache check") exec "$REAL_ATTACHE" "$@" ;;
esac
"#;

/// A repository that has the example in it.
struct Repository {
    folder: TempDir,
    programs: Vec<(&'static str, PathBuf)>,
}

impl Repository {
    fn new() -> Result<Repository, Missing> {
        let folder = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("-R").arg(deploy()).arg(folder.path()).status();
        assert!(copied.unwrap().success());
        let program = |command: Command| PathBuf::from(command.get_program());
        let programs = vec![
            ("HELM", program(tools::helm(4)?)),
            ("KUBECTL", program(tools::kubectl()?)),
            ("REAL_ATTACHE", PathBuf::from(env!("CARGO_BIN_EXE_attache"))),
        ];
        let repository = Repository { folder, programs };
        let mut built = Command::new(&repository.programs[0].1);
        for home in ["CACHE", "CONFIG", "DATA"] {
            built.env(format!("HELM_{home}_HOME"), repository.path("helm-home").join(home));
        }
        run(built.args(["dependency", "build"]).arg(repository.path("deploy/helm/example"))).ok();
        fs::create_dir(repository.path("bin")).unwrap();
        for name in ["docker", "trivy", "cosign", "helm", "kubectl", "attache"] {
            tools::write_script(&repository.path("bin").join(name), STAND_IN);
        }
        Ok(repository)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn example(&self) -> PathBuf {
        self.path("deploy/examples/delivery")
    }

    /// One step, with further settings.
    fn deliver(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(self.example().join("deliver"));
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        command.args(arguments).current_dir(self.folder.path()).env_clear().env("PATH", path);
        command.env("HOME", self.folder.path()).env("LOG", self.path("log")).env("PUSHED", DIGEST);
        command.env("CHART", self.path("deploy/helm/example")).env("FAIL", "");
        command.envs([
            ("IMAGE", IMAGE),
            ("COMMIT", "abc123"),
            ("DIGEST", DIGEST),
            ("SIGNER", "^https://ci$"),
        ]);
        command.envs(self.programs.iter().map(|(name, path)| (*name, path.as_path())));
        command.envs(settings.iter().copied());
        tools::run(&mut command, b"", DEADLINE)
    }

    /// How the stand-ins were called, since the last time that somebody asked.
    fn calls(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("log"));
        log.lines().map(str::to_owned).collect()
    }
}

fn repository() -> Option<Repository> {
    available(Repository::new())
}

/// The first two words of each call.
fn brief(calls: &[String]) -> Vec<String> {
    calls.iter().map(|call| call.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn what_was_scanned_is_pushed_signed_and_deployed_by_its_digest() {
    let Some(repository) = repository() else { return };
    for step in ["build", "test", "scan"] {
        repository.deliver(&[step], &[("DIGEST", "")]).ok();
    }
    assert_eq!(repository.deliver(&["push"], &[("DIGEST", "")]).ok(), format!("digest={DIGEST}\n"));
    repository.deliver(&["sign"], &[]).ok();
    let calls = repository.calls();
    let expected = [
        "docker build",
        "docker build",
        "trivy image",
        "docker push",
        "docker inspect",
        "cosign sign",
        "trivy image",
        "cosign attest",
    ];
    assert_eq!(brief(&calls), expected);
    assert!(
        calls[0].contains(&format!("--tag {IMAGE}:abc123")) && calls[1].contains("--target test"),
        "{calls:?}"
    );
    assert!(
        calls[2].contains("--exit-code 1") && calls[2].ends_with(&format!("{IMAGE}:abc123")),
        "{calls:?}"
    );
    assert!(calls[5..].iter().all(|call| call.ends_with(&format!("{IMAGE}@{DIGEST}"))), "{calls:?}");

    for environment in ENVIRONMENTS {
        repository.deliver(&["release", environment], &[]).ok();
        let calls = repository.calls();
        assert_eq!(brief(&calls)[..2], ["cosign verify", "helm upgrade"]);
        assert!(calls[1].contains(&format!("--set image={IMAGE}@{DIGEST}")), "{calls:?}");
        assert!(calls[1].contains(&format!("environments/{environment}.yaml")), "{calls:?}");
        let asked = format!(
            "kubectl --namespace orders-{environment} exec deployment/orders --container attache -- attache check -c \
             /etc/attache/attache.yaml"
        );
        assert_eq!(calls.last(), Some(&asked));
    }
}

#[test]
fn a_step_that_fails_stops_the_delivery() {
    let Some(repository) = repository() else { return };
    let refused = |arguments: &[&str], settings: &[(&str, &str)]| {
        let ran = repository.deliver(arguments, settings);
        assert!(!ran.status.success(), "{arguments:?} {settings:?}: {}", ran.stdout);
        (ran.stderr, repository.calls())
    };
    refused(&["scan"], &[("FAIL", "trivy*")]);
    refused(&["push"], &[("FAIL", "docker push*")]);
    for (setting, told) in [("DIGEST", "DIGEST is not set"), ("SIGNER", "SIGNER is not set")] {
        let (said, calls) = refused(&["deploy", "production"], &[(setting, "")]);
        assert!(said.contains(told) && calls.is_empty(), "{said}{calls:?}");
    }
    let (_, calls) = refused(&["deploy", "production"], &[("FAIL", "cosign verify*")]);
    assert_eq!(brief(&calls), ["cosign verify"], "what is not signed is not deployed");
    let (said, _) = refused(&["deploy", "produktion"], &[]);
    assert!(said.contains("no environments/produktion.yaml"), "{said}");
    let (said, _) = refused(&["deplay"], &[]);
    assert!(said.contains("deliver STEP"), "{said}");
}

#[test]
fn a_release_that_does_not_reach_its_database_is_taken_back() {
    let Some(repository) = repository() else { return };
    for (with, back) in
        [("helm", "helm rollback"), ("kubectl", "kubectl --namespace orders-staging rollout undo")]
    {
        let settings = [("WITH", with), ("FAIL", "kubectl*exec*")];
        let ran = repository.deliver(&["release", "staging"], &settings);
        assert!(
            !ran.status.success() && ran.stderr.contains("staging has the release of before"),
            "{}",
            ran.stderr
        );
        let calls = repository.calls();
        assert!(calls.last().unwrap().starts_with(back), "{calls:?}");
    }
}

#[test]
fn what_would_be_deployed_is_valid_and_is_checked_by_attache_itself() {
    let Some(repository) = repository() else { return };
    let Some(mut python) = available(tools::kubernetes_python()) else { return };
    let mut questions = Vec::new();
    for (environment, with) in ENVIRONMENTS.into_iter().flat_map(|it| [(it, "helm"), (it, "kubectl")]) {
        let yaml = repository.deliver(&["render", environment], &[("WITH", with)]).ok();
        assert!(
            yaml.contains(&format!("{IMAGE}@{DIGEST}")) && !yaml.contains("registry.example.com"),
            "{yaml}"
        );
        let rendered = Rendered { from: format!("{environment} {with}"), yaml };
        assert_eq!(check_configurations(&rendered), 1);
        let native = |object: &&Value| object["apiVersion"] != "monitoring.coreos.com/v1";
        let manifests = rendered.manifests();
        questions.extend(
            manifests.iter().filter(native).map(|object| json!({"version": "1.34", "object": object})),
        );
        let said = repository.deliver(&["check", environment], &[("WITH", with)]).ok();
        assert!(said.contains("configuration") && said.contains("1 route"), "{said}");
    }
    let judge = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/judge.py");
    let input = serde_json::to_vec(&questions).unwrap();
    let answers: Vec<Value> =
        serde_json::from_str(&tools::run(python.args([judge, "schemas"]), &input, DEADLINE).ok()).unwrap();
    assert!(answers.iter().all(Value::is_null) && answers.len() >= 16, "{answers:#?}");

    let values = repository.example().join("environments/staging.yaml");
    let wrong = fs::read_to_string(&values).unwrap().replace("protocol: postgres", "protocol: postgers");
    fs::write(&values, wrong).unwrap();
    let ran = repository.deliver(&["check", "staging"], &[]);
    assert!(
        !ran.status.success() && ran.stderr.contains("did you mean postgres"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
}

fn read(name: &str) -> String {
    fs::read_to_string(deploy().join("examples/delivery").join(name)).unwrap()
}

/// Which steps of `deliver` a job takes, in order.
fn steps(job: &Value) -> Vec<String> {
    let lines = job["steps"].as_array().into_iter().flatten().filter_map(|step| step["run"].as_str());
    let lines = lines.chain(job["script"].as_array().into_iter().flatten().filter_map(Value::as_str));
    lines
        .filter_map(|line| Some(line.strip_prefix("./deliver ")?.split([' ', '>']).next()?.to_owned()))
        .collect()
}

#[test]
fn both_kinds_of_ci_take_the_same_steps_in_the_same_order() {
    let github: Value = serde_saphyr::from_str(&read("github.yaml")).unwrap();
    let gitlab: Value = serde_saphyr::from_str(&read("gitlab.yaml")).unwrap();
    let jobs = &github["jobs"];
    let proposal = ["build", "test", "scan"];
    let image = ["build", "test", "scan", "push", "sign"];
    assert_eq!(
        (steps(&jobs["proposal"]), steps(&jobs["image"])),
        (proposal.map(String::from).into(), image.map(String::from).into())
    );
    assert_eq!(
        (steps(&gitlab["proposal"]), steps(&gitlab["signed"])),
        (steps(&jobs["proposal"]), steps(&jobs["image"]))
    );
    let release = vec!["check".to_owned(), "release".to_owned()];
    for environment in ENVIRONMENTS {
        assert_eq!(steps(&jobs[environment]), release);
        assert_eq!(jobs[environment]["environment"], environment);
        assert_eq!(
            (&gitlab[environment]["extends"], &gitlab[environment]["environment"]),
            (&".release".into(), &environment.into())
        );
    }
    assert_eq!(steps(&gitlab[".release"]), release);
    assert_eq!(jobs["production"]["needs"], json!(["image", "staging"]));
    assert_eq!(gitlab["production"]["rules"][0]["when"], "manual");
}

#[test]
fn the_files_for_ci_are_what_their_systems_take_and_zizmor_finds_no_weakness() {
    let judged = || -> Result<(), Missing> {
        let folder = tempfile::tempdir().unwrap();
        let workflow = folder.path().join(".github/workflows/delivery.yaml");
        fs::create_dir_all(workflow.parent().unwrap()).unwrap();
        fs::write(&workflow, read("github.yaml")).unwrap();
        let gitlab = deploy().join("examples/delivery/gitlab.yaml");
        for (schema, file) in [("vendor.github-workflows", &workflow), ("vendor.gitlab-ci", &gitlab)] {
            let mut judge = tools::python_program("check-jsonschema")?;
            run(judge.args(["--builtin-schema", schema]).arg(file)).ok();
        }
        let mut zizmor = tools::python_program("zizmor")?;
        run(zizmor.args(["--offline", "--no-progress", "--persona", "pedantic"]).arg(&workflow)).ok();
        Ok(())
    };
    available(judged());
}

/// No Spinnaker is involved: this is its graph and what is in it.
#[test]
fn the_pipeline_for_spinnaker_goes_from_staging_by_approval_to_production() {
    let pipeline: Value = serde_json::from_str(&read("spinnaker.json")).unwrap();
    let stages = pipeline["stages"].as_array().unwrap();
    let mut known = BTreeSet::new();
    for stage in stages {
        let before: Vec<_> = stage["requisiteStageRefIds"].as_array().unwrap().iter().collect();
        assert!(before.iter().all(|name| known.contains(name.as_str().unwrap())), "{stage}");
        assert!(known.insert(stage["refId"].as_str().unwrap()), "{stage}");
    }
    let order: Vec<_> = stages.iter().map(|stage| stage["refId"].as_str().unwrap()).collect();
    let of = |environment: &str| {
        ["bake", "deploy", "check", "undo", "stop"].map(|step| format!("{step}-{environment}"))
    };
    let expected = [&of("staging")[..], &["approve".to_owned()], &of("production")[..]].concat();
    assert_eq!(order, expected);
    let artifacts: BTreeSet<_> = pipeline["expectedArtifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    for stage in stages {
        for input in stage["inputArtifacts"].as_array().into_iter().flatten() {
            assert!(artifacts.contains(input["id"].as_str().unwrap()), "{input}");
        }
    }
    let Some(mut python) = available(tools::kubernetes_python()) else { return };
    let jobs = stages.iter().filter(|stage| stage["type"] == "runJobManifest");
    let questions: Vec<_> =
        jobs.map(|stage| json!({"version": "1.34", "object": stage["manifest"]})).collect();
    let judge = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/judge.py");
    let input = serde_json::to_vec(&questions).unwrap();
    assert_eq!(tools::run(python.args([judge, "schemas"]), &input, DEADLINE).ok(), "[null, null]");
}

#[test]
fn the_script_is_one_that_bash_can_read() {
    let script = deploy().join("examples/delivery/deliver");
    assert_ne!(fs::metadata(&script).unwrap().permissions().mode() & 0o111, 0, "it can be run");
    run(Command::new("bash").arg("-n").arg(Path::new(&script))).ok();
}
