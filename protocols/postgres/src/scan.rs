//! Finds frames in a stream of bytes without keeping them: headers only, bodies are counted off.

use crate::frame::HEADER_LEN;

/// How many octets of a body are looked at: enough for the status of ReadyForQuery, and for both
/// severities of an ErrorResponse in any language.
const HEAD_LEN: usize = 64;

/// Where one direction of a session stands.
#[derive(Debug)]
pub(crate) struct Scanner {
    state: State,
    header: [u8; HEADER_LEN],
    head: [u8; HEAD_LEN],
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// So many octets of a header are there; none means at a boundary.
    Header(usize),
    /// A body is being counted off.
    Body { seen: usize, left: usize },
    /// A length made no sense. From here on nothing is known.
    Lost,
}

/// What a whole frame looked like.
pub(crate) struct Seen<'a> {
    pub(crate) tag: u8,
    /// The first octets of its body.
    pub(crate) head: &'a [u8],
}

impl Default for Scanner {
    fn default() -> Self {
        Self { state: State::Header(0), header: [0; HEADER_LEN], head: [0; HEAD_LEN] }
    }
}

impl Scanner {
    /// Whether every frame that has begun has also ended.
    pub(crate) fn at_boundary(&self) -> bool {
        matches!(self.state, State::Header(0))
    }

    /// How many octets come before the next frame begins, where that is known: of a header that is not whole nothing is.
    pub(crate) fn left(&self) -> Option<usize> {
        match self.state {
            State::Header(0) => Some(0),
            State::Body { left, .. } => Some(left),
            State::Header(_) | State::Lost => None,
        }
    }

    /// Reports every frame that ends within these bytes, in order.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Seen<'_>)) {
        while !bytes.is_empty() {
            match self.state {
                State::Header(0) if pass_whole_frame(&mut bytes, &mut seen) => continue,
                State::Header(filled) => self.fill_header(filled, &mut bytes),
                State::Body { seen: already, left } => self.skip_body(already, left, &mut bytes),
                State::Lost => return,
            }
            if let State::Body { seen: octets, left: 0 } = self.state {
                self.state = State::Header(0);
                seen(Seen { tag: self.header[0], head: &self.head[..octets.min(HEAD_LEN)] });
            }
        }
    }

    fn fill_header(&mut self, filled: usize, bytes: &mut &[u8]) {
        let (part, rest) = bytes.split_at(bytes.len().min(HEADER_LEN - filled));
        self.header[filled..filled + part.len()].copy_from_slice(part);
        *bytes = rest;
        self.state = match filled + part.len() {
            HEADER_LEN => self.body(),
            filled => State::Header(filled),
        };
    }

    fn body(&self) -> State {
        body_len(self.header).map_or(State::Lost, |left| State::Body { seen: 0, left })
    }

    fn skip_body(&mut self, seen: usize, left: usize, bytes: &mut &[u8]) {
        let (part, rest) = bytes.split_at(bytes.len().min(left));
        if let Some(room) = self.head.get_mut(seen..) {
            let look = part.len().min(room.len());
            room[..look].copy_from_slice(&part[..look]);
        }
        *bytes = rest;
        self.state = State::Body { seen: seen + part.len(), left: left - part.len() };
    }
}

/// Reports the next frame where it lies, if all of it is there: nearly always, and nothing is copied.
fn pass_whole_frame(bytes: &mut &[u8], seen: &mut impl FnMut(Seen<'_>)) -> bool {
    let Some((header, rest)) = bytes.split_first_chunk() else { return false };
    let Some((body, rest)) = body_len(*header).and_then(|len| rest.split_at_checked(len)) else {
        return false;
    };
    seen(Seen { tag: header[0], head: &body[..body.len().min(HEAD_LEN)] });
    *bytes = rest;
    true
}

/// `None` where the length makes no sense: it is signed, and counts itself.
fn body_len([_, length @ ..]: [u8; HEADER_LEN]) -> Option<usize> {
    usize::try_from(i32::from_be_bytes(length).checked_sub(4)?).ok()
}
