//! What happens while a relay pauses: the client has asked for a login in the midst of its session.
//!
//! The protocol reads what it wants, logs in again on the same link with the credential, and answers. A link that
//! cannot do that is replaced where the client has just given up everything that hung on it.

use std::sync::Arc;
use std::time::Duration;

use attache_wire::{Moment, Protocol, Verdict};
use tokio::time::timeout;

use super::errand::Coming;
use super::{Books, Come, Record, Route, ending, unless_gone};
use crate::chance;
use crate::failure::{Cause, Failure, Side, Stage, Trouble};
use crate::net::link::Link;
use crate::net::relay::Copier;
use crate::orders::Spot;
use crate::secret::Material;
use crate::upstream::{Opened, Trail};

/// The two sides, between two stretches of copying.
struct Pause<'a, P: Protocol> {
    route: &'a Route<P>,
    watch: &'a mut P::Watch,
    books: &'a mut Books,
    server: Link,
    /// That of the next frame to the client.
    number: u8,
}

/// What a pause leaves behind.
pub(super) enum After {
    /// The session as it was.
    Same,
    /// A new login: the link is not what it was logged in for any more.
    LoggedIn,
}

/// Serves one pause.
///
/// # Errors
/// Why the session cannot go on. The client has been told.
pub(super) async fn run<P: Protocol>(
    route: &Route<P>,
    copier: &mut Copier<P::Watch>,
    books: &mut Books,
    record: &Record,
) -> Result<After, Failure> {
    let number = copier.next_number();
    let (mut client, server, watch) = copier.pause();
    let watch = watch.expect("only a watch pauses a relay");
    let mut come = Come::Opening;
    let mut pause = Pause { route, watch, books, server, number };
    let done = pause.serve(&mut client, &mut come).await;
    let Pause { server, number, .. } = pause;
    match done {
        Ok(after) => {
            copier.resume(client, server);
            Ok(after)
        }
        Err(failure) => {
            let moment = match &come {
                Come::Waiting(intent) => Moment::Waiting(intent),
                Come::Silence | Come::Opening => Moment::Session(number),
            };
            let leaver = ending::turn_away(route, client, &failure, moment, record).await;
            ending::see_off(leaver).await;
            Err(failure)
        }
    }
}

