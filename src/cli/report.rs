//! The steps of a check, for people and for programs.

use serde::Serialize;

use super::table::Table;
use crate::upstream::{Step, Verdict};

#[derive(Debug, Default)]
pub(super) struct Report {
    lines: Vec<Line>,
}

/// One step, as `--json` tells it.
#[derive(Debug, Serialize)]
struct Line {
    route: Option<String>,
    endpoint: Option<String>,
    step: &'static str,
    /// `None` where the step was skipped.
    ok: Option<bool>,
    ms: Option<f64>,
    /// Of a failure or a warning.
    cause: Option<&'static str>,
    detail: String,
    advice: Option<&'static str>,
}

impl Report {
    pub(super) fn add(&mut self, route: Option<&str>, step: Step) {
        let (ok, cause, advice) = match step.verdict {
            Verdict::Passed => (Some(true), None, None),
            Verdict::Warned(warning) => (Some(true), Some(warning), None),
            Verdict::Failed(cause) => (Some(false), Some(cause.name()), Some(cause.advice())),
            Verdict::Skipped => (None, None, None),
        };
        self.lines.push(Line {
            route: route.map(str::to_owned),
            endpoint: step.endpoint,
            step: step.name,
            ok,
            ms: step.took.map(|took| (took.as_secs_f64() * 1e6).round() / 1e3),
            cause,
            detail: step.detail,
            advice,
        });
    }

    pub(super) fn failed(&self) -> bool {
        self.lines.iter().any(|line| line.ok == Some(false))
    }

    pub(super) fn json(&self) -> String {
        let steps = serde_json::to_string_pretty(&self.lines);
        steps.expect("steps are plain strings and numbers") + "\n"
    }

    pub(super) fn text(&self) -> String {
        let mut table = Table::default();
        for line in &self.lines {
            table.row([
                line.route.clone().unwrap_or_default(),
                line.endpoint.clone().unwrap_or_default(),
                line.step.to_owned(),
                line.ms.map(|ms| format!("{ms:.1} ms")).unwrap_or_default(),
                line.word().to_owned(),
                line.told(),
            ]);
            if let Some(advice) = line.advice {
                table.row(["", "", "", "", "", advice]);
            }
        }
        table.text()
    }
}

impl Line {
    fn word(&self) -> &'static str {
        match (self.ok, self.cause) {
            (Some(true), None) => "ok",
            (Some(true), Some(_)) => "warning",
            (Some(false), _) => "FAILED",
            (None, _) => "skipped",
        }
    }

    fn told(&self) -> String {
        match (self.cause, self.detail.as_str()) {
            (Some(cause), "") => cause.to_owned(),
            (Some(cause), detail) => format!("{cause}: {detail}"),
            (None, detail) => detail.to_owned(),
        }
    }
}
