//! `attache webhook`: the injector as the API server asks it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::inject::SidecarArguments;
use super::run::note_panic;
use super::{Failed, Outcome, block_on, print};
use crate::config;
use crate::config::domain::{Level, Log, LogFormat};
use crate::inject::webhook::{self, Identity, Settings};
use crate::log;
use crate::secret::{Keys, Mount, Source};

/// How often the certificate's folder is read even if no change was noticed.
const POLL: Duration = Duration::from_secs(30);

/// Put the sidecar into pods while they are created: a mutating admission webhook.
///
/// A pod with the label attache-proxy.io/inject: enabled gets what `attache inject` would give it; what the flags here
/// do not say, its annotations do. Reviews are answered at /mutate, health at /livez and /readyz, counters at /metrics.
#[derive(Debug, Args)]
pub(super) struct Webhook {
    /// Where the API server asks, over TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443", value_parser = config::tcp_address)]
    listen: SocketAddr,

    /// Where the kubelet and Prometheus ask.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9900", value_parser = config::tcp_address)]
    health: SocketAddr,

    /// The folder with tls.crt and tls.key, followed when they change.
    #[arg(
        long,
        value_name = "FOLDER",
        required_unless_present = "self_signed",
        conflicts_with = "self_signed"
    )]
    tls: Option<PathBuf>,

    /// Make a certificate for these names at the start, and print its authority for caBundle: to try it out.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    self_signed: Vec<String>,

    /// A folder of configurations NAME.yaml, which pods ask for by the annotation attache-proxy.io/profile.
    #[arg(long, value_name = "FOLDER")]
    profiles: Option<PathBuf>,

    /// How long to serve on after SIGTERM, until the cluster has noticed.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = config::duration)]
    linger: Duration,

    #[command(flatten)]
    sidecar: SidecarArguments,
}

impl Webhook {
    pub(super) fn run(self) -> Outcome {
        let _logging = log::start(&Log { format: LogFormat::Auto, level: Level::Info });
        std::panic::set_hook(Box::new(note_panic));
        let identity = self.identity()?;
        let settings = Settings {
            listen: self.listen,
            health: self.health,
            defaults: self.sidecar.parameters(),
            profiles: self.profiles,
            linger: self.linger,
        };
        block_on(async {
            let (mut end, mut again) = (terminated()?, terminated()?);
            let second = async {
                again.recv().await;
                again.recv().await;
            };
            tokio::select! {
                ran = webhook::run(settings, identity, end.recv()) => ran.map_err(Failed::Because),
                // It ends at once.
                () = second => Ok(()),
            }
        })?
    }

    fn identity(&self) -> Result<Identity, Failed> {
        match &self.tls {
            Some(folder) => {
                let mount = Mount {
                    path: folder.clone(),
                    keys: Keys::default(),
                    user: None,
                    poll: POLL,
                    needs_user: false,
                };
                let (source, watcher) = Source::open("webhook", mount);
                Ok(Identity::Mounted(source, watcher))
            }
            None => {
                let own = webhook::self_signed(&self.self_signed).map_err(Failed::Arguments)?;
                print(&format!("caBundle: {}\n", own.ca_bundle))?;
                Ok(Identity::SelfSigned(own))
            }
        }
    }
}

/// Both signals that ask us to end.
struct Terminated {
    terminate: Signal,
    interrupt: Signal,
}

impl Terminated {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn terminated() -> Result<Terminated, Failed> {
    let listen =
        |kind| signal(kind).map_err(|error| Failed::Because(format!("cannot listen for signals: {error}")));
    Ok(Terminated {
        terminate: listen(SignalKind::terminate())?,
        interrupt: listen(SignalKind::interrupt())?,
    })
}
