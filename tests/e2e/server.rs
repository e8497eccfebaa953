//! PostgreSQL's side by script, where a real server would be too well-behaved.

use std::io;

use attache_kit::script::Peer;

/// Takes any startup packet and asks for no password.
pub fn welcome(peer: &mut Peer) -> io::Result<()> {
    peer.read_startup()?;
    peer.send_message(b'R', &[0, 0, 0, 0])?;
    peer.send_message(b'S', b"server_version\x0015.0\0")?;
    peer.send_message(b'K', &[0, 0, 0, 1, 0, 0, 0, 2])?;
    peer.send_message(b'Z', b"I")
}

/// Answers queries with one row each, until the client leaves.
pub fn answer(peer: &mut Peer) -> io::Result<()> {
    while let Ok((tag, _)) = peer.read_message() {
        if tag == b'Q' {
            peer.send_message(b'D', b"\0\x01\0\0\0\x011")?;
            peer.send_message(b'C', b"SELECT 1\0")?;
            peer.send_message(b'Z', b"I")?;
        }
    }
    Ok(())
}

pub fn error(peer: &mut Peer, code: &str, message: &str) -> io::Result<()> {
    peer.send_message(b'E', format!("SFATAL\0VFATAL\0C{code}\0M{message}\0\0").as_bytes())
}
