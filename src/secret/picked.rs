//! The generation that a login is made with. It counts from before the login begins until its link is counted: what was valid
//! before may be revoked only when neither is left.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use super::material::Material;
use super::source::Source;

/// A generation that a login is being made with.
pub struct Picked {
    material: Arc<Material>,
    source: Source,
}

impl Picked {
    /// Of one that the source has counted.
    pub(super) fn new(material: Arc<Material>, source: Source) -> Self {
        Self { material, source }
    }
}

impl Deref for Picked {
    type Target = Arc<Material>;

    fn deref(&self) -> &Self::Target {
        &self.material
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.source.put_down(self.material.generation());
    }
}

/// How many logins are under way, by generation.
#[derive(Debug, Default)]
pub(super) struct UnderWay(BTreeMap<u64, usize>);

impl UnderWay {
    pub(super) fn begin(&mut self, generation: u64) {
        *self.0.entry(generation).or_default() += 1;
    }

    pub(super) fn end(&mut self, generation: u64) {
        if let Some(count) = self.0.get_mut(&generation) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&generation);
            }
        }
    }

    /// Whether there are any with other generations than this one.
    pub(super) fn of_others(&self, generation: Option<u64>) -> bool {
        self.0.keys().any(|other| Some(*other) != generation)
    }
}
