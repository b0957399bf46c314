//! A start waits for what it needs and cannot reach yet.

use crate::infra::telemetry::condition::Condition;
use std::fmt::Display;
use std::time::Duration;

/// Pause between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Tries until it succeeds, or fails with an error for which `away` gives no reason to wait. While it waits, `condition` holds.
///
/// # Errors
/// The first that is no reason to wait.
pub async fn until_there<T, E, R: Display>(
    condition: &Condition,
    away: impl Fn(&E) -> Option<R>,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    loop {
        match attempt().await {
            Ok(done) => {
                condition.ends();
                return Ok(done);
            }
            Err(error) => match away(&error) {
                None => return Err(error),
                Some(reason) => condition.holds(&reason),
            },
        }
        tokio::time::sleep(PAUSE).await;
    }
}
