//! The process ends as it promises, whatever its sessions speak.

use attache_kit::{House, SOON, Signal};

use crate::house::echo;
use crate::speech::each;

fn terminate(house: &House) {
    house.attache.signal(Signal::TERM);
    house.attache.wait_for("that it drains", SOON, |line| line["message"] == "draining");
}

#[test]
fn sessions_are_served_to_their_end_and_new_ones_too() {
    each(|speech| {
        let server = echo(speech);
        let mut house = speech.route(server.addr()).start();
        let mut client = speech.session(&house);
        terminate(&house);
        client.speak(speech.word);
        speech.session(&house);
        assert!(house.attache.is_running());
        drop(client);
        assert_eq!(house.attache.wait_exit(SOON).code(), Some(0), "{}", speech.protocol);
    });
}

#[test]
fn the_deadline_ends_what_is_left_with_0() {
    each(|speech| {
        let server = echo(speech);
        let mut house = speech.route(server.addr()).start();
        let client = speech.session(&house);
        terminate(&house);
        client.ending();
        assert_eq!(house.attache.wait_exit(SOON).code(), Some(0), "{}", speech.protocol);
    });
}

#[test]
fn a_second_signal_ends_at_once_with_0() {
    each(|speech| {
        let server = echo(speech);
        let mut house = speech.route(server.addr()).top("drain: { deadline: 10m }").start();
        let _client = speech.session(&house);
        terminate(&house);
        house.attache.signal(Signal::TERM);
        assert_eq!(house.attache.wait_exit(SOON).code(), Some(0), "{}", speech.protocol);
    });
}
