//! Spans of time: how they are read, and what an editor can tell of them by the schema.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};

use super::complaint::quote;
use super::kind::{Kind, Wrong, not_a};

/// Units from the longest to the shortest, each once, with a fraction in the last one only.
const FORM: &str = "^([0-9]+h)?([0-9]+m)?([0-9]+s)?[0-9]+(\\.[0-9]+)?ms$|^([0-9]+h)?([0-9]+m)?[0-9]+(\\.[0-9]+)?s$|^([0-9]+h)?[0-9]+(\\.[0-9]+)?m$|^[0-9]+(\\.[0-9]+)?h$|^0$";

/// In milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A span of time such as `5s`, `1m30s` or `500ms`; a bare 0 will do for none.
pub(super) fn duration(range: RangeInclusive<Duration>) -> Kind<Duration> {
    let (least, most) = range.into_inner();
    let name = format!("duration from {} to {}", Span(least), Span(most));
    Kind::new(name, schema(least, most), move |raw| {
        let duration = match raw.value {
            Value::Number(number) if number.as_u64() == Some(0) => Duration::ZERO,
            Value::Number(number) => {
                return Err(Wrong::new(
                    format!("{number} has no unit"),
                    format!("write {number}s for seconds"),
                ));
            }
            Value::String(text) => parse_duration(text)?,
            other => return Err(not_a("a duration", other)),
        };
        if (least..=most).contains(&duration) {
            return Ok(duration);
        }
        let reason = format!("must be from {} to {}, not {}", Span(least), Span(most), Span(duration));
        Err(Wrong::new(reason, ""))
    })
}

/// Form and bounds, as far as a pattern can have them: what it rejects is wrong. A sum of several units is not added up.
fn schema(least: Duration, most: Duration) -> Value {
    let outside = UNITS.iter().flat_map(|unit| [too_long(unit, most), too_short(unit, least)]);
    let zero = (!least.is_zero()).then(|| "^[^1-9]*$".to_owned());
    let outside = outside.flatten().chain(zero).collect::<Vec<_>>().join("|");
    let text = json!({"type": "string", "pattern": FORM, "not": {"pattern": outside}});
    if least.is_zero() { json!({"anyOf": [text, {"const": 0}]}) } else { text }
}

/// A part that alone is longer than the whole may be.
fn too_long((unit, size): &(&str, u64), most: Duration) -> Option<String> {
    let over = over(millis(most) / size);
    // The unit of minutes begins that of milliseconds.
    let end = if *unit == "m" { "([^s]|$)" } else { "" };
    Some(format!("(^|[hms]){over}(\\.[0-9]+)?{unit}{end}"))
}

/// A single part that is not as long as the whole has to be.
fn too_short((unit, size): &(&str, u64), least: Duration) -> Option<String> {
    let most = (millis(least) / size).checked_sub(1)?;
    Some(format!("^{}(\\.[0-9]+)?{unit}$", up_to(most)))
}

fn millis(bound: Duration) -> u64 {
    u64::try_from(bound.as_millis()).expect("no bound is longer than a day")
}

/// A pattern of the numbers above this one.
fn over(number: u64) -> String {
    let digits = number.to_string();
    let longer = format!("[1-9][0-9]{{{},}}", digits.len());
    let greater = digits.char_indices().filter(|(_, digit)| *digit < '9').map(|(at, digit)| {
        let next = u32::from(digit) + 1;
        let next = char::from_u32(next).expect("a digit has a next one");
        format!("{}[{next}-9][0-9]{{{}}}", &digits[..at], digits.len() - at - 1)
    });
    format!("0*({})", greater.chain([longer]).collect::<Vec<_>>().join("|"))
}

/// A pattern of the numbers up to this one.
fn up_to(number: u64) -> String {
    let digits = number.to_string();
    let less = digits.char_indices().filter(|(_, digit)| *digit > '0').map(|(at, digit)| {
        let before = u32::from(digit) - 1;
        let before = char::from_u32(before).expect("a digit above 0 has one before");
        format!("{}[0-{before}][0-9]{{{}}}", &digits[..at], digits.len() - at - 1)
    });
    let same = [digits.clone()];
    let shorter = (1..digits.len()).map(|length| format!("[0-9]{{{length}}}"));
    format!("0*({})", less.chain(same).chain(shorter).collect::<Vec<_>>().join("|"))
}

fn parse_duration(text: &str) -> Result<Duration, Wrong> {
    let wrong =
        || Wrong::new(format!("{} is no duration", quote(text)), "write for example 5s, 1m30s or 500ms");
    let plain = text.chars().all(|letter| letter.is_ascii_digit() || "hms.".contains(letter));
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if plain && !text.is_empty() && text.chars().all(|letter| letter.is_ascii_digit()) {
        return Err(Wrong::new(
            format!("{} has no unit", quote(text)),
            "write for example 5s, 1m30s or 500ms",
        ));
    }
    let span: jiff::SignedDuration = text.parse().ok().filter(|_| plain).ok_or_else(wrong)?;
    Duration::try_from(span).map_err(|_| wrong())
}

