//! The `check` command's walk to an endpoint: one login as a session would make it, told step by step.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use attache_wire::{Protocol, ServerRole};
use tokio::time::{Instant, timeout};

use super::check_sentinels::no_report;
use super::{Course, Opened, Trail, Upstream};
use crate::config::domain::{Endpoint, Role, TlsMode};
use crate::failure::{Cause, Failure, Side, Stage};
use crate::net::link::Link;

/// One step, and what it came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `None` for what concerns the whole route.
    pub endpoint: Option<String>,
    pub name: &'static str,
    pub took: Option<Duration>,
    pub verdict: Verdict,
    /// What was found, for people.
    pub detail: String,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// It works, but something about it should be changed: the name of the warning.
    Warned(&'static str),
    Failed(Cause),
    /// Not tried, or there is nothing to try.
    Skipped,
}

/// The steps to an endpoint, by the names that people look for.
const STEPS: [(Stage, &str); 4] =
    [(Stage::Resolve, "dns"), (Stage::Dial, "tcp"), (Stage::Tls, "tls"), (Stage::Login, "login")];

/// The warning of a certificate that ends within [`SOON`], which is when the alerts of the manifests begin.
const EXPIRES_SOON: &str = "certificate_expires_soon";
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// The step after them, where servers have roles.
const ROLE: &str = "role";

impl<P: Protocol> Upstream<P> {
    /// Goes to every endpoint, logs in and takes leave.
    pub async fn check(&self) -> Vec<Step> {
        let (mut steps, mut roles) = (self.check_sentinels().await, Vec::new());
        let present = match self.present().await {
            Ok(present) => present,
            Err(failure) => {
                steps.extend(self.nothing_listed(&failure));
                return steps;
            }
        };
        for index in present {
            let (walked, role) = self.check_one(index).await;
            steps.extend(walked);
            roles.extend(role);
        }
        steps.extend(self.no_server_of_the_role(&roles));
        steps
    }

    /// Without a list there is no way to go further.
    fn nothing_listed(&self, failure: &Failure) -> Vec<Step> {
        if self.sentinels.is_some() {
            return vec![no_report(failure)];
        }
        let (endpoint, course) = (&self.settings.endpoints[0], &Course::default());
        let name = self.settings.list().unwrap_or_default().to_owned();
        Found { upstream: self, endpoint, name, course }.steps(Some(failure), None).collect()
    }

    /// An endpoint of another role is no mistake; that none has the role of the route is one.
    fn no_server_of_the_role(&self, roles: &[Option<ServerRole>]) -> Option<Step> {
        let found = roles.iter().any(|role| self.settings.role.admits(*role));
        (!roles.is_empty() && !found).then(|| Step {
            endpoint: None,
            name: ROLE,
            took: None,
            verdict: Verdict::Failed(Cause::WrongRole),
            detail: format!("the route wants role: {}", self.settings.role.name()),
        })
    }

    /// The steps to one endpoint, and what it said of its role if it let us in.
    async fn check_one(&self, index: usize) -> (Vec<Step>, Option<Option<ServerRole>>) {
        let mut trail = Trail { course: Some(Box::default()), ..Trail::default() };
        let outcome = self.try_once(index, &mut trail).await;
        let course = trail.course.take().unwrap_or_default();
        let (endpoint, name) = (&self.target(index), self.names[index].to_string());
        let found = Found { upstream: self, endpoint, name, course: &course };
        match outcome {
            Ok(mut opened) => {
                let version = self.protocol.server_version(&opened.greeting);
                let role = self.protocol.role(&opened.greeting);
                let ping = self.ping(index, &mut opened.link).await;
                opened.leave(&self.protocol).await;
                let steps = found.steps(None, version.as_deref()).chain(found.role(Some(role))).chain(ping);
                (steps.collect(), Some(role))
            }
            Err(failure) => (found.steps(Some(&failure), None).chain(found.role(None)).collect(), None),
        }
    }

