//! `attache inject`: a sidecar into manifests, from a file or standard input to standard output.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failed, Outcome, complain, print};
use crate::inject::manifest::{self, Changed, Order, Placing};
use crate::inject::parameters::{Offer, Parameters, Sidecar};
use crate::inject::quantity;

/// Put the sidecar into manifests.
///
/// Every Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob and Pod of the input, also in a List, gets the
/// container, the volumes of its configuration and its Secrets, and the marks by which it is taken out again. The rest
/// of the text stays as it is. To do it again changes nothing; with other flags or a newer version it brings the sidecar
/// up to date. What flags do not say, annotations `attache-proxy.io/…` of the pod may.
#[derive(Debug, Args)]
pub(super) struct Inject {
    /// Manifests, YAML or JSON; `-` is standard input.
    #[arg(short = 'f', long = "file", value_name = "FILE", default_value = "-")]
    file: PathBuf,

    /// The configuration of the sidecar, as it will be in the pod: environment and flags of this machine do not count.
    #[arg(short = 'c', long = "config", value_name = "FILE", conflicts_with = "uninject")]
    config: Option<PathBuf>,

    /// Take the sidecar out again.
    #[arg(long)]
    uninject: bool,

    /// Add the ConfigMap with the configuration as a document of its own.
    #[arg(long, requires = "config", conflicts_with = "carry")]
    embed: bool,

    /// Let each pod carry the configuration in an annotation, without a ConfigMap.
    #[arg(long, requires = "config")]
    carry: bool,

    /// The Secret of a route's credential.
    #[arg(long = "secret", value_name = "ROUTE=NAME", value_parser = pair)]
    secrets: Vec<(String, String)>,

    /// Tell a container by its environment where its databases are: PGHOST, MYSQL_HOST, REDIS_URL and so on. `*` is
    /// every container.
    #[arg(long = "env", value_name = "CONTAINER[=ROUTE]")]
    env: Vec<Offer>,

    #[command(flatten)]
    sidecar: SidecarArguments,
}

/// What the sidecar is made of.
#[derive(Debug, Args)]
pub(super) struct SidecarArguments {
    /// The image [default: that of this version].
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,

    /// An ordinary container, for clusters before 1.29: it cannot serve init containers, and does not end with a Job.
    #[arg(long)]
    classic: bool,

    /// The ConfigMap with the key attache.yaml [default: attache].
    #[arg(long, value_name = "NAME")]
    config_map: Option<String>,

    /// The ConfigMap with the key ca.pem, where there is one [default: attache-ca].
    #[arg(long, value_name = "NAME")]
    ca_config_map: Option<String>,

    /// Requested processor time [default: 25m].
    #[arg(long, value_name = "QUANTITY", value_parser = quantity)]
    cpu_request: Option<String>,

    /// Requested memory [default: 24Mi].
    #[arg(long, value_name = "QUANTITY", value_parser = quantity)]
    memory_request: Option<String>,

    /// The most memory that it may have [default: 128Mi].
    #[arg(long, value_name = "QUANTITY", value_parser = quantity)]
    memory_limit: Option<String>,
}

impl SidecarArguments {
    pub(super) fn parameters(self) -> Parameters {
        Parameters {
            image: self.image,
            kind: self.classic.then_some(Sidecar::Classic),
            config_map: self.config_map,
            ca_config_map: self.ca_config_map,
            cpu_request: self.cpu_request,
            memory_request: self.memory_request,
            memory_limit: self.memory_limit,
            ..Parameters::default()
        }
    }
}

impl Inject {
    pub(super) fn run(self) -> Outcome {
        let text = read(&self.file)?;
        let changed = if self.uninject {
            manifest::uninject(&text)
        } else {
            let order = self.order()?;
            order.check().map_err(Failed::Configuration)?;
            manifest::inject(&text, &order)
        };
        let Changed { text, notes, .. } = changed.map_err(|trouble| Failed::Because(trouble.to_string()))?;
        notes.iter().for_each(|note| complain(note));
        print(&text)
    }

    fn order(self) -> Result<Order, Failed> {
        let placing = match (self.embed, self.carry) {
            (true, _) => Placing::Embedded,
            (false, true) => Placing::Carried,
            (false, false) => Placing::Elsewhere,
        };
        let configuration = self.config.map(|path| {
            let text = read(&path)?;
            Ok((path.display().to_string(), text.trim_end().to_owned() + "\n"))
        });
        let parameters = Parameters {
            secrets: self.secrets.into_iter().collect(),
            env: self.env,
            ..self.sidecar.parameters()
        };
        Ok(Order { parameters, configuration: configuration.transpose()?, placing })
    }
}

fn read(path: &Path) -> Result<String, Failed> {
    let text = match path == Path::new("-") {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    text.map_err(|error| Failed::Arguments(format!("cannot read {}: {error}", path.display())))
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((route, name)) if !route.is_empty() && !name.is_empty() => {
            Ok((route.to_owned(), name.to_owned()))
        }
        _ => Err("written ROUTE=NAME".to_owned()),
    }
}
