//! What the caller may choose.

use std::path::PathBuf;

const USAGE: &str =
    "usage: attache-bench PATH-OF-ATTACHE [--passes N] [--seconds N] [--idle N] [--workers N] [--only TEXT] [--sidecar]
  --passes   how often every load runs over every lane, every second time in reverse (4)
  --seconds  how long one load runs over one lane (2)
  --idle     how many idle sessions are held for the measure of memory; 0 leaves it out (1000)
  --workers  how many workers Attaché has (as many as it takes by itself)
  --only     the loads whose name has this in it (all); the targets are those of all loads
  --sidecar  in place of all that: what one sidecar takes, for the requests in manifests";

pub(crate) struct Options {
    pub(crate) binary: PathBuf,
    pub(crate) passes: usize,
    pub(crate) seconds: usize,
    pub(crate) idle: usize,
    pub(crate) workers: Option<usize>,
    pub(crate) only: String,
    pub(crate) sidecar: bool,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let binary = arguments.next().ok_or(USAGE)?.into();
        let (only, sidecar) = (String::new(), false);
        let mut options = Options { binary, passes: 4, seconds: 2, idle: 1000, workers: None, only, sidecar };
        while let Some(name) = arguments.next() {
            if name == "--sidecar" {
                options.sidecar = true;
                continue;
            }
            let value = arguments.next();
            if name == "--only" {
                options.only = value.unwrap_or_default();
                continue;
            }
            let value = value.and_then(|value| value.parse().ok());
            let value: usize = value.ok_or_else(|| format!("{name} takes a number\n{USAGE}"))?;
            match name.as_str() {
                "--passes" => options.passes = value.max(1),
                "--seconds" => options.seconds = value.max(1),
                "--idle" => options.idle = value,
                "--workers" => options.workers = Some(value),
                _ => return Err(format!("{name} is not known\n{USAGE}")),
            }
        }
        Ok(options)
    }
}
