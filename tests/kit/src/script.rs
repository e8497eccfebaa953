//! A server that follows a script, for what no real server would do.
//!
//! One thread per connection runs the test's closure, which reads and writes exact bytes and may go over
//! to TLS in the middle. An error that the closure returns is kept for the test to ask about.

mod peer;
mod tls;

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};

pub use peer::Peer;
pub use tls::ServerTls;

/// The server; it stops on drop, and its connections with it.
#[derive(Debug)]
pub struct Script {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    sockets: Mutex<Vec<Weak<TcpStream>>>,
    errors: Mutex<Vec<String>>,
}

impl Script {
    /// Runs `part` for each connection, on a port of loopback that the kernel chose.
    pub fn serve(part: impl Fn(Peer) -> io::Result<()> + Send + Sync + 'static) -> Script {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let addr = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared::default());
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener, &Arc::new(part))
        });
        Script { addr, shared, acceptor: Some(acceptor) }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn accepted(&self) -> usize {
        locked(&self.shared.sockets).len()
    }

    /// What went wrong in the script, by connection.
    pub fn errors(&self) -> Vec<String> {
        locked(&self.shared.errors).clone()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for socket in locked(&self.shared.sockets).iter().filter_map(Weak::upgrade) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn accept<F>(self: Arc<Self>, listener: &TcpListener, part: &Arc<F>)
    where
        F: Fn(Peer) -> io::Result<()> + Send + Sync + 'static,
    {
        for socket in listener.incoming().map_while(Result::ok) {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let socket = Arc::new(socket);
            let number = locked(&self.sockets).len();
            locked(&self.sockets).push(Arc::downgrade(&socket));
            let (shared, part) = (Arc::clone(&self), Arc::clone(part));
            thread::spawn(move || {
                // A failed assertion in a script must reach the test that asks for errors.
                let outcome = catch_unwind(AssertUnwindSafe(|| part(Peer::new(socket, number)?)));
                let why = match outcome {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "the script panicked".to_string(),
                };
                locked(&shared.errors).push(format!("connection {number}: {why}"));
            });
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::pki::Pki;
    use crate::tools;
    use crate::wait::eventually;
    use std::io::{Read, Write};
    use std::process::Command;
    use std::time::Duration;

    const DEADLINE: Duration = Duration::from_secs(60);

    #[test]
    fn a_script_reads_and_writes_exact_bytes() {
        let server = Script::serve(|mut peer| {
            peer.expect(b"hello")?;
            peer.send(b"world")?;
            peer.finish();
            assert_eq!(peer.read_to_end()?, b"rest");
            Ok(())
        });
        let mut client = TcpStream::connect(server.addr()).unwrap();
        client.write_all(b"hellorest").unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"world");
        drop(client);
        drop(server);
    }

    #[test]
    fn what_goes_wrong_in_a_script_is_told() {
        let server = Script::serve(|mut peer| peer.expect(b"hello"));
        TcpStream::connect(server.addr()).unwrap().write_all(b"hullo").unwrap();
        let errors =
            eventually("the error", DEADLINE, || Some(server.errors()).filter(|errors| !errors.is_empty()));
        assert!(errors[0].starts_with("connection 0: expected"), "{errors:?}");
        assert_eq!(server.accepted(), 1);
    }

    #[test]
    fn a_reset_is_a_reset() {
        let server = Script::serve(|mut peer| {
            peer.expect(b"x")?;
            peer.reset();
            Ok(())
        });
        let mut client = TcpStream::connect(server.addr()).unwrap();
        client.write_all(b"x").unwrap();
        let error = client.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_connection_goes_over_to_tls_in_the_middle() {
        let pki = Pki::new();
        let client = pki.client("app");
        let tls = ServerTls::new(&pki.server()).alpn(&["postgresql"]).client_ca(pki.ca());
        let server = Script::serve(move |peer| {
            let mut peer = peer.start_tls(&tls)?;
            assert_eq!(peer.alpn().as_deref(), Some("postgresql"));
            assert_eq!(peer.server_name().as_deref(), Some("db.internal"));
            assert!(peer.client_certificate().is_some());
            peer.expect(b"ping")?;
            peer.send(b"pong")?;
            peer.finish();
            Ok(())
        });
        let mut openssl = Command::new("openssl");
        openssl
            .args([
                "s_client",
                "-quiet",
                "-verify_return_error",
                "-alpn",
                "postgresql",
                "-servername",
                "db.internal",
            ])
            .args(["-connect", &server.addr().to_string(), "-CAfile"])
            .arg(pki.ca())
            .arg("-cert")
            .arg(&client.cert)
            .arg("-key")
            .arg(&client.key);
        let ran = tools::run(&mut openssl, b"ping", DEADLINE);
        assert_eq!(ran.stdout, "pong", "{}", ran.stderr);
        assert_eq!(server.errors(), Vec::<String>::new());
    }
}
