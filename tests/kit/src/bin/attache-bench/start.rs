//! How long a process takes until it listens, and how large its file is.

use std::fs;
use std::net::TcpStream;
use std::process::Child;
use std::time::{Duration, Instant};

use attache_kit::wait::within;

use crate::recipe::Recipe;
use crate::spread::Spread;

const TRIES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Start {
    pub(crate) name: &'static str,
    /// Of the file; libraries that it loads are not counted.
    pub(crate) octets: u64,
    pub(crate) milliseconds: Spread,
}

pub(crate) fn measure(recipes: &[&Recipe]) -> Vec<Start> {
    recipes.iter().map(|recipe| one(recipe)).collect()
}

fn one(recipe: &Recipe) -> Start {
    let octets = fs::metadata(&recipe.binary).expect("the binary was started").len();
    let milliseconds = Spread::of((0..TRIES).map(|_| once(recipe))).expect("there are tries");
    Start { name: recipe.name, octets, milliseconds }
}

fn once(recipe: &Recipe) -> f64 {
    let began = Instant::now();
    let started = Started(recipe.spawn());
    while TcpStream::connect(recipe.listen.addr()).is_err() {
        assert!(began.elapsed() < PATIENCE, "{} does not listen", recipe.name);
        // Leaves the core to whom we wait for.
        std::thread::yield_now();
    }
    let took = began.elapsed();
    drop(started);
    took.as_secs_f64() * 1e3
}

/// Ends with its value.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let ended = within(PATIENCE, || self.0.try_wait().expect("our own child can be waited for"));
        ended.expect("a process that was killed ends");
    }
}
