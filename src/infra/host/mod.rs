//! Module processes: where hostile bytes are taken apart, and how little the server trusts what comes back.
//!
//! ```text
//!   split, parse, draft ─▶ a turn ─▶ a warm child of the same customer, or a new one
//!        ─▶ limits of CPU and memory for this run ─▶ Request + input + spill
//!        ◀─ frames, each checked against the declared tables, the budget and the size of the spill
//!        ─▶ child back to the pool; after 256 runs or anything odd: killed
//! ```
//!
//! A run ends in one of two ways: with what the module said, or with a [`RunError`] that says what became of the
//! child and where. Dropping the future of a run kills its child, and so does its wall-clock limit. Whatever a child
//! does, other runs and the server go on.
//!
//! All children are started by one thread that lives as long as the [`Host`], because the kernel's "die with your
//! parent" means the thread that started the child. Standard output of a child goes nowhere. Standard error is a
//! pipe of one page that is read only when the child is dead: the run-time's last words tell out-of-memory and stack
//! overflow from other aborts, and no child can fill a log with it.

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
use run::{Conversation, Talk};
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
    /// Where spills are made: a local directory with room for [`Settings::spill_bytes`] per child.
    pub tmp: PathBuf,
    /// Children at work at the same time.
    pub children: usize,
    /// Children kept without work, each for the customer it worked for last; beyond it the longest idle one is ended. At
    /// least [`Settings::children`] are kept.
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

/// What `/readyz` says about module processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Version of the module program.
    pub version: String,
    /// Walls around the child started last.
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
    /// Asks the program what it declares, and starts one child to see that its walls stand.
    ///
    /// # Errors
    /// [`RunErrorKind::Unavailable`] when the program is missing, of another version, or cannot close its sandbox.
    pub async fn start(settings: Settings) -> Result<Self, RunError> {
        let host = Self::idle(settings).await?;
        host.prove().await?;
        Ok(host)
    }

    /// Asks the program what it declares, and starts no child before the first run.
    ///
    /// # Errors
    /// [`RunErrorKind::Unavailable`] when the program is missing or of another version.
    pub async fn idle(settings: Settings) -> Result<Self, RunError> {
        let program = settings.program.clone();
        let declarations = blocking(move || child::describe(&program)).await?;
        let spawner = Spawner::start(settings.program.clone(), settings.spill_bytes)?;
        Ok(Self { pool: Arc::new(Pool::new(settings, spawner)), declarations: declarations.into() })
    }

    /// Starts one child, for later runs, to see that its walls stand.
    async fn prove(&self) -> Result<(), RunError> {
        let first = Arc::clone(&self.pool);
        let hello = blocking(move || first.warm_up()).await?;
        match hello.walls.landlock_abi {
            Some(abi) => tracing::info!(landlock_abi = abi, version = hello.version, "module sandbox is up"),
            None => tracing::warn!(
                version = hello.version,
                "this kernel has no landlock; module sandbox goes on with seccomp and limits alone"
            ),
        }
        Ok(())
    }

    /// What the modules of the program declare.
    #[must_use]
    pub fn declarations(&self) -> &[Declaration] {
        &self.declarations
    }

    /// How things stand.
    #[must_use]
    pub fn state(&self) -> State {
        self.pool.state()
    }

    /// Waits until a child is free. First come, first served.
    ///
    /// # Errors
    /// [`RunErrorKind::Unavailable`] when too many wait.
    pub async fn turn(&self) -> Result<Slot, RunError> {
        Ok(Slot { host: self.clone(), place: self.pool.place().await? })
    }

    /// [`Slot::split`] at the next turn.
    ///
    /// # Errors
    /// As there, and as [`Host::turn`].
    pub async fn split(
        &self,
        input: File,
        message_bytes: u64,
        limits: MimeLimits,
    ) -> Result<SplitOutput, RunError> {
        self.turn().await?.split(input, message_bytes, limits).await
    }

    /// [`Slot::parse`] at the next turn.
    ///
    /// # Errors
    /// As there, and as [`Host::turn`].
    pub async fn parse<C: Collect>(
        &self,
        parse: Parse,
        input: impl Into<RunInput>,
        collect: C,
    ) -> Result<Ran<C>, RunError> {
        self.turn().await?.parse(parse, input, collect).await
    }

    /// Asks a module for the draft of a profile; `None` where it has none to offer.
    ///
    /// # Errors
    /// See [`RunErrorKind`].
    pub async fn draft(&self, parse: Parse, input: File) -> Result<Option<String>, RunError> {
        let (customer, talk) = self.module_talk(parse, true)?;
        let turn = self.turn().await?;
        turn.converse(Some(customer), input.into(), talk, Gathered::default())
            .await
            .map(Conversation::into_draft)
    }

    fn module_talk(&self, parse: Parse, draft: bool) -> Result<(String, Talk), RunError> {
        let declared = self.declarations.iter().find(|d| d.id == parse.module).ok_or_else(|| {
            RunError::new(RunErrorKind::NoModule, format!("no module {:?} in the program", parse.module))
        })?;
        Ok((parse.coordinates.customer.clone(), Talk::module(parse, declared.clone(), draft)))
    }
}

