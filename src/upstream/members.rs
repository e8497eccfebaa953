//! The servers that a list has: which there are now, and in which order a session tries them. SRV records are such a list
//! (RFC 2782); what Sentinels report is one too, in which the primary comes before the replicas.
//!
//! Each of a fixed number of endpoints is a place in the sorted list. What is known of a place is forgotten when
//! another server takes it.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use attache_wire::Protocol;
use tokio::time::{Instant, timeout};

use super::{Trail, Upstream};
use crate::chance;
use crate::config::domain::{Endpoint, MOST_MEMBERS};
use crate::failure::{Cause, Failure, Side, Stage, Trouble};
use crate::net::dial::Place;
use crate::net::resolve::Member;

/// How long a session that could use the list of before waits for a new one.
const PATIENCE: Duration = Duration::from_millis(500);
/// A name server that did not answer is asked again this often at most, while there is the list of before.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// What is known of a list. On a route without one it stays empty.
#[derive(Default)]
pub(super) struct Members(Mutex<Known>);

#[derive(Default)]
pub(super) struct Known {
    /// The last list, sorted; it is used while no other is to be had.
    pub(super) list: Arc<[Member]>,
    /// What went wrong last time, so that it is told once.
    trouble: Option<Cause>,
    ask_at: Option<Instant>,
    /// Where the primary that Sentinels name was logged in to.
    pub(super) primary_at: Vec<Place>,
}

impl<P: Protocol> Upstream<P> {
    /// In which order a session tries the endpoints, as far as only the configuration and the name server have a say.
    pub(super) async fn order(&self, trail: &mut Trail) -> Result<Vec<usize>, Failure> {
        let Some(name) = self.settings.list() else {
            return Ok((0..self.settings.endpoints.len()).collect());
        };
        match self.list(name).await {
            Ok(members) => Ok(draw(&members, chance::up_to)),
            Err(trouble) => {
                trail.stage = Some(Stage::Resolve);
                trail.endpoint = Some(name.into());
                self.metrics.login_attempt(trouble.cause.name());
                Err(Failure::new(Stage::Resolve, Side::Upstream, trouble))
            }
        }
    }

    /// The servers that the list has now, at least one.
    async fn list(&self, name: &str) -> Result<Arc<[Member]>, Trouble> {
        match &self.sentinels {
            Some(sentinels) => self.reported(sentinels).await,
            None => self.listed(name).await,
        }
    }

