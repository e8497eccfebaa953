//! Copying both ways, in one task, without a buffer while nothing is in flight.
//!
//! Reads go into a buffer that the whole thread shares; only what the other side does not take at once is
//! kept, and given back when it has. A watch, where there is one, sees each byte before it is passed on, and can
//! stop what comes from the client.

use std::io;
use std::task::{Context, Poll, Waker};

use attache_wire::{Fault, Passage, TlsFacts, Watch};
use prometheus_client::metrics::counter::Counter;

use super::link::Link;
use super::pump::{Broken, Judged, Pump, State};
use super::stream::Stream;

/// What interrupts the copying. All but the first four end it.
#[derive(Debug)]
pub enum Event {
    /// The server may have lost its role. Said once for each sign of it.
    RoleDoubted,
    /// The client has finished sending on a watched session. Said once.
    ClientEnded,
    /// The moment has come that was asked for.
    Moment,
    /// The watch has stopped the client's bytes, and everything before them is answered. Said until
    /// [`Copier::resume`].
    Paused,
    /// The client has gone, and its link to the server could be reset for another. Said only of a link that [may be
    /// kept](Copier::keep_server).
    Kept,
    /// Both sides have finished sending, and everything has arrived.
    Finished,
    /// The client can be neither read nor written.
    Client(io::Error),
    /// The client said what it must not say.
    ClientFault(Fault),
    /// The server can be neither read nor written, and what it had sent has been passed on.
    Upstream(io::Error),
    /// The server has finished sending on a watched session, and what it sent has been passed on.
    UpstreamClosed,
    /// The server said what it must not say.
    UpstreamFault(Fault),
}

/// What the copying stops at besides its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Nothing.
    End,
    /// A moment when a login could be put in between, unseen by the client.
    Login,
    /// A moment when nothing is outstanding.
    Quiet,
    /// A moment when nothing is outstanding and nothing is known that would be lost.
    Free,
}

/// Two links being copied into each other. Of the links only the streams are kept.
pub struct Copier<W> {
    client: Stream,
    server: Stream,
    /// From the client to the server.
    up: Pump,
    /// From the server to the client.
    down: Pump,
    watch: Option<Box<W>>,
    /// Whom the sockets wake, as far as the pumps rely on it.
    task: Option<Waker>,
    client_end_told: bool,
    /// Whether it is to be found out, when the client ends, if the link to the server may be kept.
    may_keep: bool,
    /// Whether the client is to be kept from saying more.
    makes_room: bool,
    /// What was wrong already with what the machines left unread.
    begun_badly: Option<Box<Event>>,
}

impl<W: Watch> Copier<W> {
    /// What the machines left unread goes first.
    pub fn new(client: Link, server: Link, watch: Option<Box<W>>, meters: [Counter; 2]) -> Self {
        let [sent, received] = meters;
        let mut copier = Self {
            up: Pump::new(sent, true),
            down: Pump::new(received, watch.is_none()),
            client: Stream::default(),
            server: Stream::default(),
            client_end_told: watch.is_none(),
            watch,
            task: None,
            may_keep: false,
            makes_room: false,
            begun_badly: None,
        };
        copier.resume(client, server);
        copier
    }

    /// The link to the server may serve another client: it is to hear nothing of this one's end, if it comes at a
    /// good moment. For a watch that knows of this.
    pub fn keep_server(&mut self) {
        self.may_keep = self.watch.is_some();
        self.up.passes_end = !self.may_keep;
    }

    /// What was learned of the session, once it has ended.
    pub fn take_watch(&mut self) -> Option<Box<W>> {
        self.watch.take()
    }

    /// The two links back, to the client and to the server.
    pub fn into_links(mut self) -> (Link, Link) {
        let (client, server, _) = self.pause();
        (client, server)
    }

    /// The two links and the watch, for the time of a pause. What the client said and nobody has acted upon is the
    /// input of its link.
    ///
    /// # Panics
    /// Never on a session that is watched; others do not pause.
    pub fn pause(&mut self) -> (Link, Link, Option<&mut W>) {
        let mut client = Link::new(std::mem::take(&mut self.client));
        client.input = self.up.take_held();
        let mut server = Link::new(std::mem::take(&mut self.server));
        server.tls = server.stream.is_encrypted().then(TlsFacts::default);
        (client, server, self.watch.as_deref_mut())
    }

    /// Goes on with these two links.
    pub fn resume(&mut self, client: Link, server: Link) {
        self.task = None;
        self.up.resume();
        let watch = &mut self.watch;
        let up = self.up.admit(&client.input, |bytes| from_client(watch, bytes));
        let down = self.down.admit(&server.input, |bytes| from_server(watch, bytes));
        self.begun_badly = ended(up, down).map(Box::new);
        (self.client, self.server) = (client.stream, server.stream);
    }

    /// Keeps the client from saying more, or no longer, so that a moment for a login comes: where one would come if
    /// it said nothing. What it says meanwhile is held.
    pub fn make_room(&mut self, wanted: bool) {
        if std::mem::replace(&mut self.makes_room, wanted) == wanted {
            return;
        }
        self.watch.iter_mut().for_each(|watch| watch.make_room(wanted));
        if !wanted && self.up.state == State::Paused {
            self.up.resume();
            let (held, watch) = (self.up.take_held(), &mut self.watch);
            let up = self.up.admit(&held, |bytes| from_client(watch, bytes));
            self.begun_badly = ended(up, Ok(())).map(Box::new);
        }
    }

    /// Octets passed on so far: to the server, to the client.
    pub fn passed(&self) -> (u64, u64) {
        (self.up.passed, self.down.passed)
    }

