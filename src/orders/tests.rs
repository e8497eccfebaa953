//! What sessions hear, and when, by a paused clock.

use std::future::poll_fn;
use std::net::SocketAddr;

use attache_wire::ServerRole;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn policy(live: Live) -> Policy {
    Policy { on_rotation: OnRotation { live, within: MINUTE }, renews: false }
}

/// On a route whose protocol can log in again in place.
fn renewing(live: Live) -> Policy {
    Policy { renews: true, ..policy(live) }
}

/// The folder holds this generation, and the server accepts it.
fn accepted(generation: u64) -> InForce {
    InForce { held: Some(generation), accepted: Some(generation), fell_back: false }
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
    orders.rotated(accepted(2), policy(Live::Drain));
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
    orders.rotated(accepted(2), policy(Live::Keep));
    assert!(stays(&mut old).await);
    orders.rotated(accepted(2), policy(Live::Cut));
    assert_eq!(next(&mut old).await, (Order::Now(Cause::CredentialRotated), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn nobody_leaves_for_a_generation_that_stopped_working_before_their_turn() {
    let (orders, drain) = (Orders::default(), Drain::default());
    let mut old = session(&orders, &drain, 1);
    // Some draw the very first moment.
    let long = OnRotation { live: Live::Drain, within: MINUTE * 24 * 60 };
    orders.rotated(accepted(2), Policy { on_rotation: long, renews: false });
    assert!(futures_util::poll!(std::pin::pin!(next(&mut old))).is_pending());
    orders.rotated(accepted(1), policy(Live::Drain));
    assert!(stays(&mut old).await);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_moved_to_the_new_generation_stays() {
    let (orders, drain) = (Orders::default(), Drain::default());
    let mut ears = session(&orders, &drain, 1);
    orders.rotated(accepted(2), policy(Live::Drain));
    ears.moved(Facts { generation: 2, spot: Spot::of(&place(1)) });
    assert!(stays(&mut ears).await);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_begins_behind_the_rotation_hears_of_it_too() {
    let (orders, drain) = (Orders::default(), Drain::default());
    orders.rotated(accepted(2), policy(Live::Cut));
    assert_eq!(session(&orders, &drain, 1).order(), Order::Now(Cause::CredentialRotated));
    assert_eq!(session(&orders, &drain, 2).order(), Order::GoOn);
}

/// A wrong Secret, or one that comes before its time, and what was there before.
#[tokio::test(start_paused = true)]
async fn nobody_leaves_whose_generation_is_held_or_accepted() {
    let (orders, drain) = (Orders::default(), Drain::default());
    let mut ears = session(&orders, &drain, 1);
    for (held, accepted) in [(1, 1), (2, 1), (1, 1), (1, 2), (2, 1)] {
        orders.rotated(
            InForce { held: Some(held), accepted: Some(accepted), fell_back: false },
            policy(Live::Cut),
        );
        let _ = futures_util::poll!(std::pin::pin!(next(&mut ears)));
        assert_eq!(ears.order(), Order::GoOn, "held {held}, accepted {accepted}");
    }
    orders.rotated(accepted(2), policy(Live::Cut));
    assert_eq!(next(&mut ears).await.0, Order::Now(Cause::CredentialRotated));
}

/// The password was changed and changed back: what was in between is what has to go.
#[tokio::test(start_paused = true)]
async fn a_lower_number_may_be_the_newer_generation() {
    let (orders, drain) = (Orders::default(), Drain::default());
    let mut sessions = [1, 2].map(|generation| session(&orders, &drain, generation));
    orders.rotated(InForce { held: Some(1), accepted: Some(2), fell_back: false }, policy(Live::Cut));
    orders.rotated(accepted(1), policy(Live::Cut));
    assert_eq!(next(&mut sessions[1]).await, (Order::Now(Cause::CredentialRotated), Duration::ZERO));
    assert!(stays(&mut sessions[0]).await);
    assert!(orders.retires(2) && !orders.retires(1));
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
    let at_once = OnRotation { live: Live::Drain, within: Duration::ZERO };
    orders.rotated(accepted(2), Policy { on_rotation: at_once, renews: true });
    assert_eq!(next(&mut ears).await, (Order::Now(Cause::ShuttingDown), Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn sessions_of_older_generations_are_renewed_spread_over_some_seconds_also_when_they_may_stay() {
    const SECONDS: u64 = 5;
    let (orders, drain) = (Orders::default(), Drain::default());
    let mut old: Vec<_> = (0..1000).map(|_| session(&orders, &drain, 1)).collect();
    let mut new = session(&orders, &drain, 2);
    orders.rotated(accepted(2), renewing(Live::Keep));
    let start = Instant::now();
    let heard = futures_util::future::join_all(old.iter_mut().map(async |ears| {
        assert_eq!(next(ears).await.0, Order::Renew);
        start.elapsed()
    }));
    let heard = heard.await;
    for second in 0..SECONDS {
        let of_second = heard.iter().filter(|after| after.as_secs() == second).count();
        assert!((120..280).contains(&of_second), "{of_second} of 1000 in second {second}");
    }
    assert!(heard.iter().all(|after| *after <= Duration::from_secs(SECONDS)), "{heard:?}");
    assert!(stays(&mut new).await);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_renewed_who_is_to_end() {
    for (live, most, end) in [
        (Live::Drain, 45, Order::WhenFree(Cause::CredentialRotated)),
        (Live::Cut, 0, Order::Now(Cause::CredentialRotated)),
    ] {
        let (orders, drain) = (Orders::default(), Drain::default());
        let mut old = session(&orders, &drain, 1);
        orders.rotated(accepted(2), renewing(live));
        let (order, after) = next(&mut old).await;
        assert!(order == end && after.as_secs() <= most, "{order:?} after {after:?}");
        assert!(stays(&mut old).await);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_was_renewed_or_cannot_be_is_not_asked_again() {
    let (orders, drain) = (Orders::default(), Drain::default());
    let [mut renewed, mut unable] = [1; 2].map(|generation| session(&orders, &drain, generation));
    orders.rotated(accepted(2), renewing(Live::Keep));
    // Each is listened to from the beginning: a while behind its moment, which is drawn, it would be told to make room.
    let (one, other) = futures_util::future::join(next(&mut renewed), next(&mut unable)).await;
    assert_eq!((one.0, other.0), (Order::Renew, Order::Renew));
    renewed.moved(Facts { generation: 2, spot: Spot::of(&place(1)) });
    unable.give_up();
    assert!(stays(&mut renewed).await && stays(&mut unable).await);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_busy_makes_room_for_a_moment_now_and_then_and_is_not_ended_for_it() {
    let (orders, drain) = (Orders::default(), Drain::default());
    let mut busy = session(&orders, &drain, 1);
    orders.rotated(accepted(2), renewing(Live::Keep));
    assert_eq!(next(&mut busy).await.0, Order::Renew);
    let (mut asked, mut waited) = (0, Duration::ZERO);
    while waited < MINUTE * 10 {
        let (order, without) = next(&mut busy).await;
        assert_eq!(order, Order::MakeRoom);
        let (order, room) = next(&mut busy).await;
        assert!(order == Order::Renew && room <= Duration::from_millis(510), "{order:?} after {room:?}");
        (asked, waited) = (asked + 1, waited + without + room);
    }
    assert!((12..20).contains(&asked), "{asked} times in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_failed_is_tried_again_later_and_later_and_at_once_with_another_generation() {
    let (orders, drain) = (Orders::default(), Drain::default());
    let mut ears = session(&orders, &drain, 1);
    orders.rotated(accepted(2), renewing(Live::Keep));
    assert_eq!(next(&mut ears).await.0, Order::Renew);
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        ears.put_off(Duration::ZERO);
        assert_eq!(ears.order(), Order::GoOn);
        // The server may say yes and no in turns: that is no reason to ask it sooner.
        orders.rotated(accepted(1), renewing(Live::Keep));
        orders.rotated(accepted(2), renewing(Live::Keep));
        let (order, after) = next(&mut ears).await;
        let share = after.as_secs_f64() / f64::from(seconds);
        assert!(order == Order::Renew && (0.74..=1.26).contains(&share), "{order:?} after {after:?}");
    }
    ears.put_off(MINUTE * 5);
    let (order, after) = next(&mut ears).await;
    assert!(order == Order::Renew && after >= MINUTE * 5, "{order:?} after {after:?}");
    for give_up in [false, true] {
        match give_up {
            true => ears.give_up(),
            false => ears.put_off(MINUTE * 5),
        }
        let generation = if give_up { 4 } else { 3 };
        orders.rotated(accepted(generation), renewing(Live::Keep));
        let (order, after) = next(&mut ears).await;
        assert!(order == Order::Renew && after <= Duration::from_secs(5), "{order:?} after {after:?}");
    }
    ears.give_up();
    assert!(stays(&mut ears).await);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_renewed_for_a_generation_that_stopped_working_or_before_the_end() {
    let (orders, drain) = (Orders::default(), Drain::default());
    let mut ears = session(&orders, &drain, 1);
    orders.rotated(accepted(2), renewing(Live::Keep));
    let _ = futures_util::poll!(std::pin::pin!(next(&mut ears)));
    orders.rotated(InForce::default(), renewing(Live::Keep));
    let _ = futures_util::poll!(std::pin::pin!(next(&mut ears)));
    assert!(ears.order() == Order::GoOn && stays(&mut ears).await);
    orders.rotated(accepted(2), renewing(Live::Keep));
    orders.heard_role(&place(1), Role::Primary, ServerRole::Replica);
    assert_eq!(next(&mut ears).await.0, Order::WhenQuiet(Cause::ServerDemoted));
    assert!(stays(&mut ears).await, "it is to end, with whatever login");
}
