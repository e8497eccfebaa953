//! The generation that a login is made with. It counts from before the login begins until its link is counted: what was valid
//! before may be revoked only when neither is left.

use std::ops::Deref;
use std::sync::Arc;

use super::ledger::Ledger;
use super::material::Material;

/// A generation that a login is being made with.
pub struct Picked {
    material: Arc<Material>,
    ledger: Ledger,
}

impl Picked {
    pub(super) fn new(material: Arc<Material>, ledger: Ledger) -> Self {
        ledger.begin(material.generation());
        Self { material, ledger }
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
        self.ledger.end(self.material.generation());
    }
}
