//! Everything in `deploy` that becomes manifests, for a version of Kubernetes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use attache_kit::Missing;
use attache_kit::kubelet::Manifests;
use attache_kit::tools::{self, Ran};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);
/// The oldest that the chart accepts to the newest that there are schemas of.
pub const MINORS: std::ops::RangeInclusive<u32> = 28..=37;
pub const HELMS: [u32; 2] = [3, 4];

pub fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// A stream of manifests, and where it came from.
pub struct Rendered {
    pub from: String,
    pub yaml: String,
}

impl Rendered {
    pub fn manifests(&self) -> Manifests {
        Manifests::parse(&self.yaml)
    }
}

/// Everything for one version: kustomizations, and the charts by both Helms.
pub fn everything(minor: u32) -> Result<Vec<Rendered>, Missing> {
    let mut all = Vec::new();
    for name in ["example/blue", "example/green", "example/plain", "example/classic", "admission-policy"] {
        // Which sidecar and which policies a cluster takes is for its operator to know.
        let fits = match name {
            "example/classic" => true,
            "admission-policy" => minor >= 30,
            _ => minor >= 28,
        };
        if fits {
            all.push(Rendered { from: name.to_owned(), yaml: kustomize(name)? });
        }
    }
    let charts = Charts::prepared()?;
    for helm in HELMS {
        for (chart, values) in [("attache", Some("standalone")), ("attache", None), ("example", None)] {
            let from = format!("Helm {helm}, {chart} {}", values.unwrap_or_default());
            all.push(Rendered { from, yaml: charts.template(helm, chart, values, minor, &[])?.ok() });
        }
        if minor >= 30 {
            let yaml = charts.template(helm, "attache", Some("cluster"), minor, &[])?.ok();
            all.push(Rendered { from: format!("Helm {helm}, attache cluster"), yaml });
        }
    }
    Ok(all)
}

/// A kustomization below `deploy/kustomize`.
pub fn kustomize(name: &str) -> Result<String, Missing> {
    let folder = deploy().join("kustomize").join(name);
    Ok(run(tools::kubectl()?.arg("kustomize").arg(folder)).ok())
}

/// A copy of the charts, for a dependency is packed into the chart that has it.
pub struct Charts {
    folder: TempDir,
}

impl Charts {
    pub fn prepared() -> Result<Charts, Missing> {
        let folder = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("-R").arg(deploy().join("helm/.")).arg(folder.path()).status();
        assert!(copied.unwrap().success());
        let charts = Charts { folder };
        run(charts.helm(3)?.args(["dependency", "build", "example"])).ok();
        Ok(charts)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The manifests of a chart, with a file of its folder `ci` as values and further settings.
    pub fn template(
        &self,
        helm: u32,
        chart: &str,
        values: Option<&str>,
        minor: u32,
        settings: &[&str],
    ) -> Result<Ran, Missing> {
        let mut command = self.helm(helm)?;
        command.args(["template", "shop", chart, "--kube-version", &format!("1.{minor}.0")]);
        if let Some(values) = values {
            command.args(["--values", &format!("{chart}/ci/{values}-values.yaml")]);
        }
        for setting in settings {
            command.args(["--set", setting]);
        }
        Ok(run(&mut command))
    }

    /// Helm in the folder of the charts, with nothing of its user's.
    pub fn helm(&self, major: u32) -> Result<Command, Missing> {
        let mut command = tools::helm(major)?;
        command.current_dir(self.path());
        for folder in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{folder}_HOME"), self.path().join(folder));
        }
        Ok(command)
    }
}

pub fn run(command: &mut Command) -> Ran {
    tools::run(command, b"", DEADLINE)
}

/// What `attache check --offline` says of every configuration in a stream.
pub fn check_configurations(rendered: &Rendered) -> usize {
    let manifests = rendered.manifests();
    let mut seen = 0;
    for map in manifests.of_kind("ConfigMap") {
        let Some(text) = map["data"]["attache.yaml"].as_str() else { continue };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("attache.yaml");
        fs::write(&file, text).unwrap();
        let mut check = Command::new(env!("CARGO_BIN_EXE_attache"));
        let ran = run(check.args(["check", "--offline", "-c"]).arg(&file));
        assert!(ran.status.success(), "{}: {}{}", rendered.from, ran.stdout, ran.stderr);
        seen += 1;
    }
    seen
}