    /// One question and its answer, where the protocol has such.
    async fn ping(&self, index: usize, link: &mut Link) -> Option<Step> {
        let machine = self.protocol.ping()?;
        let start = Instant::now();
        let answer = timeout(self.settings.connect_timeout, link.drive(machine, None)).await;
        let (verdict, detail) = match answer.unwrap_or_else(|_| Err(Cause::TimedOut.into())) {
            Ok(()) => (Verdict::Passed, "question and answer".to_owned()),
            Err(trouble) => (Verdict::Failed(trouble.cause), trouble.detail),
        };
        let endpoint = Some(self.names[index].to_string());
        Some(Step { endpoint, name: "round_trip", took: Some(start.elapsed()), verdict, detail })
    }

    /// Without a credential the way is still worth trying, as far as it goes.
    async fn try_once(&self, index: usize, trail: &mut Trail) -> Result<Opened<P>, Failure> {
        let intent = self.protocol.probe_intent();
        if !self.lacks_credential() {
            return self.any_generation(index, &intent, &mut None, trail).await;
        }
        let opened = self.attempt(index, None, &intent, &mut None, trail).await?;
        opened.leave(&self.protocol).await;
        Err(Failure::new(Stage::Login, Side::Attache, Cause::CredentialMissing))
    }

    fn lacks_credential(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.current().is_none())
    }
}

/// What an attempt found, to be told.
struct Found<'a, P: Protocol> {
    upstream: &'a Upstream<P>,
    endpoint: &'a Endpoint,
    name: String,
    course: &'a Course,
}

impl<P: Protocol> Found<'_, P> {
    fn steps(&self, failure: Option<&Failure>, version: Option<&str>) -> impl Iterator<Item = Step> {
        STEPS.iter().map(move |(stage, name)| self.step(*stage, name, failure, version))
    }

    /// What the server said of its role, once there was a login.
    fn role(&self, told: Option<Option<ServerRole>>) -> Option<Step> {
        let wanted = self.upstream.settings.role;
        let (verdict, detail) = match told {
            None => (Verdict::Skipped, "not reached".to_owned()),
            Some(None) if wanted == Role::Any => {
                (Verdict::Skipped, "the server does not tell it unasked, and the route takes any".to_owned())
            }
            Some(None) => (Verdict::Skipped, "the server does not tell it".to_owned()),
            Some(Some(role)) if wanted.admits(Some(role)) => (Verdict::Passed, role.name().to_owned()),
            Some(Some(role)) => {
                let detail = format!("{}, not used: the route wants role: {}", role.name(), wanted.name());
                (Verdict::Passed, detail)
            }
        };
        let endpoint = Some(self.name.clone());
        P::FEATURES.has_roles.then_some(Step { endpoint, name: ROLE, took: None, verdict, detail })
    }

    fn step(
        &self,
        stage: Stage,
        name: &'static str,
        failure: Option<&Failure>,
        version: Option<&str>,
    ) -> Step {
        let took = self.course.took.iter().find(|(reached, _)| *reached == stage).map(|(_, took)| *took);
        let failed = failure.filter(|failure| failure.stage == stage);
        let (verdict, detail) = match (failed, self.nothing_to_do(stage)) {
            (Some(failure), _) if self.for_want_of_credential(failure) => {
                (Verdict::Skipped, "no credential to go on with".to_owned())
            }
            (Some(failure), _) => (Verdict::Failed(failure.cause()), self.of_failure(failure)),
            (None, Some(reason)) => (Verdict::Skipped, reason.to_owned()),
            (None, None) if took.is_some() => (self.well(stage), self.of_success(stage, version)),
            (None, None) => (Verdict::Skipped, "not reached".to_owned()),
        };
        let took = took.filter(|_| verdict != Verdict::Skipped);
        Step { endpoint: Some(self.name.clone()), name, took, verdict, detail }
    }

    /// The credential's own step has told that it is missing.
    fn for_want_of_credential(&self, failure: &Failure) -> bool {
        let lacks = matches!(failure.cause(), Cause::CredentialMissing | Cause::CredentialIncomplete);
        lacks && self.upstream.lacks_credential()
    }

    fn nothing_to_do(&self, stage: Stage) -> Option<&'static str> {
        match (stage, self.endpoint) {
            (Stage::Resolve, Endpoint::Unix(_)) => Some("a Unix socket"),
            (Stage::Resolve, Endpoint::Tcp { host, .. }) if host.parse::<IpAddr>().is_ok() => {
                Some("an address, not a name")
            }
            (Stage::Tls, Endpoint::Unix(_)) => Some("a Unix socket"),
            (Stage::Tls, Endpoint::Tcp { .. } | Endpoint::Member { .. })
                if self.upstream.settings.tls.mode == TlsMode::Off =>
            {
                Some("tls.mode is off")
            }
            _ => None,
        }
    }

    fn of_failure(&self, failure: &Failure) -> String {
        let detail = failure.trouble.detail.clone();
        let standing = self.upstream.source.as_ref().map(super::Source::standing);
        match standing.and_then(|standing| standing.file_time) {
            Some(time) if failure.cause() == Cause::CredentialRejected => {
                format!("{detail}; its file was written {} ago", approximately(age(time)))
            }
            _ => detail,
        }
    }

    fn well(&self, stage: Stage) -> Verdict {
        let ends = |not_after: u64| UNIX_EPOCH + Duration::from_secs(not_after);
        let ends = self.course.certificate.map(|certificate| ends(certificate.not_after));
        match ends.is_some_and(|end| end < SystemTime::now() + SOON) && stage == Stage::Tls {
            true => Verdict::Warned(EXPIRES_SOON),
            false => Verdict::Passed,
        }
    }

    fn of_success(&self, stage: Stage, version: Option<&str>) -> String {
        match stage {
            Stage::Resolve => self.places(),
            Stage::Dial => "connected".to_owned(),
            Stage::Tls => self.certificate(),
            Stage::Login => match (version, &self.upstream.source) {
                (Some(version), _) => format!("server version {version}"),
                (None, Some(_)) => "accepted".to_owned(),
                (None, None) => "nothing to log in with".to_owned(),
            },
            Stage::Accept | Stage::Welcome | Stage::Relay => String::new(),
        }
    }

    fn places(&self) -> String {
        let places = self.course.places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match (self.upstream.settings.list(), self.endpoint) {
            (Some(_), Endpoint::Tcp { host, port }) => {
                format!("{}:{port}: {places}", host.trim_end_matches('.'))
            }
            _ => places,
        }
    }

    fn certificate(&self) -> String {
        let verified = match self.upstream.settings.tls.mode {
            TlsMode::VerifyFull => "chain and name verified",
            TlsMode::VerifyCa => "chain verified, name not",
            TlsMode::InsecureNoVerify | TlsMode::Off => "NOT verified: whoever answers gets the credential",
        };
        match self.course.certificate {
            Some(certificate) => format!("{verified}, certificate {}", validity(certificate.not_after)),
            None => verified.to_owned(),
        }
    }
}

