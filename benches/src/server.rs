//! A running `headworks serve`.

use anyhow::ensure;
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Command, Stdio};

/// The process; killed when this is dropped.
pub struct Server(Child);

impl Server {
    /// Runs a command that is a server.
    pub fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        Ok(Self(command.stdout(Stdio::null()).spawn()?))
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Fails where it has ended.
    pub fn ensure_runs(&mut self) -> anyhow::Result<()> {
        let ended = self.0.try_wait()?;
        ensure!(ended.is_none(), "headworks serve has ended: {ended:?}");
        Ok(())
    }

    /// Stops it in order.
    pub fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.0), Signal::TERM)?;
        let ended = self.0.wait()?;
        ensure!(ended.success(), "headworks serve: {ended}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        if let Err(error) = ended {
            eprintln!("hwbench: ending the server: {error}");
        }
    }
}
