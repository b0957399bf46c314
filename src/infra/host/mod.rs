//! Module processes: they parse hostile bytes, and the server trusts nothing they return.
//!
//! ```text
//!   split, parse, draft ─▶ slot ─▶ a warm child of the same customer, or a new one
//!        ─▶ limits of CPU and memory for this run ─▶ Request + input + spill
//!        ◀─ frames, each checked against the declared tables, the budget and the size of the spill
//!        ─▶ child back to the pool; killed after `recycle_after` runs or any error
//! ```
//!
//! A run ends with the module's output or with a [`RunError`] that says what happened to the child and at which stage.
//! Dropping the future of a run kills its child, and so does its wall-clock limit. Whatever a child does, other runs and
//! the server go on.
//!
//! All children are started by one thread that lives as long as the [`Host`], because the kernel's parent-death signal
//! is tied to the thread that started the child. Standard output of a child is discarded. Standard error is a pipe of one
//! page that is read only when the child is dead: it tells out-of-memory and stack overflow from other aborts, and no
//! child can fill a log with it.

mod check;
mod child;
mod error;
mod pool;
mod run;
mod spawner;
mod spill;
#[cfg(test)]
mod tests;

pub use error::{RunError, RunErrorKind};
pub use run::{Collect, Fill, Gathered, Ran, RunInput, SplitOutput};
pub use spill::Spill;

use child::Child;
use module_api::Declaration;
use module_api::frame::{MimeLimits, Parse, Request, Walls};
use pool::Pool;
use run::{Conversation, Exchange};
use spawner::Spawner;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How module processes are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program `headworks-modules`.
    pub program: PathBuf,
    /// Directory of spills: local, with room for [`Settings::spill_bytes`] per child.
    pub tmp: PathBuf,
    /// Most children at work at the same time.
    pub children: usize,
    /// Most idle children, each for the customer it worked for last; at least [`Settings::children`]. Beyond it the
    /// longest idle one is ended.
    pub warm: usize,
    /// Runs that may wait for a child; more are refused as unavailable.
    pub queue: usize,
    /// CPU time of one run, in whole seconds.
    pub cpu_seconds: u64,
    /// Memory of one child, as `RLIMIT_DATA`.
    pub data_bytes: u64,
    /// Wall-clock time of one run.
    pub wall: Duration,
    /// Most bytes of decoded parts and archive members of one run.
    pub spill_bytes: u64,
    /// Runs after which a child is replaced.
    pub recycle_after: u32,
}

/// State of the module processes, for `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Version of the module program.
    pub version: String,
    /// Sandbox of the child started last.
    pub walls: Walls,
    /// Runs in progress and waiting.
    pub runs: usize,
    /// Children started since the start of the server.
    pub started: usize,
}

/// The pool of module processes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Host {
    pool: Arc<Pool>,
    declarations: Arc<[Declaration]>,
}

impl Host {
    /// Asks the program for its declarations, and starts one child to prove that the sandbox works.
    ///
    /// # Errors
    /// [`RunErrorKind::Unavailable`] when the program is missing, of another version, or cannot set up its sandbox.
    pub async fn start(settings: Settings) -> Result<Self, RunError> {
        let host = Self::idle(settings).await?;
        host.prove().await?;
        Ok(host)
    }

    /// Asks the program for its declarations, and starts no child before the first run.
    ///
    /// # Errors
    /// [`RunErrorKind::Unavailable`] when the program is missing or of another version.
    pub async fn idle(settings: Settings) -> Result<Self, RunError> {
        let program = settings.program.clone();
        let declarations = blocking(move || child::describe(&program)).await?;
        let spawner = Spawner::start(settings.program.clone(), settings.spill_bytes)?;
        Ok(Self { pool: Arc::new(Pool::new(settings, spawner)), declarations: declarations.into() })
    }

    /// Starts one child, for later runs, to prove that the sandbox works.
    async fn prove(&self) -> Result<(), RunError> {
        let first = Arc::clone(&self.pool);
        let hello = blocking(move || first.warm_up()).await?;
        match hello.walls.landlock_abi {
            Some(abi) => tracing::info!(landlock_abi = abi, version = hello.version, "module sandbox is up"),
            None => tracing::warn!(
                version = hello.version,
                "this kernel has no landlock; the module sandbox uses seccomp and limits only"
            ),
        }
        Ok(())
    }

    /// Declarations of all modules of the program.
    #[must_use]
    pub fn declarations(&self) -> &[Declaration] {
        &self.declarations
    }

    /// The current state.
    #[must_use]
    pub fn state(&self) -> State {
        self.pool.state()
    }

    /// Waits until a child is free. First come, first served.
    ///
    /// # Errors
    /// [`RunErrorKind::Unavailable`] when too many wait.
    pub async fn slot(&self) -> Result<Slot, RunError> {
        Ok(Slot { host: self.clone(), place: self.pool.place().await? })
    }