fn validity(not_after: u64) -> String {
    let end = UNIX_EPOCH + Duration::from_secs(not_after);
    let date = jiff::Timestamp::try_from(end).map_or_else(|_| "?".to_owned(), |time| time.to_string());
    match end.duration_since(SystemTime::now()) {
        Ok(left) => format!("valid until {date} ({} left)", approximately(left)),
        Err(_) => format!("expired at {date}"),
    }
}

fn age(time: SystemTime) -> Duration {
    time.elapsed().unwrap_or_default()
}

/// A duration in its two largest units at most: nobody needs the seconds of a month.
pub fn approximately(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, 0) => format!("{hours} h"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (1..=6, 0, _) => format!("{days} d"),
        (1..=6, _, _) => format!("{days} d {hours} h"),
        _ => format!("{days} d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_at_most_two_units() {
        let told = |seconds| approximately(Duration::from_secs(seconds));
        assert_eq!(told(0), "0 s");
        assert_eq!(told(59), "59 s");
        assert_eq!(told(3_599), "59 min");
        assert_eq!([told(3_600 * 5), told(3_600 * 5 + 60)], ["5 h", "5 h 1 min"]);
        assert_eq!(told(86_400 * 5 + 59), "5 d");
        assert_eq!(told(86_400 * 2 + 3_600), "2 d 1 h");
        assert_eq!(told(86_400 * 400), "400 d");
    }
}
