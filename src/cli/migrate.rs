//! `headworks migrate`.

use super::{Exit, Failure, Global, gateway, owner};
use crate::app::open_store;

/// Brings the schema up to date and says how many steps that took. SQLite migrates when it is opened.
pub async fn run(global: &Global) -> Result<Exit, Failure> {
    let loaded = global.load()?;
    owner::of_store(loaded.config())?;
    let db = open_store(loaded.config()).await.map_err(|error| gateway::not_built(&error.into()))?;
    let steps = db.migrate().await.map_err(|error| gateway::not_built(&error.into()))?;
    db.close().await;
    eprintln!("the schema is up to date ({steps} steps taken)");
    Ok(Exit::Done)
}
