//! `attache check`: walks the way of a session, from the file to the database, and tells every step.

use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::files::Files;
use super::report::Report;
use super::{Failed, Outcome, block_on, print};
use crate::app;
use crate::config::domain::{Config, CredentialSource, Route, Tls};
use crate::failure::Cause;
use crate::metrics::Metrics;
use crate::net::authorities::Authorities;
use crate::net::tls::Trust;
use crate::route::Serve;
use crate::status::CredentialStatus;
use crate::upstream::{Step, Verdict, approximately};

/// How long the files of a credential may go on changing, and how often to look.
const SETTLING: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Check a configuration, and the way to each of its databases.
///
/// Configuration, credential, DNS, TCP, TLS, login and role: each step with its time and, where it failed, the likely
/// cause. Exit code 1 if a step failed, 2 if the configuration is wrong.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    files: Files,

    /// Read files only.
    #[arg(long)]
    offline: bool,

    /// Print the steps, or what is wrong with the configuration, as JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> Outcome {
        let config = match self.files.load() {
            Err(Failed::Configuration(complaints)) if self.json => {
                print(&format!("{:#}\n", serde_json::json!({ "complaints": complaints })))?;
                return Err(Failed::Configuration(complaints));
            }
            loaded => loaded?,
        };
        let report = block_on(walk(&config, self.offline))?;
        print(&if self.json { report.json() } else { report.text() })?;
        if report.failed() { Err(Failed::AsTold) } else { Ok(()) }
    }
}

async fn walk(config: &Config, offline: bool) -> Report {
    let common = app::common(&Metrics::new());
    let mut report = Report::default();
    report.add(None, passed("configuration", count(config.routes.len())));
    for route in &config.routes {
        let (built, watchers) = common.build(route);
        for watcher in watchers {
            tokio::spawn(watcher.run());
        }
        settle(built.as_ref()).await;
        let files = [credentials(route, built.as_ref()), authorities(route)].concat();
        files.into_iter().for_each(|step| report.add(Some(&route.name), step));
        if !offline {
            built.check().await.into_iter().for_each(|step| report.add(Some(&route.name), step));
        }
    }
    report
}

/// Files that were written this very moment are read once they have come to rest.
async fn settle(route: &dyn Serve) {
    let deadline = Instant::now() + SETTLING;
    let is_unsettled = || {
        let status = route.status();
        let of_sentinels = status.sentinels.and_then(|sentinels| sentinels.credential);
        status.credential.iter().chain(&of_sentinels).any(is_unsettled)
    };
    while is_unsettled() && Instant::now() < deadline {
        sleep(PAUSE).await;
    }
}

fn is_unsettled(standing: &CredentialStatus) -> bool {
    standing.generation.is_none() && standing.problem.is_none()
}

fn count(routes: usize) -> String {
    match routes {
        1 => "1 route".to_owned(),
        routes => format!("{routes} routes"),
    }
}

/// The route's own, and that for its Sentinels.
fn credentials(route: &Route, built: &dyn Serve) -> Vec<Step> {
    let status = built.status();
    let own = route.credential.as_ref().zip(status.credential);
    let sentinel = route.upstream.sentinel.as_ref().and_then(|sentinel| sentinel.credential.as_ref());
    let of_sentinels = sentinel.zip(status.sentinels.and_then(|sentinels| sentinels.credential));
    let both = own.into_iter().chain(of_sentinels);
    both.flat_map(|(source, standing)| credential(source, &standing)).collect()
}

fn credential(source: &CredentialSource, standing: &CredentialStatus) -> Vec<Step> {
    let path = source.path.display();
    let main = match &standing.problem {
        Some(problem) => failed("credential", Cause::CredentialMissing, format!("{path}: {}", problem.text)),
        None if is_unsettled(standing) => {
            failed("credential", Cause::CredentialMissing, format!("{path}: the files keep changing"))
        }
        None => passed("credential", format!("{path}: {}", read(standing))),
    };
    let warnings = standing.warnings.iter();
    let warnings =
        warnings.map(|warning| warned("credential", warning.name, format!("{path}: {}", warning.text)));
    std::iter::once(main).chain(warnings).collect()
}

fn read(standing: &CredentialStatus) -> String {
    let generation = standing.generation.unwrap_or(0);
    match standing.file_age_seconds {
        Some(age) => {
            format!("generation {generation}, written {} ago", approximately(Duration::from_secs(age)))
        }
        None => format!("generation {generation}"),
    }
}

/// The authorities that certificates will be verified against: the server's, and the Sentinels' where those are others.
fn authorities(route: &Route) -> Vec<Step> {
    let of_sentinels = route.upstream.sentinel.as_ref().map(|sentinel| &sentinel.tls);
    let all = [Some(&route.upstream.tls), of_sentinels].into_iter().flatten();
    let mut all: Vec<_> = all.filter(|tls| tls.mode.verifies()).collect();
    all.dedup_by_key(|tls| tls.ca.as_ref());
    all.into_iter().flat_map(authorities_of).collect()
}

fn authorities_of(tls: &Tls) -> Vec<Step> {
    let authorities = Authorities::default();
    let source = tls.ca.as_ref().map_or_else(|| "the system's".to_owned(), |path| path.display().to_string());
    let main = match Trust::of(tls, &authorities) {
        Ok(_) => passed("authorities", source.clone()),
        Err(trouble) => failed("authorities", trouble.cause, trouble.detail),
    };
    let warnings = authorities.warnings(tls.ca.as_deref()).into_iter();
    let warnings =
        warnings.map(|warning| warned("authorities", warning.name(), format!("{source}: {warning}")));
    std::iter::once(main).chain(warnings).collect()
}

fn passed(name: &'static str, detail: String) -> Step {
    Step { endpoint: None, name, took: None, verdict: Verdict::Passed, detail }
}

fn warned(name: &'static str, warning: &'static str, detail: String) -> Step {
    Step { verdict: Verdict::Warned(warning), ..passed(name, detail) }
}

fn failed(name: &'static str, cause: Cause, detail: String) -> Step {
    Step { verdict: Verdict::Failed(cause), ..passed(name, detail) }
}