/// Shows a duration as it would be written.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match self.0.subsec_millis() {
            0 if seconds > 0 && seconds.is_multiple_of(3600) => write!(f, "{}h", seconds / 3600),
            0 if seconds > 0 && seconds.is_multiple_of(60) => write!(f, "{}m", seconds / 60),
            0 => write!(f, "{seconds}s"),
            _ => write!(f, "{}ms", self.0.as_millis()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    use regex::Regex;

    use super::super::keys::{NOW_AND_THEN, SOME_TIME, UP_TO_A_DAY};
    use super::super::kind::Raw;
    use super::*;

    /// A kind of durations, and what an editor makes of its schema.
    struct Seen {
        kind: Kind<Duration>,
        form: Regex,
        outside: Regex,
    }

    impl Seen {
        fn new(range: RangeInclusive<Duration>) -> Self {
            let kind = duration(range);
            let text = kind.schema.get("anyOf").map_or(&kind.schema, |branches| &branches[0]);
            let pattern =
                |schema: &Value| Regex::new(schema["pattern"].as_str().expect("a pattern")).expect("valid");
            let (form, outside) = (pattern(text), pattern(&text["not"]));
            Self { kind, form, outside }
        }

        fn fits(&self, text: &str) -> bool {
            self.form.is_match(text) && !self.outside.is_match(text)
        }

        fn is_read(&self, text: &str) -> bool {
            self.kind.read(Raw { value: &json!(text), is_text: false }).is_ok()
        }
    }

    fn kinds() -> [Seen; 3] {
        [UP_TO_A_DAY, SOME_TIME, NOW_AND_THEN].map(Seen::new)
    }

    /// Durations, and what nearly is one.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "([0-9]{1,4}(\\.[0-9]{0,2})?(h|m|s|ms)){1,4}",
            "[0-9]{0,6}[hms.]{0,3}[0-9]{0,3}[hms.]{0,2}",
            "[-+ 0-9hms.,:PT]{0,8}",
            "0{1,3}[0-9]{0,2}(h|m|s|ms|)",
        ]
    }

    /// A whole number of one unit.
    fn of_one_unit() -> impl Strategy<Value = String> {
        let number = prop_oneof![0..100_u64, 0..100_000_u64, 0..u64::from(u32::MAX)];
        let unit = prop_oneof![Just("h"), Just("m"), Just("s"), Just("ms")];
        ("0{0,2}", number, unit).prop_map(|(zeros, number, unit)| format!("{zeros}{number}{unit}"))
    }

    fn each(texts: impl Strategy<Value = String>, check: impl Fn(&str)) {
        let mut runner = TestRunner::new(ProptestConfig::with_cases(4000));
        let checked = runner.run(&texts, |text| {
            check(&text);
            Ok(())
        });
        checked.expect("it holds for each");
    }

    #[test]
    fn the_form_of_the_schema_is_that_which_is_read() {
        let form = Regex::new(FORM).expect("valid");
        each(text(), |text| assert_eq!(form.is_match(text), parse_duration(text).is_ok(), "{text}"));
    }

    #[test]
    fn what_is_read_is_never_called_wrong_by_an_editor() {
        let kinds = kinds();
        each(text(), |text| {
            for seen in kinds.iter().filter(|seen| seen.is_read(text)) {
                assert!(seen.fits(text), "{text} as {}", seen.kind.name);
            }
        });
    }

    #[test]
    fn a_whole_number_of_one_unit_is_right_for_both_or_for_neither() {
        let kinds = kinds();
        each(of_one_unit(), |text| {
            for seen in &kinds {
                assert_eq!(seen.fits(text), seen.is_read(text), "{text} as {}", seen.kind.name);
            }
        });
    }

    #[test]
    fn the_bounds_are_seen_in_an_editor() {
        let [up_to_a_day, some_time, now_and_then] = kinds();
        for (seen, right, wrong) in [
            (&up_to_a_day, ["0s", "24h", "1440m"], ["25h", "1441m", "86401s"]),
            (&some_time, ["1ms", "10m", "600s"], ["0s", "11m", "600001ms"]),
            (&now_and_then, ["1s", "1000ms", "60m"], ["999ms", "0.5s", "61m"]),
        ] {
            for (texts, expected) in [(right, true), (wrong, false)] {
                for text in texts {
                    let told = (seen.fits(text), seen.is_read(text));
                    assert_eq!(told, (expected, expected), "{text} as {}", seen.kind.name);
                }
            }
        }
        assert_eq!(up_to_a_day.kind.schema["anyOf"][1], json!({"const": 0}));
        assert!(now_and_then.kind.schema.get("anyOf").is_none(), "0 is none of it");
    }
}
