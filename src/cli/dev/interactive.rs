//! Serving without a command: for as long as a person works, who may watch it.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::super::Outcome;
use super::house::House;
use super::line::Line;
use super::signals::Signals;
use crate::status::RouteStatus;

/// How often the line is looked after: as often as somebody would look at it.
const PACE: Duration = Duration::from_secs(1);
/// How long a session may take to come to a quiet moment. Whoever cannot wait presses the key again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves until somebody wants the process to end, and gives sessions a moment for it.
pub(super) async fn serve(house: &House, line: Option<&Line>) -> Outcome {
    let mut signals = Signals::listen()?;
    tokio::select! {
        _ = signals.next() => {}
        () = keep_up(house, line) => {}
    }
    if let Some(line) = line {
        line.clear();
        match house.sessions() {
            0 => {}
            1 => line.say("1 session is left: it ends at its next quiet moment, Ctrl-C cuts it"),
            left => line.say(&format!(
                "{left} sessions are left: they end at their next quiet moment, Ctrl-C cuts them"
            )),
        }
    }
    tokio::select! {
        () = house.close(PATIENCE) => {}
        _ = signals.next() => {}
    }
    Ok(())
}

/// Shows how things stand, for ever.
async fn keep_up(house: &House, line: Option<&Line>) {
    let Some(line) = line else { return std::future::pending().await };
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let is_one = house.databases.len() == 1;
        let all = house.databases.iter().map(|database| told(&database.status(), is_one));
        line.show(&all.collect::<Vec<_>>().join(" | "));
    }
}

/// One database: its servers, who uses it, and which password.
fn told(status: &RouteStatus, is_one: bool) -> String {
    let name = if is_one { String::new() } else { format!("{} ", status.name) };
    let sessions = match status.sessions {
        1 => "1 session".to_owned(),
        sessions => format!("{sessions} sessions"),
    };
    let generation = status.credential.as_ref().and_then(|credential| credential.generation_in_use);
    let generation = generation.map(|generation| format!(", generation {generation}")).unwrap_or_default();
    let trouble = status.credential.as_ref().filter(|credential| credential.rejected);
    let trouble = trouble.map(|_| ", the newest password is rejected").unwrap_or_default();
    format!("{name}{}, {sessions}{generation}{trouble}", servers(status))
}

fn servers(status: &RouteStatus) -> String {
    let up = status.endpoints.iter().filter(|endpoint| endpoint.up == Some(true)).count();
    match status.endpoints.as_slice() {
        [one] => match (one.up, one.cause, one.last_probe_seconds) {
            (None, ..) => "not looked at yet".to_owned(),
            (Some(true), _, took) => format!("up ({:.0} ms)", took.unwrap_or_default() * 1000.0),
            (Some(false), cause, _) => format!("down: {}", cause.unwrap_or("unknown")),
        },
        several => format!("{up} of {} servers up", several.len()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pulse::Totals;
    use crate::status::Relayed;

    fn status(up: Option<bool>, cause: Option<&'static str>, endpoints: usize) -> RouteStatus {
        let endpoint = || crate::status::EndpointStatus {
            endpoint: "db:5432".to_owned(),
            server: None,
            up,
            state_age_seconds: None,
            last_probe_age_seconds: None,
            last_probe_seconds: Some(0.0123),
            stage: None,
            cause,
            detail: None,
            advice: None,
            server_version: None,
            role: None,
            superseded: false,
            certificate_not_after: None,
        };
        RouteStatus {
            name: "orders".to_owned(),
            protocol: "postgres",
            ready: true,
            listen: Vec::new(),
            sessions: 1,
            sessions_ended: Default::default(),
            relayed: Relayed::from(Totals::default()),
            links_by_generation: Default::default(),
            warm_links_by_generation: None,
            credential: None,
            authorities_problem: None,
            authorities_warnings: Vec::new(),
            sentinels: None,
            endpoints: (0..endpoints).map(|_| endpoint()).collect(),
        }
    }

    #[test]
    fn the_line_says_how_servers_and_sessions_are() {
        assert_eq!(told(&status(Some(true), None, 1), true), "up (12 ms), 1 session");
        assert_eq!(
            told(&status(Some(false), Some("connect_refused"), 1), false),
            "orders down: connect_refused, 1 session"
        );
        assert_eq!(told(&status(Some(true), None, 2), true), "2 of 2 servers up, 1 session");
        assert_eq!(told(&status(None, None, 1), true), "not looked at yet, 1 session");
    }
}
