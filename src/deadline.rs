//! Time limits that are hardly ever reached, such as that of a login.
//!
//! Where a timer is earlier than all others, the runtime wakes itself by a system call, and then once more for nothing. A
//! session sets two such timers and takes them back at once. So while limits are being set, a beat of the thread's own
//! is always earlier. It dies away by itself, for an idle process sleeps.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::{Timeout, sleep, timeout};

/// Shorter than the limits that matter, and long enough for two wake-ups in a beat to cost nothing.
const BEAT: Duration = Duration::from_secs(1);

thread_local! {
    static HEART: Heart = const { Heart { limited: Cell::new(false), still: RefCell::new(None) } };
}

/// What a thread's beat is kept up by.
struct Heart {
    /// Whether a limit was set since the last beat.
    limited: Cell<bool>,
    /// Wakes the beat, where it has died away.
    still: RefCell<Option<Waker>>,
}

/// Work that may take so long, on a thread whose [beat](beat) goes on beside it; elsewhere the runtime's own
/// [`timeout`].
pub fn within<F: Future>(limit: Duration, work: F) -> Timeout<F> {
    HEART.with(|heart| {
        if !heart.limited.replace(true)
            && let Some(beat) = heart.still.take()
        {
            beat.wake();
        }
    });
    timeout(limit, work)
}

/// The beat of this thread, beside whatever else it does.
pub async fn beat() -> Infallible {
    loop {
        poll_fn(|cx| match HEART.with(|heart| heart.limited.get()) {
            true => Poll::Ready(()),
            false => {
                HEART.with(|heart| heart.still.replace(Some(cx.waker().clone())));
                Poll::Pending
            }
        })
        .await;
        while HEART.with(|heart| heart.limited.take()) {
            sleep(BEAT).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake};

    use tokio::time::{Instant, advance};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Calls(AtomicUsize);

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_holds_whether_there_is_a_beat_or_not() {
        for beats in [false, true] {
            let start = Instant::now();
            tokio::select! {
                biased;
                over = within(LIMIT, pending::<()>()) => assert!(over.is_err()),
                never = beat(), if beats => match never {},
            }
            assert_eq!(start.elapsed().as_secs(), LIMIT.as_secs());
            assert_eq!(within(LIMIT, async { 7 }).await, Ok(7));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_beat_begins_with_a_limit_goes_on_with_the_next_and_dies_away_after_the_last() {
        let calls = Arc::new(Calls::default());
        let waker = Waker::from(Arc::clone(&calls));
        let mut beat = pin!(beat());
        // Whether it was woken, and is looked at for that.
        let mut is_called = || {
            let called = calls.0.swap(0, Ordering::Relaxed) > 0;
            assert!(beat.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            called
        };
        is_called();
        advance(BEAT * 10).await;
        assert!(!is_called(), "nobody has set a limit");
        drop(within(LIMIT, pending::<()>()));
        assert!(is_called());
        drop(within(LIMIT, pending::<()>()));
        assert!(!is_called(), "it beats already");
        for limits in [1, 0] {
            (0..limits).for_each(|_| drop(within(LIMIT, pending::<()>())));
            advance(BEAT).await;
            assert!(is_called(), "a beat is over");
        }
        advance(BEAT).await;
        assert!(!is_called(), "it has died away");
        drop(within(LIMIT, pending::<()>()));
        assert!(is_called(), "and begins again");
    }
}
