//! The finishing commit on SQLite: two files, so two commits.
//!
//! `results.db` gets the rows and the encoded end in one commit, then `state.db` the end itself. A crash between the two leaves
//! a *stored end*, which is applied at the next start, before the first claim.

use super::state::{self, Ending, Fenced};
use super::stored::{self, Stored};
use super::told::Made;
use super::{Context, Shared, write_loads};
use crate::delivery::store;
use crate::in_tx;
use crate::infra::db::{DbError, DbErrorKind, Lane};
use crate::job;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Commits a batch to `results.db`, where it has rows, and then to `state.db`.
pub async fn finish(context: &Context, shared: Shared) -> Result<Fenced, DbError> {
    let has_loads = shared.lock().await.iter().any(Ending::has_load);
    if has_loads {
        rows_first(context, &shared).await?;
    }
    let (state, writers) = (Arc::clone(&shared), context.writers.clone());
    let writing = in_tx!(context.db, Lane::State, tx => state::finish(tx, &writers, &state.lock().await));
    let fenced = writing.await?;
    if has_loads {
        context.committed.add(&fenced.jobs());
    }
    Ok(fenced)
}

/// Tries the end in `state.db` and rolls it back, if it holds something that may be refused there: otherwise rows could be left
/// in `results.db` whose job can never end.
async fn rehearse(context: &Context, shared: &Shared) -> Result<(), DbError> {
    if !shared.lock().await.iter().any(Ending::may_be_refused) {
        return Ok(());
    }
    let (state, writers, passed) =
        (Arc::clone(shared), context.writers.clone(), Arc::new(AtomicBool::new(false)));
    let pass = Arc::clone(&passed);
    let result = context.db.write(Lane::State, move |mut tx| {
        Box::pin(async move {
            let batch = state.lock().await;
            state::finish(&mut tx, &writers, &batch).await?;
            pass.store(true, Ordering::Relaxed);
            Err::<(), _>(DbError::new(DbErrorKind::Content, "a rehearsal is always rolled back"))
        })
    });
    match result.await {
        Err(error) if !passed.load(Ordering::Relaxed) => Err(error),
        _ => Ok(()),
    }
}

/// `results.db`: the rows of every job that still has its lease, and its end, encoded. The lease cannot be lost from here on:
/// this process is the only one, and it takes over no expired lease while an end is under way.
async fn rows_first(context: &Context, shared: &Shared) -> Result<(), DbError> {
    let held: Vec<_> =
        shared.lock().await.iter().filter(|ending| ending.has_rows_to_write()).map(Ending::lease).collect();
    if held.is_empty() {
        return Ok(()); // An earlier try of this batch wrote them.
    }
    rehearse(context, shared).await?;
    let standing = in_tx!(context.db, Lane::Relaxed, tx => job::store::standing(tx, &held)).await?;
    let (tables, telling) = (context.tables.clone(), Arc::clone(&context.telling));
    let batch = Arc::clone(shared);
    let written = standing.clone();
    let done = context.committed.take();
    let forget = done.clone();
    let made = Made::default();
    let making = Arc::clone(&made);
    let result = context
        .db
        .write(Lane::Results, move |mut tx| {
            Box::pin(async move {
                let mut batch = batch.lock().await;
                let mut told = telling.begin(&making);
                let tally = write_loads(&mut tx, &tables, &mut told, &mut batch, &standing).await?;
                store::remove_stored_ends(&mut tx, &forget).await?;
                let mut entries = stored::untold(&mut tx, &standing).await?;
                entries.extend(told.finish().await?);
                let stored: Vec<Stored> = batch
                    .iter()
                    .filter(|ending| standing.contains(&ending.job()))
                    .map(|ending| Stored::of(ending, &entries))
                    .collect();
                stored::insert(&mut tx, &stored).await?;
                Ok((entries, tally))
            })
        })
        .await;
    match result {
        Ok((entries, tally)) => {
            tally.count();
            for ending in shared.lock().await.iter_mut().filter(|ending| written.contains(&ending.job())) {
                let mine = entries.iter().filter(|(job, _)| *job == ending.job());
                ending.rows_are_written(mine.map(|(_, entry)| entry.clone()).collect());
            }
            Ok(())
        }
        Err(error) => {
            context.committed.add(&done);
            context.telling.undo(made, &error).await;
            Err(error)
        }
    }
}
