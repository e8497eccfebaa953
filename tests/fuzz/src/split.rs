//! Splits that are cheap enough for a fuzzer: none, one in the middle, and everywhere.

use attache_wire::testing::{Run, run};
use attache_wire::{Machine, TlsFacts};

/// Runs a machine on whole segments and on pieces of them, and asserts that it makes no difference.
pub(crate) fn same_at_any_split<M, F>(make: F, segments: &[&[u8]], tls: Option<&TlsFacts>) -> Run<M::Output>
where
    M: Machine,
    M::Output: std::fmt::Debug + PartialEq,
    F: Fn() -> M,
{
    let total: usize = segments.iter().map(|segment| segment.len()).sum();
    let whole = run(make(), segments, &[], tls);
    let every: Vec<usize> = (1..total).collect();
    assert_eq!(run(make(), segments, &[total / 2], tls), whole, "split in the middle");
    assert_eq!(run(make(), segments, &every, tls), whole, "byte by byte");
    whole
}
