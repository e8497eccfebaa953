//! One line at the bottom of a terminal that is drawn again in its place, with the log above it.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::termios::tcgetwinsize;
use tracing_subscriber::fmt::MakeWriter;

/// Back to the first column, and nothing left of what stood there (ECMA-48, EL).
const ERASE: &str = "\r\x1b[2K";
/// Where the terminal does not say how wide it is.
const USUAL_WIDTH: usize = 80;

/// Standard error, shared by the line and the log. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Line(Arc<Mutex<String>>);

impl Line {
    /// `None` where nobody would see it drawn again.
    pub(super) fn on_terminal() -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        (io::stderr().is_terminal() && !is_dumb).then(Self::default)
    }

    /// Draws the line, if it is another one.
    pub(super) fn show(&self, text: &str) {
        let mut shown = self.shown();
        let text: String = text.chars().take(width().saturating_sub(1)).collect();
        if *shown != text {
            write(&format!("{ERASE}{text}"));
            *shown = text;
        }
    }

    pub(super) fn clear(&self) {
        if !std::mem::take(&mut *self.shown()).is_empty() {
            write(ERASE);
        }
    }

    /// Says something that stays.
    pub(super) fn say(&self, text: &str) {
        self.put(format!("{text}\n").as_bytes());
    }

    /// Writes whole lines above.
    fn put(&self, lines: &[u8]) {
        let shown = self.shown();
        let mut all = Vec::with_capacity(lines.len() + shown.len() + 2 * ERASE.len());
        if !shown.is_empty() {
            all.extend_from_slice(ERASE.as_bytes());
        }
        all.extend_from_slice(lines);
        all.extend_from_slice(shown.as_bytes());
        let _ = io::stderr().write_all(&all);
    }

    fn shown(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A terminal that has gone is nobody's concern here.
fn write(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

fn width() -> usize {
    let size = tcgetwinsize(io::stderr()).ok().map(|size| usize::from(size.ws_col));
    size.filter(|columns| *columns > 0).unwrap_or(USUAL_WIDTH)
}

/// A line of the log comes in one piece.
impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Line {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
