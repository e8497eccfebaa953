//! Everything in `deploy` that becomes manifests, for a version of Kubernetes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use attache::config::{self, Sources};
use attache::registry::facts;
use attache_kit::Missing;
use attache_kit::kubelet::Manifests;
use attache_kit::tools::{self, Ran};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(120);
/// The oldest that the chart accepts to the newest that there are schemas of.
pub const MINORS: std::ops::RangeInclusive<u32> = 28..=37;
pub const HELMS: [u32; 2] = [3, 4];
/// Policies of admission are version 1 from here on.
const POLICIES_SINCE: u32 = 30;

pub fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// A stream of manifests, and where it came from.
#[derive(Debug, Clone)]
pub struct Rendered {
    pub from: String,
    pub yaml: String,
}

impl Rendered {
    pub fn manifests(&self) -> Manifests {
        Manifests::parse(&self.yaml)
    }
}

/// Everything for one version: kustomizations, and the charts by both Helms. Each is rendered once in a process.
pub fn everything(minor: u32) -> Result<Vec<Rendered>, Missing> {
    let mut all = kustomizations(minor)?;
    all.extend(from_charts(minor)?);
    Ok(all)
}

fn kustomizations(minor: u32) -> Result<Vec<Rendered>, Missing> {
    static BUILT: OnceLock<Result<Vec<Rendered>, Missing>> = OnceLock::new();
    const NAMES: [&str; 6] = [
        "example/blue",
        "example/green",
        "example/plain",
        "example/classic",
        "example/checked",
        "admission-policy",
    ];
    let build = |name: &str| Ok(Rendered { from: name.to_owned(), yaml: kustomize(name)? });
    let built = BUILT.get_or_init(|| NAMES.into_iter().map(build).collect());
    // Which of them suit a cluster is for its operator to know.
    let suits = |one: &&Rendered| one.from != "admission-policy" || minor >= POLICIES_SINCE;
    Ok(built.clone()?.iter().filter(suits).cloned().collect())
}

fn from_charts(minor: u32) -> Result<Vec<Rendered>, Missing> {
    type ByMinor = BTreeMap<u32, Vec<Rendered>>;
    static RENDERED: OnceLock<Result<ByMinor, Missing>> = OnceLock::new();
    let rendered = RENDERED.get_or_init(|| {
        let charts = Charts::prepared()?;
        MINORS.map(|minor| Ok((minor, charts.rendered(minor)?))).collect()
    });
    Ok(rendered.clone()?[&minor].clone())
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

    fn rendered(&self, minor: u32) -> Result<Vec<Rendered>, Missing> {
        let mut wanted =
            vec![("attache", Some("standalone")), ("attache", Some("injector")), ("example", None)];
        if minor >= POLICIES_SINCE {
            wanted.push(("attache", Some("cluster")));
        }
        let mut all = Vec::new();
        for (helm, (chart, values)) in
            HELMS.into_iter().flat_map(|helm| wanted.iter().map(move |it| (helm, it)))
        {
            let from = format!("Helm {helm}, {chart} {}", values.unwrap_or_default());
            all.push(Rendered { from, yaml: self.template(helm, chart, *values, minor, &[])?.ok() });
        }
        Ok(all)
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

/// Reads every configuration in a stream as `attache run` would; says how many there were.
pub fn check_configurations(rendered: &Rendered) -> usize {
    let manifests = rendered.manifests();
    let texts = manifests.of_kind("ConfigMap").filter_map(|map| map["data"]["attache.yaml"].as_str());
    let check = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("attache.yaml");
        fs::write(&file, text).unwrap();
        let sources = Sources { files: vec![file], ..Sources::default() };
        config::load(&sources, &facts()).unwrap_or_else(|wrong| panic!("{}: {wrong}", rendered.from));
    };
    texts.map(check).count()
}