    /// Where an endpoint is. A place that has become empty stays what it is.
    pub(super) fn target(&self, index: usize) -> Cow<'_, Endpoint> {
        let endpoint = &self.settings.endpoints[index];
        match endpoint {
            Endpoint::Tcp { .. } | Endpoint::Unix(_) => Cow::Borrowed(endpoint),
            Endpoint::Member { position, .. } => match self.members.lock().list.get(*position) {
                // With a dot at its end it stands for itself.
                Some(Member { host, port, .. }) => {
                    let host = if self.sentinels.is_some() { host.clone() } else { format!("{host}.") };
                    Cow::Owned(Endpoint::Tcp { host, port: *port })
                }
                None => Cow::Borrowed(endpoint),
            },
        }
    }

    /// The order for a session that would rather have this endpoint, as far as configuration or list leave a choice.
    pub(super) fn order_favouring(&self, index: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.settings.endpoints.len()).collect();
        if self.settings.list().is_some() {
            let list = Arc::clone(&self.members.lock().list);
            order.truncate(list.len());
            order.sort_by_key(|other| (list[*other].priority, *other != index));
        }
        order
    }

    /// The endpoints that are there now, in the order of the configuration or the list.
    pub(super) async fn present(&self) -> Result<Vec<usize>, Failure> {
        if let Some(name) = self.settings.list() {
            let list = self.list(name).await;
            list.map_err(|trouble| Failure::new(Stage::Resolve, Side::Upstream, trouble))?;
        }
        let all = 0..self.settings.endpoints.len();
        Ok(all.filter(|index| self.health.is_present(*index)).collect())
    }

    /// The servers that are listed now. A name server that fails does not take away those that were: only a list, or
    /// the word that there is none, replaces a list.
    async fn listed(&self, srv: &str) -> Result<Arc<[Member]>, Trouble> {
        let has_list = {
            let known = self.members.lock();
            let has_list = !known.list.is_empty();
            if has_list && known.ask_at.is_some_and(|at| Instant::now() < at) {
                return Ok(Arc::clone(&known.list));
            }
            has_list
        };
        match self.look_up(srv, has_list).await {
            Ok(list) => Ok(self.take_over(srv, list)),
            Err(trouble) => {
                self.tell_trouble(srv, &trouble);
                self.list_in_spite_of(srv, trouble)
            }
        }
    }

    /// The list of before, which somebody else may have found meanwhile.
    fn list_in_spite_of(&self, srv: &str, trouble: Trouble) -> Result<Arc<[Member]>, Trouble> {
        if trouble.cause == Cause::NameNotFound {
            self.take_over(srv, Vec::new());
        }
        let mut known = self.members.lock();
        if known.list.is_empty() {
            return Err(trouble);
        }
        known.ask_at = Some(Instant::now() + ASK_AGAIN);
        Ok(Arc::clone(&known.list))
    }

    /// The question goes on when nobody waits for it any more: whoever asks next finds the answer.
    async fn look_up(&self, srv: &str, has_list: bool) -> Result<Vec<Member>, Trouble> {
        let (resolver, name) = (self.resolver.clone(), srv.to_owned());
        let question = tokio::spawn(async move { resolver.members(&name).await });
        let all = self.settings.connect_timeout;
        let limit = if has_list { PATIENCE.min(all) } else { all };
        match timeout(limit, question).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(Trouble::new(Cause::NameServerFailed, format!("{srv}: {error}"))),
            Err(_) => Err(Trouble::new(Cause::NameServerSilent, format!("{srv}: not done within {limit:?}"))),
        }
    }

    /// Makes `list` the one that is used, and tells what changes. An empty one means that there is none.
    fn take_over(&self, srv: &str, mut list: Vec<Member>) -> Arc<[Member]> {
        let ignored = list.len().saturating_sub(MOST_MEMBERS);
        list.truncate(MOST_MEMBERS);
        let mut known = self.members.lock();
        known.ask_at = None;
        let recovers = !list.is_empty() && known.trouble.take().is_some();
        if *known.list == *list && !recovers {
            return Arc::clone(&known.list);
        }
        self.replace(&mut known, list);
        self.tell_list(srv, &known.list, ignored);
        Arc::clone(&known.list)
    }

    /// Puts other servers in the places of the list.
    pub(super) fn replace(&self, known: &mut Known, list: Vec<Member>) {
        let before = std::mem::replace(&mut known.list, list.into());
        for index in 0..self.settings.endpoints.len() {
            let (old, new) = (before.get(index), known.list.get(index));
            let place = |member: Option<&Member>| member.map(ToString::to_string);
            if place(old) != place(new) {
                self.health.replace(index, place(new));
                self.metrics.endpoint_gone(&self.names[index]);
            }
        }
    }

    fn tell_list(&self, srv: &str, list: &[Member], ignored: usize) {
        let route = self.metrics.route();
        let servers = list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        match (list.is_empty(), ignored) {
            (true, _) => tracing::warn!(route, srv, "no servers listed any more"),
            (false, 0) => tracing::info!(route, srv, servers, "servers listed"),
            (false, _) => tracing::warn!(route, srv, servers, ignored, "more servers listed than are used"),
        }
    }

    fn tell_trouble(&self, srv: &str, trouble: &Trouble) {
        let mut known = self.members.lock();
        if known.trouble.replace(trouble.cause) != Some(trouble.cause) {
            let (route, cause) = (self.metrics.route(), trouble.cause.name());
            let advice = trouble.cause.advice();
            tracing::warn!(route, srv, cause, detail = trouble.detail, advice, "list of servers not found");
        }
    }
}

impl Members {
    pub(super) fn list(&self) -> Arc<[Member]> {
        Arc::clone(&self.lock().list)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The order for one session: by priority; among equals, each comes first as often as its weight says. `up_to` gives
/// a number from zero to another one.
fn draw(sorted: &[Member], mut up_to: impl FnMut(u32) -> u32) -> Vec<usize> {
    let mut order = Vec::with_capacity(sorted.len());
    let mut start = 0;
    for equals in sorted.chunk_by(|one, other| one.priority == other.priority) {
        let mut left: Vec<usize> = (start..start + equals.len()).collect();
        start += equals.len();
        // Those without a weight go first, and among themselves in any order, as the document says.
        left.sort_by_cached_key(|index| (sorted[*index].weight > 0, up_to(u32::MAX)));
        while !left.is_empty() {
            let sum = left.iter().map(|index| u32::from(sorted[*index].weight)).sum();
            let (drawn, mut passed) = (up_to(sum), 0);
            let at = left.iter().position(|index| {
                passed += u32::from(sorted[*index].weight);
                passed >= drawn
            });
            order.push(left.remove(at.expect("the drawn number is at most the sum")));
        }
    }
    order
}

/// The domain within which a service's servers have to be: the name behind the service and the protocol, or its
/// parent, where the servers' names usually are too.
pub(super) fn domain_of(srv: &str) -> &str {
    let name = srv.splitn(3, '.').nth(2).unwrap_or(srv);
    match name.split_once('.') {
        Some((_, parent)) if parent.contains('.') => parent,
        _ => name,
    }
}

pub(super) fn is_of_domain(host: &str, srv: &str) -> bool {
    let (host, domain) = (host.trim_end_matches('.').to_lowercase(), domain_of(srv).to_lowercase());
    host.strip_suffix(&domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
