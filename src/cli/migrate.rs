//! `headworks migrate`.

use super::{Exit, Failure, Global};
use crate::app::open_store;

/// Brings the schema up to date and says how many steps that took. SQLite migrates when it is opened.
pub async fn run(global: &Global) -> Result<Exit, Failure> {
    let loaded = global.load()?;
    let db = open_store(loaded.config()).await?;
    let steps = db.migrate().await?;
    db.close().await;
    eprintln!("the schema is up to date ({steps} steps taken)");
    Ok(Exit::Done)
}
