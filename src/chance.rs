//! Randomness, from the library that TLS uses.

use std::time::Duration;

/// Fresh bytes.
///
/// # Panics
/// If the operating system gives none, which TLS could not survive either.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[cfg(feature = "sim")]
    if let Some(world) = crate::sim::world() {
        world.fill(&mut bytes);
        return bytes;
    }
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// From zero to `most`, each as likely as the other.
pub fn up_to(most: u32) -> u32 {
    let share = u64::from_ne_bytes(bytes()) % (u64::from(most) + 1);
    u32::try_from(share).expect("the remainder is at most `most`")
}

/// Between three quarters and five quarters of `duration`, so that many of us do not act in step.
pub fn about(duration: Duration) -> Duration {
    let share = f64::from(u16::from_ne_bytes(bytes())) / f64::from(u16::MAX);
    duration.mul_f64(0.75 + share / 2.0)
}