/// The right to one run of a child: from here on time is the run's own.
#[derive(Debug)]
pub struct Slot {
    host: Host,
    place: pool::Place,
}

impl Slot {
    /// Takes the first `message_bytes` of `input` apart. `input` must be open read-only.
    ///
    /// # Errors
    /// Nothing about the mail is an error; see [`RunErrorKind`].
    pub async fn split(
        self,
        input: File,
        message_bytes: u64,
        limits: MimeLimits,
    ) -> Result<SplitOutput, RunError> {
        let talk = Talk::split(Request::Split { message_bytes, limits }, message_bytes, limits);
        let ended = self.converse(None, input.into(), talk, Gathered::default()).await?;
        ended.into_split(limits)
    }

    /// Runs a module; its rows and findings go to `collect` as they come, on a blocking thread.
    ///
    /// # Errors
    /// See [`RunErrorKind`]. What was collected of a run that failed is dropped with it.
    pub async fn parse<C: Collect>(
        self,
        parse: Parse,
        input: impl Into<RunInput>,
        collect: C,
    ) -> Result<Ran<C>, RunError> {
        let (customer, talk) = self.host.module_talk(parse, false)?;
        self.converse(Some(customer), input.into(), talk, collect).await?.into_ran()
    }

    async fn converse<C: Collect>(
        self,
        customer: Option<String>,
        input: RunInput,
        talk: Talk,
        collect: C,
    ) -> Result<Conversation<C>, RunError> {
        let Self { host, place } = self;
        let pool = host.pool;
        let leash = child::Leash::default();
        let held = leash.clone();
        let wall = pool.settings.wall;
        let mut task = tokio::task::spawn_blocking(move || {
            let _place = place;
            let mut child = pool.take(customer.as_deref(), &held)?;
            let outcome = run::converse(&mut child, &pool.settings, input, talk, collect);
            let outcome = outcome.map_err(|e| held.blame(child.post_mortem(e)));
            if outcome.is_ok() && held.release() {
                pool.give_back(child, customer);
            }
            outcome
        });
        let _kill_if_dropped = child::KillOnDrop(leash.clone());
        if let Ok(ended) = tokio::time::timeout(wall, &mut task).await {
            return joined(ended);
        }
        leash.kill(RunErrorKind::Deadline);
        joined(task.await)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RunError> + Send + 'static,
) -> Result<T, RunError> {
    joined(tokio::task::spawn_blocking(work).await)
}

fn joined<T>(ended: Result<Result<T, RunError>, tokio::task::JoinError>) -> Result<T, RunError> {
    // A panic is ours and may well come again: a failure, which costs an attempt.
    let kind =
        |e: &tokio::task::JoinError| if e.is_panic() { RunErrorKind::Io } else { RunErrorKind::Cancelled };
    ended.unwrap_or_else(|e| Err(RunError::new(kind(&e), format!("module run: {e}"))))
}
