//! Packets: three octets of length, a sequence number, a payload (manual of MySQL's client/server protocol, "MySQL
//! Packets"; MariaDB's "0-packet").
//!
//! Everything that machines read fits into one packet: a payload that goes on in a second one is refused here, and
//! passed on by the relay.

use attache_wire::Fault;
use bytes::{BufMut, Bytes, BytesMut};

/// Octets of a packet in front of its payload.
pub(crate) const HEADER_LEN: usize = 4;
/// A payload of this length goes on in the next packet.
pub(crate) const FULL_LEN: usize = 0xff_ff_ff;

/// One whole packet, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) sequence: u8,
    pub(crate) payload: Bytes,
}

/// Takes the next packet off the input, or nothing while it is not complete.
pub(crate) fn next(input: &mut BytesMut, most: usize) -> Result<Option<Packet>, Fault> {
    let taken = take(input, most)?;
    Ok(taken.map(|(sequence, payload)| Packet { sequence, payload: payload.freeze() }))
}

/// The same for whoever wipes the payload afterwards: its sequence number, and the payload.
///
/// The length is checked as soon as it is there: a packet that is too long is never waited for.
pub(crate) fn take(input: &mut BytesMut, most: usize) -> Result<Option<(u8, BytesMut)>, Fault> {
    let Some(header) = input.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let [low, middle, high, sequence] = *header;
    let len = HEADER_LEN + u32::from_le_bytes([low, middle, high, 0]) as usize;
    if len > most {
        return Err(Fault::TooLong(most));
    }
    if input.len() < len {
        return Ok(None);
    }
    let mut packet = input.split_to(len);
    Ok(Some((sequence, packet.split_off(HEADER_LEN))))
}

/// Appends a packet whose payload is these parts, without copying them anywhere else first.
pub(crate) fn put(out: &mut BytesMut, sequence: u8, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    assert!(len < FULL_LEN, "packets made here are short");
    out.reserve(HEADER_LEN + len);
    out.put_uint_le(len as u64, 3);
    out.put_u8(sequence);
    parts.iter().for_each(|part| out.put_slice(part));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_comes_back() {
        let mut bytes = BytesMut::new();
        put(&mut bytes, 3, &[b"one", b"", b"two"]);
        bytes.put_u8(b'!');
        let packet = next(&mut bytes, 10).unwrap().unwrap();
        assert_eq!((packet.sequence, &packet.payload[..]), (3, &b"onetwo"[..]));
        assert_eq!(&bytes[..], b"!", "the next packet stays");
    }

    #[test]
    fn lengths_are_checked_before_the_payload_is_there() {
        let next = |bytes: &[u8]| next(&mut bytes.into(), 10).map(|packet| packet.is_some());
        assert_eq!(next(b"\x06\0\0"), Ok(false));
        assert_eq!(next(b"\x06\0\0\0"), Ok(false));
        assert_eq!(next(b"\x07\0\0\0"), Err(Fault::TooLong(10)));
        assert_eq!(next(b"\xff\xff\xff\0"), Err(Fault::TooLong(10)));
    }
}
