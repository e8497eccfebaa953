//! What sessions hear, and when, by a paused clock.

use std::future::poll_fn;
use std::net::SocketAddr;

use attache_wire::ServerRole;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn policy(live: Live) -> OnRotation {
    OnRotation { live, within: MINUTE }
}

fn place(port: u16) -> Place {
    Place::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn session(orders: &Orders, drain: &Drain, generation: u64) -> Ears {
    orders.follow(drain, Facts { generation, spot: Spot::of(&place(1)) })
}

/// The next order, and after how long it came.
async fn next(ears: &mut Ears) -> (Order, Duration) {
    let start = Instant::now();
    let order = poll_fn(|cx| ears.poll_changed(cx)).await;
    (order, start.elapsed())
}

async fn stays(ears: &mut Ears) -> bool {
    tokio::time::timeout(MINUTE * 60, next(ears)).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn sessions_of_older_generations_leave_spread_over_the_first_part_of_the_window() {
    let (orders, drain) = (Orders::default(), Drain::default());
    let mut old: Vec<_> = (0..200).map(|_| session(&orders, &drain, 1)).collect();
    let mut new = session(&orders, &drain, 2);
    orders.rotated(Some(2), policy(Live::Drain));
    let start = Instant::now();
    let heard = futures_util::future::join_all(old.iter_mut().map(async |ears| {
        assert_eq!(next(ears).await.0, Order::WhenFree(Cause::CredentialRotated));
        start.elapsed()
    }));
    let heard = heard.await;
    let first_third = heard.iter().filter(|after| **after < Duration::from_secs(15)).count();
    assert!((20..140).contains(&first_third), "{first_third} of 200 in the first third");
    assert!(heard.iter().all(|after| *after <= MINUTE * 3 / 4), "{heard:?}");
    assert!(stays(&mut new).await);
}

#[tokio::test(start_paused = true)]
async fn a_leaked_password_cuts_at_once_and_keep_says_nothing() {
    let (orders, drain) = (Orders::default(), Drain::default());
    let mut old = session(&orders, &drain, 1);
    orders.rotated(Some(2), policy(Live::Keep));
    assert!(stays(&mut old).await);
    orders.rotated(Some(2), policy(Live::Cut));
    assert_eq!(next(&mut old).await, (Order::Now(Cause::CredentialRotated), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn nobody_leaves_for_a_generation_that_stopped_working_before_their_turn() {
    let (orders, drain) = (Orders::default(), Drain::default());
    let mut old = session(&orders, &drain, 1);
    orders.rotated(Some(2), policy(Live::Drain));
    assert!(futures_util::poll!(std::pin::pin!(next(&mut old))).is_pending());
    orders.rotated(Some(1), policy(Live::Drain));
    assert!(stays(&mut old).await);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_moved_to_the_new_generation_stays() {
    let (orders, drain) = (Orders::default(), Drain::default());
    let mut ears = session(&orders, &drain, 1);
    orders.rotated(Some(2), policy(Live::Drain));
    ears.moved(Facts { generation: 2, spot: Spot::of(&place(1)) });
    assert!(stays(&mut ears).await);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_begins_behind_the_rotation_hears_of_it_too() {
    let (orders, drain) = (Orders::default(), Drain::default());
    orders.rotated(Some(2), policy(Live::Cut));
    assert_eq!(session(&orders, &drain, 1).order(), Order::Now(Cause::CredentialRotated));
    assert_eq!(session(&orders, &drain, 2).order(), Order::GoOn);
}

#[tokio::test(start_paused = true)]
async fn a_retired_route_serves_on_then_closes_then_cuts() {
    let (orders, drain) = (Orders::default(), Drain::default());
    let mut ears = session(&orders, &drain, 1);
    let policy = domain::Drain { deadline: Duration::from_secs(25), linger: Duration::ZERO };
    tokio::spawn(orders.clone().retire(policy));
    assert_eq!(next(&mut ears).await, (Order::WhenQuiet(Cause::RouteChanged), Duration::from_secs(20)));
    assert_eq!(next(&mut ears).await, (Order::Now(Cause::RouteChanged), Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn sessions_leave_a_server_that_has_lost_its_role_and_no_other() {
    let (orders, drain) = (Orders::default(), Drain::default());
    let mut ears = session(&orders, &drain, 1);
    orders.heard_role(&place(2), Role::Primary, ServerRole::Replica);
    orders.heard_role(&place(1), Role::Primary, ServerRole::Primary);
    orders.heard_role(&place(1), Role::Any, ServerRole::Replica);
    assert!(stays(&mut ears).await);
    orders.heard_role(&place(1), Role::Primary, ServerRole::Replica);
    assert_eq!(next(&mut ears).await.0, Order::WhenQuiet(Cause::ServerDemoted));
    orders.heard_role(&place(1), Role::Primary, ServerRole::Primary);
    assert_eq!(next(&mut ears).await.0, Order::GoOn);
}

#[tokio::test(start_paused = true)]
async fn the_process_has_the_last_word() {
    let (orders, drain) = (Orders::default(), Drain::default());
    let mut ears = session(&orders, &drain, 1);
    let _present = drain.enter();
    let policy = domain::Drain { deadline: Duration::from_secs(25), linger: Duration::ZERO };
    let end = drain.clone();
    tokio::spawn(async move { end.run(policy).await });
    assert_eq!(next(&mut ears).await, (Order::WhenQuiet(Cause::ShuttingDown), Duration::from_secs(20)));
    orders.rotated(Some(2), OnRotation { live: Live::Drain, within: Duration::ZERO });
    assert_eq!(next(&mut ears).await, (Order::Now(Cause::ShuttingDown), Duration::from_secs(5)));
}