impl<P: Protocol> Pause<'_, P> {
    async fn serve(&mut self, client: &mut Link, come: &mut Come<P::Intent>) -> Result<After, Failure> {
        let intent = self.ask(client).await?;
        if let Some(ticket) = self.route.protocol.aim(&intent) {
            let (intent, answer) = self.pass_on(intent, &ticket).await?;
            self.answer(client, &intent, answer).await?;
            return Ok(After::Same);
        }
        let greeting = match self.log_in_again(client, &intent).await {
            Err(failure) if self.may_replace(&intent, failure.cause()) => self.replace(&intent).await,
            other => other,
        };
        let greeting = match greeting {
            Ok(greeting) => greeting,
            Err(failure) => {
                *come = Come::Waiting(intent);
                return Err(failure);
            }
        };
        self.answer(client, &intent, greeting).await?;
        Ok(After::LoggedIn)
    }

    async fn answer(
        &mut self,
        client: &mut Link,
        intent: &P::Intent,
        greeting: P::Greeting,
    ) -> Result<(), Failure> {
        self.route.protocol.rewelcome(self.watch, intent, greeting, &mut client.output);
        let flushed = within(self.route.login_timeout, async { Ok(client.flush().await?) }).await;
        flushed.map_err(|trouble| Failure::new(Stage::Welcome, Side::Client, trouble))
    }

    /// What the client wants is about another session: the server hears it with the ticket by which it knows that one. Of a
    /// session that is over it hears the ticket that it never gave. Until the server has answered, the other session's
    /// link serves nobody else.
    async fn pass_on(
        &mut self,
        intent: P::Intent,
        ticket: &[u8],
    ) -> Result<(P::Intent, P::Greeting), Failure> {
        let route = self.route;
        let coming = route.errands.set_out(ticket);
        let intent = match coming.as_ref().and_then(Coming::real) {
            Some(real) => route.protocol.aimed(intent, real),
            None => intent,
        };
        let answer = self.drive(&intent, None).await?;
        coming.into_iter().for_each(Coming::arrived);
        Ok((intent, answer))
    }

    /// What the client wants.
    async fn ask(&mut self, client: &mut Link) -> Result<P::Intent, Failure> {
        let machine = self.route.protocol.reopen(self.watch, chance::bytes());
        let mut machine = machine.expect("a protocol whose watch pauses reads what was said");
        let asked = within(self.route.login_timeout, client.drive(&mut machine, None)).await;
        self.number = machine.next_number().unwrap_or(self.number);
        asked.map_err(|trouble| Failure::new(Stage::Accept, Side::Client, trouble))
    }

    /// Does what the client wants on the link that is there. Where the server rejects a login in it and the link is as it
    /// was, another generation is tried, or waited for, as for a session that begins.
    async fn log_in_again(&mut self, client: &mut Link, intent: &P::Intent) -> Result<P::Greeting, Failure> {
        let (protocol, upstream) = (&self.route.protocol, &self.route.upstream);
        if !protocol.shows_credential(intent) {
            let material = upstream.likely_material().ok().flatten();
            return self.drive(intent, material.as_ref()).await;
        }
        let mut material = upstream.likely_material()?;
        let mut attempts = upstream.attempts();
        loop {
            let outcome = self.try_out(intent, material.as_ref()).await;
            let rejected = match &outcome {
                Ok(greeting) => protocol.verdict(greeting) == Verdict::Rejected,
                // It was not sent.
                Err(failure) => failure.side == Side::Attache && !protocol.starts_anew(intent),
            };
            let Some(tried) = material.filter(|_| rejected) else { return outcome };
            let other = async { Ok(upstream.instead_of(&tried, &mut attempts).await) };
            material = unless_gone::<P, _>(client, other).await?;
            if material.is_none() {
                return outcome;
            }
        }
    }

    /// One login with this generation.
    async fn try_out(
        &mut self,
        intent: &P::Intent,
        material: Option<&Arc<Material>>,
    ) -> Result<P::Greeting, Failure> {
        let upstream = &self.route.upstream;
        let leave = upstream.leave(material)?;
        let greeting = self.drive(intent, material).await;
        let said = match &greeting {
            Err(failure) => Err(failure.cause()),
            Ok(said) => match self.route.protocol.verdict(said) {
                Verdict::Accepted => Ok(()),
                Verdict::Rejected => Err(Cause::CredentialRejected),
                Verdict::Unknown => return greeting,
            },
        };
        upstream.heard(material, leave, said);
        if said.is_ok() {
            self.books.link = upstream.count(material);
        }
        greeting
    }

    async fn drive(
        &mut self,
        intent: &P::Intent,
        material: Option<&Arc<Material>>,
    ) -> Result<P::Greeting, Failure> {
        let (route, upstream) = (self.route, &self.route.upstream);
        let machine =
            route.protocol.relogin(self.watch, intent, upstream.terms_within(material, &self.server));
        let machine = machine.expect("a protocol whose watch pauses acts in its midst");
        let greeting = within(upstream.settings.connect_timeout, self.server.drive(machine, None)).await;
        greeting.map_err(|trouble| Failure::new(Stage::Login, Side::Upstream, trouble))
    }

    /// A server that refuses the client's wish itself would do so on any link.
    fn may_replace(&self, intent: &P::Intent, cause: Cause) -> bool {
        cause != Cause::ServerRefused && self.route.protocol.starts_anew(intent)
    }

    /// Another link in place of this one, with every generation and every endpoint that there is.
    async fn replace(&mut self, intent: &P::Intent) -> Result<P::Greeting, Failure> {
        let opened = self.route.upstream.open(intent, None, &mut Trail::default()).await?;
        let Opened { link, greeting, way, count, .. } = opened;
        self.books.at = Spot::of(&way.place);
        if let (Some(ticket), Some(real)) = (&self.books.ticket, self.route.protocol.ticket(&greeting)) {
            ticket.leads_to(real, way);
        }
        self.books.link = count;
        self.server = link;
        Ok(greeting)
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(Cause::TimedOut.into()))
}
