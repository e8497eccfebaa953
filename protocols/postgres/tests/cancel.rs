//! Cancel requests on their way, and what clients and servers are told at the end.
#![allow(clippy::unwrap_used)]

mod support;

use attache_postgres::{CancelRequest, ChannelBinding};
use attache_wire::testing::{Run, run, run_every_split};
use attache_wire::{Fault, Insecure, Moment, Notice, Opening, Protocol, Refusal, TlsFacts, TlsStart};
use bytes::BytesMut;
use support::{NONCE, error, postgres};

const REQUEST: &[u8] = b"\0\0\0\x14\x04\xd2\x16\x2e\0\0\x10\x01long key";

fn request() -> CancelRequest {
    match run(postgres(ChannelBinding::Prefer, None).accept(None, NONCE), &[REQUEST], &[], None).end {
        Ok(Some(Opening::Errand(request))) => request,
        other => panic!("{other:?}"),
    }
}

fn deliver(tls: TlsStart, segments: &[&[u8]]) -> Run<()> {
    let facts = TlsFacts { server_end_point: None, alpn: Some(b"postgresql".to_vec()) };
    let protocol = postgres(ChannelBinding::Prefer, None);
    run_every_split(|| protocol.deliver(request(), tls), segments, Some(&facts))
}

#[test]
fn a_cancel_request_is_delivered_as_it_came() {
    for (tls, segments, asked) in [
        (TlsStart::Off, &[&b""[..]][..], &b""[..]),
        (TlsStart::Direct, &[b"", b""], b""),
        (TlsStart::Negotiated, &[b"S", b""], b"\0\0\0\x08\x04\xd2\x16\x2f"),
    ] {
        let run = deliver(tls, segments);
        assert_eq!((run.end, run.output), (Ok(Some(())), [asked, REQUEST].concat()), "{tls:?}");
    }
}

#[test]
fn a_key_is_not_sent_to_a_server_that_declines_tls() {
    for (answer, fault) in [(&b"N"[..], Fault::Insecure(Insecure::TlsDeclined)), (b"Sx", Fault::EarlyData)] {
        let run = deliver(TlsStart::Negotiated, &[answer, b""]);
        assert_eq!((run.end, run.output.len()), (Err(fault), 8));
    }
}

#[test]
fn a_refusal_is_an_error_response_with_code_cause_session_and_hint() {
    let refused = |refusal, cause, hint| {
        let mut out = BytesMut::new();
        let notice = Notice { refusal, cause, hint, session: "k7x2" };
        postgres(ChannelBinding::Prefer, None).refuse(&notice, Moment::Opening, &mut out);
        out.to_vec()
    };
    let codes = [
        (Refusal::Unavailable, "08006"),
        (Refusal::TimedOut, "08006"),
        (Refusal::NoCredential, "28000"),
        (Refusal::LoginRejected, "28P01"),
        (Refusal::Insecure, "08004"),
        (Refusal::TooManySessions, "53300"),
        (Refusal::NotAllowed, "28000"),
        (Refusal::ProtocolViolation, "08P01"),
        (Refusal::Unsupported, "0A000"),
        (Refusal::ShuttingDown, "57P01"),
    ];
    for (refusal, code) in codes {
        assert_eq!(refused(refusal, "no server", ""), error(code, "attache: no server (session k7x2)"));
    }
    let hinted = refused(Refusal::Unavailable, "a\0b\n", "see\0docs");
    assert_eq!(hinted, error("08006", "attache: a b  (session k7x2)\0Hsee docs"));
}

#[test]
fn a_server_is_told_that_nobody_will_ask_again() {
    let mut out = BytesMut::new();
    postgres(ChannelBinding::Prefer, None).farewell(&mut out);
    assert_eq!(&out[..], b"X\0\0\0\x04");
}
