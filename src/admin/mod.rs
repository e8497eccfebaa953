//! The health and control listeners: health for kubelets and scrapers, control for operators.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::app::{House, StartError};
use crate::config::domain::Config;

/// Binds what the configuration asks for; the futures serve it.
pub async fn serve(
    _config: &Config,
    _house: &Arc<House>,
) -> Result<Vec<Pin<Box<dyn Future<Output = ()> + Send>>>, StartError> {
    Ok(vec![])
}