    /// Whether the session could end now without anyone losing anything.
    pub fn quiet(&self) -> bool {
        self.settled() && self.watch.as_ref().is_some_and(|watch| watch.quiet())
    }

    /// Whether a refusal may be sent to the client now. What was passed on may still have to be flushed: so has the refusal.
    pub fn may_speak(&self) -> bool {
        self.down.has_passed_all() && self.watch.as_ref().is_some_and(|watch| watch.may_speak())
    }

    /// The number of the next frame to the client, in protocols that number them.
    pub fn next_number(&self) -> u8 {
        self.watch.as_ref().map_or(0, |watch| watch.next_number())
    }

    /// Whether the client has said that it is leaving, or has stopped sending. Of a session that is not watched
    /// nobody knows whether the client still wants an answer: there it never has.
    pub fn client_left(&self) -> bool {
        let finished = matches!(self.up.state, State::Ending | State::Ended);
        self.watch.as_ref().is_some_and(|watch| finished || watch.client_left())
    }

    /// Copies until there is nothing more to do now. `until` may ask for [`Event::Moment`].
    pub fn poll(&mut self, cx: &mut Context<'_>, until: Until) -> Poll<Event> {
        if let Some(event) = self.begun_badly.take() {
            return Poll::Ready(*event);
        }
        if let Some(end) = self.pump(cx) {
            return Poll::Ready(end);
        }
        if self.watch.as_mut().is_some_and(|watch| watch.role_doubted()) {
            return Poll::Ready(Event::RoleDoubted);
        }
        if self.up.state == State::Ending && std::mem::take(&mut self.may_keep) {
            if self.settled() && self.watch.as_ref().is_some_and(|watch| watch.reusable()) {
                return Poll::Ready(Event::Kept);
            }
            // The server hears of the end after all.
            self.up.passes_end = true;
            return self.poll(cx, until);
        }
        let down_done = self.down.state == State::Ending && self.down.settled();
        match (self.up.state, self.down.state) {
            _ if down_done && !self.down.passes_end => Poll::Ready(Event::UpstreamClosed),
            (State::Ended, State::Ended) => Poll::Ready(Event::Finished),
            (State::Broken(kind), State::Ended) => Poll::Ready(Event::Upstream(kind.into())),
            _ if until == Until::Login && self.takes_a_login() => Poll::Ready(Event::Moment),
            (State::Paused, _) if self.answered() => Poll::Ready(Event::Paused),
            (State::Ending | State::Ended, _) if !std::mem::replace(&mut self.client_end_told, true) => {
                Poll::Ready(Event::ClientEnded)
            }
            _ if self.may_stop(until) => Poll::Ready(Event::Moment),
            _ => Poll::Pending,
        }
    }

    fn may_stop(&self, until: Until) -> bool {
        match until {
            Until::End | Until::Login => false,
            Until::Quiet => self.quiet(),
            Until::Free => self.quiet() && self.watch.as_ref().is_some_and(|watch| !watch.holds_state()),
        }
    }

    /// Not once a side has finished sending: such a session is about to end.
    fn takes_a_login(&self) -> bool {
        let open = |pump: &Pump| matches!(pump.state, State::Open | State::Paused);
        open(&self.up)
            && open(&self.down)
            && self.settled()
            && self.watch.as_ref().is_some_and(|watch| watch.takes_a_login())
    }

    fn settled(&self) -> bool {
        self.up.settled() && self.down.settled()
    }

    fn answered(&self) -> bool {
        self.settled() && self.watch.as_ref().is_some_and(|watch| watch.answered())
    }

    /// Both directions, as far as they go now.
    fn pump(&mut self, cx: &mut Context<'_>) -> Option<Event> {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
            self.up.renew_vigil();
            self.down.renew_vigil();
        }
        let (client, server, watch) = (&mut self.client, &mut self.server, &mut self.watch);
        let up = self.up.poll(cx, client, server, |bytes| from_client(watch, bytes));
        let down = self.down.poll(cx, server, client, |bytes| from_server(watch, bytes));
        match (up, down) {
            // Without a call, for it is nearly always so.
            (Ok(()), Ok(())) => None,
            (up, down) => ended(up, down),
        }
    }
}

fn from_client<W: Watch>(watch: &mut Option<Box<W>>, bytes: &[u8]) -> Result<Judged, Fault> {
    let Some(watch) = watch.as_mut() else { return Ok(Passage::All.into()) };
    Ok(match watch.from_client(bytes)? {
        passage @ Passage::Instead { .. } => Judged { passage, instead: watch.in_place() },
        passage @ (Passage::All | Passage::Hold(_) | Passage::Until(_) | Passage::Bye(_)) => passage.into(),
    })
}

fn from_server<W: Watch>(watch: &mut Option<Box<W>>, bytes: &[u8]) -> Result<Judged, Fault> {
    watch.as_mut().map_or(Ok(()), |watch| watch.from_server(bytes)).map(|()| Passage::All.into())
}

/// What became of the two directions, if it ends the copying.
fn ended(up: Result<(), Broken>, down: Result<(), Broken>) -> Option<Event> {
    match (up, down) {
        (Err(Broken::Source(error)), _) | (_, Err(Broken::Destination(error))) => Some(Event::Client(error)),
        (Err(Broken::Rule(fault)), _) => Some(Event::ClientFault(fault)),
        (_, Err(Broken::Source(error))) => Some(Event::Upstream(error)),
        (_, Err(Broken::Rule(fault))) => Some(Event::UpstreamFault(fault)),
        // A server that is gone for writing may have said why: its last words still reach the client.
        (Ok(()) | Err(Broken::Destination(_)), Ok(())) => None,
    }
}

#[cfg(test)]
mod tests;
