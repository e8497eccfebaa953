//! The list of servers that Sentinels name, as sessions use it.

use std::sync::Arc;

use attache_wire::{Address, Protocol, Report, ServerRole};
use tokio::time::{Instant, timeout_at};

use super::role::{Candidate, Wanted};
use super::{Origin, Sentinels, Upstream};
use crate::config::domain::{Endpoint, Role};
use crate::failure::{Cause, Trouble};
use crate::net::dial::Place;
use crate::net::resolve::Member;

/// The priorities that tell them apart in the list.
const OF_PRIMARY: u16 = 0;
const OF_REPLICAS: u16 = 1;
/// So many addresses of one primary are remembered, so that its sessions can be told when it is none any more.
const MOST_PLACES: usize = 8;

impl<P: Protocol> Upstream<P> {
    /// The servers for the sessions of this route, at least one. Where nobody has reported any, waits for the first who
    /// does, but not for a Sentinel that does not answer.
    pub(super) async fn reported(&self, sentinels: &Sentinels) -> Result<Arc<[Member]>, Trouble> {
        let limit = self.settings.connect_timeout;
        let deadline = Instant::now() + limit;
        let mut news = sentinels.news();
        loop {
            if sentinels.have_reported() {
                return self.usable(&sentinels.settings.master);
            }
            if let Some(trouble) = sentinels.trouble() {
                self.health.alarm();
                return Err(trouble);
            }
            if timeout_at(deadline, news.changed()).await.is_err() {
                return Err(Trouble::overdue(Cause::SentinelUnreachable, limit));
            }
        }
    }

    fn usable(&self, master: &str) -> Result<Arc<[Member]>, Trouble> {
        let list = self.members.list();
        match list.is_empty() {
            false => Ok(list),
            true => {
                self.health.alarm();
                let detail = format!("the Sentinels know no replica of {master} that can be reached");
                Err(Trouble::new(Cause::WrongRole, detail))
            }
        }
    }

    /// Ready when the Sentinels name other servers; never on a route that has none.
    pub(super) async fn other_list(&self) {
        match &self.sentinels {
            Some(sentinels) => sentinels.changes().changed().await,
            None => std::future::pending().await,
        }
    }

    /// Makes what a report names the servers that are used; returns whether they are others than before. Sessions on a
    /// primary that is none any more are told so.
    pub(super) fn follow_report(&self, master: &str, report: &Report) -> bool {
        let list = self.members_of(report);
        let mut known = self.members.lock();
        if *known.list == *list {
            return false;
        }
        if known.list.first() != list.first() {
            for place in std::mem::take(&mut known.primary_at) {
                self.orders.heard_role(&place, self.settings.role, ServerRole::Replica);
            }
        }
        self.replace(&mut known, list);
        let servers = known.list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        tracing::info!(
            route = self.metrics.route(),
            master,
            epoch = report.epoch,
            servers,
            "servers named by Sentinels"
        );
        true
    }

    /// Of those that are named, the ones that sessions of this route may use.
    fn members_of(&self, report: &Report) -> Vec<Member> {
        let member = |priority: u16, address: &Address| {
            let Address { host, port } = address.clone();
            Member { priority, host, port, weight: 0 }
        };
        let (primary, replicas) = match self.settings.role {
            Role::Any | Role::Primary => (Some(&report.primary), &[][..]),
            Role::Replica => (None, &report.replicas[..]),
            Role::PreferReplica => (Some(&report.primary), &report.replicas[..]),
        };
        let replicas = replicas.iter().filter(|address| **address != report.primary);
        let mut replicas: Vec<_> = replicas.map(|address| member(OF_REPLICAS, address)).collect();
        replicas.sort();
        replicas.dedup();
        let primary = primary.map(|address| member(OF_PRIMARY, address));
        primary.into_iter().chain(replicas).take(self.settings.endpoints.len()).collect()
    }

    /// In which order the endpoints are tried, and what each has to be. Where Sentinels say what it is, it has to be that.
    pub(super) fn candidates(&self, order: &[usize]) -> Vec<Candidate> {
        let all = self.health.candidates(order);
        if self.sentinels.is_none() {
            return all;
        }
        let list = self.members.list();
        let mut kept: Vec<Candidate> = Vec::new();
        for Candidate { index, wanted } in all {
            let Some(role) = list.get(index).map(role_of) else { continue };
            let candidate = Candidate { index, wanted: Wanted::Only(role) };
            if wanted.admits(Some(role)) && !kept.contains(&candidate) {
                kept.push(candidate);
            }
        }
        kept
    }

    /// Whether the Sentinels have named another server since this link was begun.
    pub(super) fn has_lost_place(&self, origin: &Origin) -> bool {
        self.sentinels.is_some() && *self.target(origin.index) != origin.target
    }

    /// Takes note of where the primary was logged in to. `false` where the Sentinels name another one by now.
    pub(super) fn takes_place(&self, origin: &Origin, place: &Place) -> bool {
        if self.sentinels.is_none() {
            return true;
        }
        let mut known = self.members.lock();
        let Some(member) = known.list.get(origin.index).filter(|member| is_at(member, origin)) else {
            return false;
        };
        if role_of(member) == ServerRole::Primary && !known.primary_at.contains(place) {
            known.primary_at.truncate(MOST_PLACES - 1);
            known.primary_at.insert(0, place.clone());
        }
        true
    }
}

fn role_of(member: &Member) -> ServerRole {
    if member.priority == OF_PRIMARY { ServerRole::Primary } else { ServerRole::Replica }
}

fn is_at(member: &Member, origin: &Origin) -> bool {
    match &origin.target {
        Endpoint::Tcp { host, port } => (host, port) == (&member.host, &member.port),
        Endpoint::Unix(_) | Endpoint::Member { .. } => false,
    }
}
