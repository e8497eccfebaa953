//! Cancel requests of PostgreSQL, on both sides. A session may send one at any moment, and so late that it is over by then; none
//! may ever hit another one that has its link to the server.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::house::Shared;
use crate::world::World;

/// The code in the place of a version.
pub const CANCEL: u32 = 80_877_102;
/// What a server says to a question that was cancelled.
pub const CANCELLED: &str = "57014";
/// A client waits no longer for its request to be taken note of.
const PATIENCE: Duration = Duration::from_secs(30);

/// The client's side: a connection of its own, which is over once the server has taken note.
pub async fn send(world: World, house: Shared, session: u64, key: Vec<u8>, after: Duration) {
    sleep(after).await;
    let arrived = {
        let mut house = house.lock().expect("nothing panics under this lock");
        house.as_mut().and_then(|house| house.arrive(&world))
    };
    let Some((mut end, _)) = arrived else { return };
    world.tell(|| format!("session {session} sends a cancel request"));
    world.state().cancels.push(session);
    let length = u32::try_from(key.len() + 8).expect("a short key");
    let request = [&length.to_be_bytes()[..], &CANCEL.to_be_bytes(), &key].concat();
    let _ = timeout(PATIENCE, async {
        end.write_all(&request).await?;
        end.read(&mut [0]).await
    })
    .await;
}

/// The server's side: it takes a moment to find whom the key names, and closes then.
pub async fn receive(world: &World, key: &[u8]) {
    let moment = world.state().moment();
    sleep(moment).await;
    let Some((process, _secret)) = key.split_first_chunk::<4>() else {
        return world.wrong("a cancel request without a key".to_owned());
    };
    let state = world.state();
    let Some(conn) = state.conns.get(u32::from_be_bytes(*process) as usize) else { return };
    // A link whose last session is over may serve another one that has not asked anything yet.
    let serves = conn.executed.last().map(|number| session_of(*number));
    let serves = serves.filter(|session| !state.stays.is_over(*session));
    let meant = serves.is_none_or(|session| state.cancels.contains(&session));
    conn.cancelled.notify_waiters();
    drop(state);
    if !meant {
        world.wrong(format!("a cancel request has hit session {serves:?}, which sent none"));
    }
}

/// Questions to a session.
const QUESTIONS: u64 = 10_000;
/// Sessions to a client.
const SESSIONS: u64 = 100_000;

/// The number of a question, which no other one has.
pub fn number(client: usize, session: u64, question: u64) -> u64 {
    (client as u64 * SESSIONS + session) * QUESTIONS + question
}

pub fn session_of(number: u64) -> u64 {
    number / QUESTIONS
}

#[cfg(test)]
mod tests {
    use crate::plan::{Habit, Plan, Reload, Step};
    use crate::schedule;
    use crate::speech::Dialect;

    use super::*;

    #[test]
    fn a_cancel_request_hits_its_own_session_and_no_other_that_has_the_link() {
        let plan = Plan::quiet(Dialect::Postgres).with_clients(5, Habit::Hopper);
        for reuse in [true, false] {
            let length = Duration::from_secs(300);
            let outcome = schedule::run(&Plan { warm: 3, reuse, cancels: true, length, ..plan.clone() });
            assert_eq!(outcome.wrong, [""; 0]);
            assert!(outcome.counts.cancelled > 10, "{:?}", outcome.counts);
        }
    }

    /// The sessions are those of before: they have the time of a drain.
    #[test]
    fn a_cancel_request_finds_a_session_whose_route_was_taken_out_and_put_in_again() {
        let steps = [(2000, Step::Reload(Reload::Remove)), (3000, Step::Reload(Reload::Restore))];
        let plan = Plan::quiet(Dialect::Postgres).with_clients(9, Habit::Stayer);
        let [length, deadline] = [40, 60].map(Duration::from_secs);
        let plan = Plan { cancels: true, length, deadline, ..plan.with_steps("there and back", &steps) };
        let outcome = schedule::run(&plan);
        assert_eq!(outcome.wrong, [""; 0]);
        assert!(outcome.counts.cancelled > 0, "{:?}", outcome.counts);
    }
}
