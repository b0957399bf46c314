//! `headworks migrate`.

use super::{Exit, Failure, Global, gateway, owner};
use crate::app::{make_state_directory, open_store};
use crate::config::StoreKind;

/// Brings the schema up to date and tells how many migrations ran. SQLite already runs them when it is opened.
pub async fn run(global: &Global) -> Result<Exit, Failure> {
    let loaded = global.load()?;
    let config = loaded.config();
    owner::of_store(config)?;
    if config.store.kind == StoreKind::Sqlite {
        make_state_directory(&config.server.state_dir).map_err(|error| gateway::not_built(&error))?;
    }
    let db = open_store(config).await.map_err(|error| gateway::not_built(&error.into()))?;
    let steps = db.migrate().await.map_err(|error| gateway::not_built(&error.into()))?;
    db.close().await;
    global.say(&format!("the schema is up to date ({steps} migrations run)"));
    Ok(Exit::Done)
}
