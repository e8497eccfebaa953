//! A log line as one JSON object: when, how bad, what, the facts, and where in the code.
//!
//! Every session writes one. Each octet is put where it belongs at once: the general serializer took a quarter of what a
//! session with a reused link costs.

use std::fmt::{self, Debug, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Room for the line of a session, in octets.
const USUAL_LENGTH: usize = 512;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes events as lines of JSON.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut line = String::with_capacity(USUAL_LENGTH);
        line.push_str("{\"timestamp\":\"");
        put_time(&mut line, now);
        line.push_str("\",\"level\":\"");
        line.push_str(event.metadata().level().as_str());
        line.push('"');
        event.record(&mut Facts(&mut line));
        put_name(&mut line, "target");
        put_text(&mut line, event.metadata().target());
        line.push_str("}\n");
        writer.write_str(&line)
    }
}

/// An event's fields, each behind a comma.
struct Facts<'a>(&'a mut String);

impl Facts<'_> {
    /// What is written as JSON has it already.
    fn put(&mut self, field: &Field, value: impl fmt::Display) {
        put_name(self.0, field.name());
        write!(self.0, "{value}").expect("a string takes everything");
    }
}

impl Visit for Facts<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            // Always with a fraction, so that no reader takes the field for whole numbers.
            true => self.put(field, format_args!("{value:?}")),
            false => self.put(field, "null"),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        put_name(self.0, field.name());
        put_text(self.0, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        put_name(self.0, field.name());
        self.0.push('"');
        write!(Inside(self.0), "{value:?}").expect("a string takes everything");
        self.0.push('"');
    }
}

/// The inside of a string.
struct Inside<'a>(&'a mut String);

impl Write for Inside<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        put_escaped(self.0, text);
        Ok(())
    }
}

/// Names come from the code, where nothing has to be escaped.
fn put_name(line: &mut String, name: &str) {
    line.push_str(",\"");
    line.push_str(name);
    line.push_str("\":");
}

fn put_text(line: &mut String, text: &str) {
    line.push('"');
    put_escaped(line, text);
    line.push('"');
}

/// RFC 8259, section 7: quotation mark, backslash and control characters must be escaped.
fn put_escaped(line: &mut String, mut text: &str) {
    let is_special = |octet: u8| octet < 0x20 || octet == b'"' || octet == b'\\';
    while let Some(at) = text.bytes().position(is_special) {
        line.push_str(&text[..at]);
        put_escape(line, text.as_bytes()[at]);
        text = &text[at + 1..];
    }
    line.push_str(text);
}

fn put_escape(line: &mut String, octet: u8) {
    let short = match octet {
        b'"' | b'\\' => char::from(octet),
        b'\n' => 'n',
        b'\r' => 'r',
        b'\t' => 't',
        control => {
            line.push_str("\\u00");
            line.extend([control >> 4, control & 0xf].map(|digit| char::from(HEX[usize::from(digit)])));
            return;
        }
    };
    line.extend(['\\', short]);
}

/// A moment after 1970 in UTC, to the microsecond (RFC 3339).
fn put_time(line: &mut String, since_1970: Duration) {
    let (days, second) = (since_1970.as_secs() / 86_400, since_1970.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let mut told = *b"0000-00-00T00:00:00.000000Z";
    put_digits(&mut told[..4], year);
    put_digits(&mut told[5..7], month);
    put_digits(&mut told[8..10], day);
    put_digits(&mut told[11..13], second / 3600);
    put_digits(&mut told[14..16], second / 60 % 60);
    put_digits(&mut told[17..19], second % 60);
    put_digits(&mut told[20..26], since_1970.subsec_micros().into());
    line.push_str(str::from_utf8(&told).expect("digits are ASCII"));
}

fn put_digits(places: &mut [u8], mut number: u64) {
    for place in places.iter_mut().rev() {
        *place = HEX[(number % 10) as usize];
        number /= 10;
    }
}

/// Year, month and day of the day that is so many behind 1970-01-01. The leap day is the last of a year that is taken to
/// begin in March; 400 of those have 146 097 days.
fn date(days: u64) -> (u64, u64, u64) {
    // From March of the year 0 to 1970 there are 719 468 days.
    let (era, day) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io;
    use std::sync::{Arc, Mutex};

    use jiff::Timestamp;
    use serde_json::{Value, json};
    use tracing::subscriber::with_default;

    use super::*;

    /// What was written.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(act: impl FnOnce()) -> String {
        let paper = Paper::default();
        let writer = paper.clone();
        let lines = tracing_subscriber::fmt().event_format(Json).with_writer(move || writer.clone());
        with_default(lines.finish(), act);
        String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_has_the_fields_of_its_event_in_their_order_each_with_its_type() {
        let before = Timestamp::now();
        let line = written(|| {
            tracing::warn!(
                name = "a",
                shown = %"b",
                debugged = ?Some("c"),
                none = None::<u64>,
                whole = 7_u64,
                below = -7,
                large = u128::MAX,
                broken = 0.125,
                no_number = f64::NAN,
                yes = true,
                "said {}",
                1 + 1
            );
        });
        let told: Value = serde_json::from_str(&line).unwrap();
        let at: Timestamp = told["timestamp"].as_str().unwrap().parse().unwrap();
        assert!((before.as_microsecond()..=Timestamp::now().as_microsecond()).contains(&at.as_microsecond()));
        let facts = "\"level\":\"WARN\",\"message\":\"said 2\",\"name\":\"a\",\"shown\":\"b\",\
                     \"debugged\":\"Some(\\\"c\\\")\",\"whole\":7,\"below\":-7,\
                     \"large\":340282366920938463463374607431768211455,\"broken\":0.125,\"no_number\":null,\
                     \"yes\":true,\"target\":\"attache::log::json::tests\"}\n";
        assert_eq!(line.split_once(',').unwrap().1, facts);
    }

    #[test]
    fn whatever_a_text_holds_comes_back_as_it_was() {
        let all: String = (0..0x180).filter_map(char::from_u32).chain("\u{1f600}\"".chars()).collect();
        let text = all.as_str();
        let lines = written(|| {
            tracing::info!(text, shown = %text, empty = "");
            tracing::info!(text);
        });
        assert_eq!(lines.lines().count(), 2);
        for line in lines.lines() {
            let told: Value = serde_json::from_str(line).unwrap();
            assert_eq!(told["text"], json!(all));
            assert!(told.get("shown").is_none_or(|shown| *shown == json!(all)));
        }
    }

    #[test]
    fn a_moment_is_told_as_the_calendar_has_it() {
        let leap_days = [68_169_600, 951_782_400, 951_868_800, 4_107_542_400, 4_107_456_000, 32_503_680_000];
        let each_day_of_a_leap_year = (0..366).map(|day| 1_704_067_200 + day * 86_400);
        for second in
            leap_days.into_iter().chain(each_day_of_a_leap_year).chain([0, 59, 86_399, 1_763_877_599])
        {
            let mut told = String::new();
            put_time(&mut told, Duration::new(second, 1_000));
            let expected = Timestamp::new(i64::try_from(second).unwrap(), 1_000).unwrap();
            assert_eq!(told, expected.to_string(), "{second}");
        }
    }
}
