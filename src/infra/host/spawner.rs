//! The one thread that starts children. It ends with the [`Host`](super::Host), and the children with it.

use super::RunError;
use super::child::Child;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

type Answer = SyncSender<Result<Child, RunError>>;

/// Handle of the thread.
#[derive(Debug)]
pub(super) struct Spawner {
    orders: SyncSender<Answer>,
}

impl Spawner {
    /// Starts the thread.
    pub(super) fn start(program: PathBuf, spill_bytes: u64) -> Result<Self, RunError> {
        let (orders, inbox) = sync_channel::<Answer>(0);
        std::thread::Builder::new()
            .name("module-spawner".into())
            .spawn(move || serve(&inbox, &program, spill_bytes))
            .map_err(|e| RunError::unavailable(format!("module spawner: {e}")))?;
        Ok(Self { orders })
    }

    /// A new child, after its greeting.
    pub(super) fn spawn(&self) -> Result<Child, RunError> {
        let (answer, child) = sync_channel(1);
        let gone = |()| RunError::unavailable("module spawner has ended");
        self.orders.send(answer).map_err(|_| gone(()))?;
        let mut child = child.recv().map_err(|_| gone(()))??;
        child.greet()?;
        Ok(child)
    }
}

fn serve(inbox: &Receiver<Answer>, program: &std::path::Path, spill_bytes: u64) {
    while let Ok(answer) = inbox.recv() {
        // If the receiver is gone, the child is dropped with the answer.
        drop(answer.send(Child::spawn(program, spill_bytes)));
    }
}