    /// [`Slot::split`] with the next free slot.
    ///
    /// # Errors
    /// Those of both, see [`RunErrorKind`].
    pub async fn split(
        &self,
        input: File,
        message_bytes: u64,
        limits: MimeLimits,
    ) -> Result<SplitOutput, RunError> {
        self.slot().await?.split(input, message_bytes, limits).await
    }

    /// [`Slot::parse`] with the next free slot.
    ///
    /// # Errors
    /// Those of both, see [`RunErrorKind`].
    pub async fn parse<C: Collect>(
        &self,
        parse: Parse,
        input: impl Into<RunInput>,
        collect: C,
    ) -> Result<Ran<C>, RunError> {
        self.slot().await?.parse(parse, input, collect).await
    }

    /// Asks a module for the draft of a profile; `None` where it has no profiles.
    ///
    /// # Errors
    /// See [`RunErrorKind`].
    pub async fn draft(&self, parse: Parse, input: File) -> Result<Option<String>, RunError> {
        let (customer, exchange) = self.module_exchange(parse, true)?;
        let slot = self.slot().await?;
        slot.converse(Some(customer), input.into(), exchange, Gathered::default())
            .await
            .map(Conversation::into_draft)
    }

    fn module_exchange(&self, parse: Parse, draft: bool) -> Result<(String, Exchange), RunError> {
        let declared = self.declarations.iter().find(|d| d.id == parse.module).ok_or_else(|| {
            RunError::new(RunErrorKind::NoModule, format!("no module {:?} in the program", parse.module))
        })?;
        Ok((parse.coordinates.customer.clone(), Exchange::module(parse, declared.clone(), draft)))
    }
}

/// The right to one run of a child. Waiting for it does not count as time of the run.
#[derive(Debug)]
pub struct Slot {
    host: Host,
    place: pool::Place,
}

impl Slot {
    /// Splits the mail in the first `message_bytes` of `input`, which must be open read-only.
    ///
    /// # Errors
    /// See [`RunErrorKind`]; nothing in the mail itself is an error.
    pub async fn split(
        self,
        input: File,
        message_bytes: u64,
        limits: MimeLimits,
    ) -> Result<SplitOutput, RunError> {
        let exchange = Exchange::split(Request::Split { message_bytes, limits }, message_bytes, limits);
        let ended = self.converse(None, input.into(), exchange, Gathered::default()).await?;
        ended.into_split(limits)
    }

    /// Runs a module; `collect` receives its rows and findings one by one, on a blocking thread.
    ///
    /// # Errors
    /// See [`RunErrorKind`]; the collector of a failed run is dropped.
    pub async fn parse<C: Collect>(
        self,
        parse: Parse,
        input: impl Into<RunInput>,
        collect: C,
    ) -> Result<Ran<C>, RunError> {
        let (customer, exchange) = self.host.module_exchange(parse, false)?;
        self.converse(Some(customer), input.into(), exchange, collect).await?.into_ran()
    }

    async fn converse<C: Collect>(
        self,
        customer: Option<String>,
        input: RunInput,
        exchange: Exchange,
        collect: C,
    ) -> Result<Conversation<C>, RunError> {
        let Self { host, place } = self;
        let pool = host.pool;
        let kill_switch = child::KillSwitch::default();
        let in_task = kill_switch.clone();
        let wall = pool.settings.wall;
        let mut task = tokio::task::spawn_blocking(move || {
            let _place = place;
            let mut child = pool.take(customer.as_deref(), &in_task)?;
            let outcome = run::converse(&mut child, &pool.settings, input, exchange, collect);
            let outcome = outcome.map_err(|e| in_task.blame(child.post_mortem(e)));
            if outcome.is_ok() && in_task.release() {
                pool.give_back(child, customer);
            }
            outcome
        });
        let _kill_if_dropped = child::KillOnDrop(kill_switch.clone());
        if let Ok(ended) = tokio::time::timeout(wall, &mut task).await {
            return joined(ended);
        }
        kill_switch.kill(RunErrorKind::Deadline);
        joined(task.await)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RunError> + Send + 'static,
) -> Result<T, RunError> {
    joined(tokio::task::spawn_blocking(work).await)
}

fn joined<T>(ended: Result<Result<T, RunError>, tokio::task::JoinError>) -> Result<T, RunError> {
    // A panic is a bug of ours and may repeat: a failure, which costs an attempt.
    let kind =
        |e: &tokio::task::JoinError| if e.is_panic() { RunErrorKind::Io } else { RunErrorKind::Cancelled };
    ended.unwrap_or_else(|e| Err(RunError::new(kind(&e), format!("module run: {e}"))))
}
