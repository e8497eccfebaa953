//! The small pieces of the page: badges, figures, the picture of a route's throughput.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use maud::{Markup, html};

use super::concerns::Tone;
use crate::pulse::{self, BEATS, Rate};
use crate::status::approximately;

/// The picture's own units.
const STEP: f64 = 10.0;
const WIDTH: f64 = STEP * (BEATS - 1) as f64;
const HEIGHT: f64 = 48.0;
/// Below this a picture would make mountains of nothing, in octets a second.
const SMALLEST_PEAK: f64 = 100.0;

/// A word with a sign before it: no two tones have the same form, so that nobody has to tell colours apart.
pub(super) fn badge(tone: Tone, word: &str) -> Markup {
    html! { p class={ "badge " (class(tone)) } { (sign(tone)) (word) } }
}

pub(super) fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "bad",
        Tone::Warn => "warn",
        Tone::Idle => "idle",
        Tone::Good => "good",
    }
}

pub(super) fn sign(tone: Tone) -> Markup {
    let (shape, mark) = match tone {
        Tone::Bad => ("M5 1h6l4 4v6l-4 4H5l-4-4V5z", "M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8"),
        Tone::Warn => ("M8 1.5L15.2 14.5H.8z", "M8 6v4M8 12v.4"),
        Tone::Idle => ("M8 2a6 6 0 100 12A6 6 0 108 2z", ""),
        Tone::Good => ("M8 1a7 7 0 100 14A7 7 0 108 1z", "M4.8 8.3l2.2 2.2 4.2-4.6"),
    };
    html! {
        svg class="sign" viewBox="0 0 16 16" aria-hidden="true" { path class="shape" d=(shape) {} path class="mark" d=(mark) {} }
    }
}

/// A count with its thousands set apart by narrow spaces.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join("\u{202f}")
}

pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{}\u{a0}{noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// An amount in octets, to three digits.
pub(super) fn amount(octets: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut rest = octets;
    let mut unit = units[0];
    for larger in &units[1..] {
        // What would be written as a thousand is one of the next unit.
        if rest < 999.5 {
            break;
        }
        rest /= 1000.0;
        unit = larger;
    }
    let places = if unit == "B" || rest >= 99.95 { 0 } else { 1 };
    format!("{rest:.places$}\u{a0}{unit}")
}

pub(super) fn ago(seconds: u64) -> String {
    match seconds {
        0 | 1 => "just now".to_owned(),
        _ => format!("{} ago", duration(seconds)),
    }
}

/// Numbers stay with their units.
pub(super) fn duration(seconds: u64) -> String {
    approximately(Duration::from_secs(seconds)).replace(' ', "\u{a0}")
}

/// How long a certificate is still valid.
pub(super) fn left(not_after: u64) -> String {
    match (UNIX_EPOCH + Duration::from_secs(not_after)).duration_since(SystemTime::now()) {
        Ok(left) => format!("{} left", duration(left.as_secs())),
        Err(since) => format!("expired {} ago", duration(since.duration().as_secs())),
    }
}

pub(super) fn milliseconds(seconds: f64) -> String {
    let thousandths = seconds * 1e3;
    let places = if thousandths < 9.95 { 1 } else { 0 };
    format!("{thousandths:.places$}\u{a0}ms")
}

/// What a route copied of late: an area towards the application, a line towards the database.
pub(super) fn picture(history: &[Rate]) -> Markup {
    let all = history.iter().flat_map(|rate| [rate.to_client, rate.to_upstream]);
    let peak = all.fold(0.0, f64::max);
    if peak == 0.0 {
        return html! { p class="still" { "Nothing was copied in the last " (approximately(pulse::BEAT * BEATS)) "." } };
    }
    let scale = peak.max(SMALLEST_PEAK);
    html! {
        figure class="throughput" {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" aria-hidden="true" {
                polygon class="to-client" points=(area(history, |rate| rate.to_client / scale)) {}
                polyline class="to-upstream" points=(line(history, |rate| rate.to_upstream / scale)) {}
            }
            figcaption {
                span class="key to-client" { "to the application" }
                span class="key to-upstream" { "to the database" }
                span class="span" { "the last " (approximately(pulse::BEAT * BEATS)) ", peak " (amount(peak)) "/s" }
            }
        }
    }
}

/// What is below a line.
fn area(history: &[Rate], share: impl Fn(&Rate) -> f64) -> String {
    let start = x(0, history.len());
    format!("{start:.0},{HEIGHT} {} {WIDTH},{HEIGHT}", line(history, share))
}

/// From left to right, the newest at the right end.
fn line(history: &[Rate], share: impl Fn(&Rate) -> f64) -> String {
    let point = |(index, rate): (usize, &Rate)| {
        // A stroke on the edge would be cut in half.
        format!("{:.0},{:.1}", x(index, history.len()), 1.0 + (HEIGHT - 2.0) * (1.0 - share(rate)))
    };
    history.iter().enumerate().map(point).collect::<Vec<_>>().join(" ")
}

/// Where a rate stands of which there are so many: the frame has room for all that are ever kept.
fn x(index: usize, many: usize) -> f64 {
    WIDTH - STEP * many.saturating_sub(index + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_keep_their_unit() {
        let counts = [0, 999, 1_000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
        let amounts = [0.0, 999.0, 999.6, 1_000.0, 45_678.0, 999_960.0, 2.5e9, 1e18].map(amount);
        let told = amounts.map(|amount| amount.replace('\u{a0}', " "));
        assert_eq!(told, ["0 B", "999 B", "1.0 kB", "1.0 kB", "45.7 kB", "1.0 MB", "2.5 GB", "1000 PB"]);
        assert_eq!([0.000_31, 0.0125].map(milliseconds), ["0.3\u{a0}ms", "12\u{a0}ms"]);
    }

    #[test]
    fn where_nothing_was_copied_there_is_no_picture() {
        let nothing = Rate { to_upstream: 0.0, to_client: 0.0 };
        for history in [&[][..], &[nothing]] {
            let told = picture(history).into_string();
            assert!(
                told.contains("Nothing was copied in the last 5 min.") && !told.contains("svg"),
                "{told}"
            );
        }
    }

    #[test]
    fn the_picture_ends_at_the_right_and_a_flat_line_is_at_the_bottom() {
        let rates = [10.0, 0.0, 200.0].map(|to_client| Rate { to_upstream: 0.0, to_client });
        let picture = picture(&rates).into_string();
        assert!(picture.contains(r#"points="570,48 570,44.7 580,47.0 590,1.0 590,48""#), "{picture}");
        assert!(picture.contains(r#"points="570,47.0 580,47.0 590,47.0""#), "{picture}");
        assert!(picture.contains("the last 5 min, peak 200\u{a0}B/s"), "{picture}");
    }
}
