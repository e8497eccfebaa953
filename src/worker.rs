//! One of the runtimes: accepts from the shared sockets, and serves a session on one thread for life.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

use crate::deadline;
use crate::drain::Drain;
use crate::net::listen::{Acceptor, Arrival, Listener};
use crate::room::{Place, Room};
use crate::route::Serve;

/// A worker thread, as the control thread holds it.
pub struct Worker {
    commands: mpsc::UnboundedSender<Command>,
    /// `None` once it is joined.
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Command {
    Serve { listener: Listener, route: Arc<dyn Serve>, stop: watch::Receiver<()> },
    Ping(oneshot::Sender<()>),
    End,
}

impl Worker {
    /// Starts a thread with a runtime of its own.
    ///
    /// # Errors
    /// The system gives no more threads or descriptors.
    pub fn start(number: usize, drain: Drain, room: Room) -> io::Result<Self> {
        let (commands, received) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = obey(received, drain, room) => {}
                    never = deadline::beat() => match never {},
                }
            });
            // Sessions that outlived the drain are cut here.
            runtime.shutdown_background();
        })?;
        Ok(Self { commands, thread: Mutex::new(Some(thread)) })
    }

    /// Serves a listener until the sender of `stop` is gone.
    pub fn serve(&self, listener: Listener, route: Arc<dyn Serve>, stop: watch::Receiver<()>) {
        // A worker that is gone is found by `answers`.
        let _ = self.commands.send(Command::Serve { listener, route, stop });
    }

    /// Comes back when the worker has got round to answering.
    pub async fn answers(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::Ping(answer)).is_ok() && answered.await.is_ok()
    }

    /// Ends the thread, and with it the sessions that it still serves: each writes its line.
    pub fn end(&self) {
        // One that is gone needs not be told.
        let _ = self.commands.send(Command::End);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

async fn obey(mut commands: mpsc::UnboundedReceiver<Command>, drain: Drain, room: Room) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Serve { listener, route, stop } => {
                tokio::spawn(accept(listener, route, stop, drain.clone(), room.clone()));
            }
            Command::Ping(answer) => {
                let _ = answer.send(());
            }
            Command::End => return,
        }
    }
}

async fn accept(
    listener: Listener,
    route: Arc<dyn Serve>,
    mut stop: watch::Receiver<()>,
    drain: Drain,
    room: Room,
) {
    let address = listener.address.to_string();
    let mut acceptor = match listener.serve() {
        Ok(acceptor) => acceptor,
        Err(error) => {
            tracing::error!(route = route.name(), address, %error, "cannot accept");
            return;
        }
    };
    loop {
        tokio::select! {
            // First: another route may be served by the same socket already.
            biased;
            _ = stop.changed() => return,
            (arrival, place) = taken_in(&mut acceptor, &room) => {
                let session = Arc::clone(&route).serve(arrival, drain.clone());
                tokio::spawn(async move {
                    session.await;
                    drop(place);
                });
            }
        }
    }
}

/// The next client, once there is room for it.
async fn taken_in(acceptor: &mut Acceptor, room: &Room) -> (Arrival, Place) {
    let arrival = acceptor.accept().await;
    (arrival, room.place().await)
}
