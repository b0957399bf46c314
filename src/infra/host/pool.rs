//! The pool of children: which one does the next run.

use super::child::{Child, KillSwitch};
use super::spawner::Spawner;
use super::{RunError, Settings, State};
use module_api::frame::Hello;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Warm children, and one permit per child at work. First come, first served.
#[derive(Debug)]
pub(super) struct Pool {
    pub settings: Settings,
    spawner: Spawner,
    places: Arc<Semaphore>,
    /// Runs in progress and waiting.
    runs: Arc<AtomicUsize>,
    started: AtomicUsize,
    idle: Mutex<Vec<Idle>>,
    hello: Mutex<Option<Hello>>,
}

/// An idle child and the customer it works for; `None` when it only splits mails. A child that runs modules never sees
/// bytes of two customers; splitting runs no module, and the customer is not known yet.
#[derive(Debug)]
struct Idle {
    child: Child,
    customer: Option<String>,
}

/// The right to one child at a time.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    pub(super) fn new(settings: Settings, spawner: Spawner) -> Self {
        Self {
            places: Arc::new(Semaphore::new(settings.children)),
            settings,
            spawner,
            runs: Arc::default(),
            started: AtomicUsize::default(),
            idle: Mutex::default(),
            hello: Mutex::default(),
        }
    }

    /// Waits for a place.
    pub(super) async fn place(&self) -> Result<Place, RunError> {
        let before = self.runs.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(&self.runs));
        if before >= self.settings.children + self.settings.queue {
            return Err(RunError::unavailable("too many module runs are waiting"));
        }
        let permit = Arc::clone(&self.places).acquire_owned().await;
        let permit = permit.map_err(|_| RunError::unavailable("module pool is closed"))?;
        Ok(Place { _permit: permit, _counted: counted })
    }

    /// A child for this customer: the warm one that worked last, or a new one.
    pub(super) fn take(&self, customer: Option<&str>, kill_switch: &KillSwitch) -> Result<Child, RunError> {
        let mut child = match self.warm(customer) {
            Some(child) => child,
            None => self.fresh()?,
        };
        kill_switch.arm(&child)?;
        child.runs += 1;
        Ok(child)
    }

    fn warm(&self, customer: Option<&str>) -> Option<Child> {
        loop {
            let mut idle = lock(&self.idle);
            let index = idle.iter().rposition(|i| i.customer.as_deref() == customer)?;
            let mut child = idle.remove(index).child;
            drop(idle);
            if child.is_alive() {
                return Some(child);
            }
        }
    }

    fn fresh(&self) -> Result<Child, RunError> {
        let child = self.spawner.spawn()?;
        self.started.fetch_add(1, Ordering::Relaxed);
        *lock(&self.hello) = child.hello.clone();
        Ok(child)
    }

    /// Keeps a child that ended its run well, unless it has reached `recycle_after`; ends the longest idle one beyond
    /// `warm`.
    pub(super) fn give_back(&self, child: Child, customer: Option<String>) {
        if child.runs >= self.settings.recycle_after || !child.is_quiet() {
            return;
        }
        let mut idle = lock(&self.idle);
        idle.push(Idle { child, customer });
        let room = self.settings.warm.max(self.settings.children);
        let longest = (idle.len() > room).then(|| idle.remove(0));
        // After the lock is released, for ending a process takes a while.
        drop(idle);
        drop(longest);
    }

    /// Starts one child and keeps it.
    pub(super) fn warm_up(&self) -> Result<Hello, RunError> {
        let child = self.fresh()?;
        let hello = child.hello.clone();
        self.give_back(child, None);
        hello.ok_or_else(|| RunError::unavailable("module program sent no greeting"))
    }

    pub(super) fn state(&self) -> State {
        let hello = lock(&self.hello).clone().unwrap_or_default();
        State {
            version: hello.version,
            walls: hello.walls,
            runs: self.runs.load(Ordering::Relaxed),
            started: self.started.load(Ordering::Relaxed),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
