//! One module process as the server sees it: start, limits, requests and replies, kill, cause of death.

use super::spill::SpillPool;
use super::{RunError, RunErrorKind, Settings};
use module_api::Declaration;
use module_api::frame::{
    self, FrameError, Hello, MAX_REPLY_BYTES, MAX_REQUEST_BYTES, PROTOCOL, Reply, Request,
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal};
use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A child that has not sent its greeting by then has failed.
const GREETING_TIME: Duration = Duration::from_secs(10);
/// Most bytes read of a child's standard error.
const STDERR_BYTES: usize = 4_096;
/// Ticks of `/proc/PID/stat` per second, the same on every Linux.
const USER_HZ: u64 = 100;

/// A running module process. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    pidfd: Arc<OwnedFd>,
    reader: BufReader<UnixStream>,
    buffer: Vec<u8>,
    stderr: File,
    /// Its greeting.
    pub hello: Option<Hello>,
    /// Runs so far.
    pub runs: u32,
    /// Its spills.
    pub spills: SpillPool,
    /// It closed its end, usually by dying.
    ended: bool,
}

impl Child {
    /// Starts the program. Only for the spawner's thread.
    pub(super) fn spawn(program: &Path, spill_bytes: u64) -> Result<Self, RunError> {
        let failed =
            |what: &str, e: &dyn Display| RunError::unavailable(format!("module process: {what}: {e}"));
        let (ours, theirs) = UnixStream::pair().map_err(|e| failed("socket", &e))?;
        let (stderr_reader, stderr) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .map_err(|e| failed("pipe", &e))?;
        rustix::pipe::fcntl_setpipe_size(&stderr, STDERR_BYTES).map_err(|e| failed("pipe size", &e))?;
        let process = Command::new(program)
            .args(["serve", &std::process::id().to_string(), &spill_bytes.to_string()])
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .map_err(|e| failed(&program.display().to_string(), &e))?;
        let pidfd = rustix::process::pidfd_open(Pid::from_child(&process), PidfdFlags::empty())
            .map_err(|e| failed("pidfd", &e))?;
        Ok(Self {
            process,
            pidfd: Arc::new(pidfd),
            reader: BufReader::with_capacity(64 << 10, ours),
            buffer: Vec::new(),
            stderr: File::from(stderr_reader),
            hello: None,
            runs: 0,
            spills: SpillPool::default(),
            ended: false,
        })
    }

    /// Reads the greeting and compares versions.
    pub(super) fn greet(&mut self) -> Result<(), RunError> {
        let refused = |e| RunError::unavailable(format!("module process: {e}"));
        self.reader.get_ref().set_read_timeout(Some(GREETING_TIME)).map_err(refused)?;
        let greeting = self.receive();
        self.reader.get_ref().set_read_timeout(None).map_err(refused)?;
        match greeting {
            Ok(Reply::Hello(hello)) if hello.protocol == PROTOCOL => {
                self.hello = Some(hello);
                Ok(())
            }
            Ok(Reply::Hello(hello)) => Err(RunError::unavailable(format!(
                "module process {} speaks protocol {}, this server {PROTOCOL}",
                hello.version, hello.protocol
            ))),
            Ok(_) => Err(RunError::unavailable("module process did not send a greeting first")),
            Err(e) => {
                let end = self.post_mortem(e);
                Err(RunError::unavailable(format!("module process did not start: {}", end.message)))
            }
        }
    }

    /// Limits the next run, on top of what the child used already. Only soft limits are set: raising them again needs no
    /// privilege, and the child cannot.
    pub(super) fn allow(&self, settings: &Settings) -> Result<(), RunError> {
        let pid = Some(Pid::from_child(&self.process));
        for (resource, limit) in [
            (Resource::Cpu, self.used_seconds()? + settings.cpu_seconds),
            (Resource::Data, settings.data_bytes),
        ] {
            let maximum = rustix::process::getrlimit(resource).maximum;
            let limit = Rlimit { current: Some(maximum.map_or(limit, |most| most.min(limit))), maximum };
            rustix::process::prlimit(pid, resource, limit)
                .map_err(|e| RunError::unavailable(format!("module process: limit {resource:?}: {e}")))?;
        }
        Ok(())
    }

    /// CPU time used so far, in seconds, rounded up.
    fn used_seconds(&self) -> Result<u64, RunError> {
        let path = format!("/proc/{}/stat", self.process.id());
        let stat =
            std::fs::read_to_string(&path).map_err(|e| RunError::unavailable(format!("{path}: {e}")))?;
        // The name, in parentheses, may hold anything; user and system time are fields 14 and 15.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 =
            fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
        Ok(ticks.div_ceil(USER_HZ))
    }

    /// Sends a request with its two files.
    pub(super) fn send(&mut self, request: &Request, input: &File, spill: &File) -> Result<(), RunError> {
        let mut frame = Vec::new();
        frame::encode(&mut frame, request, MAX_REQUEST_BYTES)
            .map_err(|e| RunError::new(RunErrorKind::Io, format!("request: {e}")))?;
        let fds = [input.as_fd(), spill.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let mut socket = self.reader.get_ref();
        let sent = sendmsg(socket, &[IoSlice::new(&frame)], &mut control, SendFlags::NOSIGNAL);
        sent.map_err(std::io::Error::from)
            .and_then(|sent| socket.write_all(&frame[sent..]))
            .map_err(|e| self.gone(&format!("request: {e}")))
    }

    fn gone(&mut self, message: &str) -> RunError {
        self.ended = true;
        RunError::new(RunErrorKind::Died, message)
    }

    /// The next reply. An end of the stream is [`RunErrorKind::Died`]: [`Child::post_mortem`] finds out how.
    pub(super) fn receive(&mut self) -> Result<Reply, RunError> {
        match frame::read(&mut self.reader, &mut self.buffer, MAX_REPLY_BYTES) {
            Ok(true) => frame::decode(&self.buffer).map_err(|e| RunError::bad_frame(e.to_string())),
            Ok(false) | Err(FrameError::Cut) => Err(self.gone("ended")),
            Err(FrameError::Io(e)) => Err(self.gone(&format!("socket: {e}"))),
            Err(e) => Err(RunError::bad_frame(e.to_string())),
        }
    }

    /// Bytes of the reply received last.
    pub(super) fn reply_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Whether it has sent nothing since its last reply.
    pub(super) fn is_quiet(&self) -> bool {
        self.reader.buffer().is_empty()
    }

    /// Ends the child; if it had died by itself, returns the cause instead of `found`.
    pub(super) fn post_mortem(&mut self, found: RunError) -> RunError {
        if !self.ended {
            self.end();
            return found;
        }
        // It closed its socket, probably because it is dying: wait a moment for that.
        let status = self.wait_briefly();
        self.end();
        let mut words = Vec::new();
        // Does not block: the pipe is non-blocking.
        drop((&self.stderr).take(STDERR_BYTES as u64).read_to_end(&mut words));
        let words = String::from_utf8_lossy(&words);
        let (kind, message) = match status {
            Some(status) => cause_of_death(status, &words),
            None => (RunErrorKind::Died, "closed its socket but kept running".to_owned()),
        };
        RunError::new(kind, message).at(found.stage)
    }

    fn wait_briefly(&mut self) -> Option<ExitStatus> {
        for _ in 0..100 {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    fn end(&mut self) {
        // Fails only if it is dead and waited for already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// Kind and message from the exit status and standard error.
fn cause_of_death(status: ExitStatus, words: &str) -> (RunErrorKind, String) {
    let Some(signal) = status.signal() else {
        let message = format!("exited during the run with status {}: {words}", status.code().unwrap_or(-1));
        return (RunErrorKind::Died, message.trim_end_matches([':', ' ']).to_owned());
    };
    let is = |known: Signal| signal == known.as_raw();
    match () {
        () if is(Signal::XCPU) => (RunErrorKind::CpuLimit, "used up its cpu time".into()),
        () if is(Signal::XFSZ) => (RunErrorKind::Budget, "wrote more than the spill may hold".into()),
        () if is(Signal::SYS) => (RunErrorKind::Died, "killed for a forbidden system call (SIGSYS)".into()),
        () if is(Signal::ABORT) && words.contains("memory allocation of") => {
            (RunErrorKind::OutOfMemory, "asked for more memory than it may have".into())
        }
        () if words.contains("overflowed its stack") => (RunErrorKind::Died, "overflowed its stack".into()),
        () if is(Signal::ABORT) => (RunErrorKind::Died, "aborted (SIGABRT)".into()),
        () if is(Signal::SEGV) => (RunErrorKind::Died, "touched memory it does not have (SIGSEGV)".into()),
        () => (RunErrorKind::Died, format!("killed by signal {signal}")),
    }
}

/// Kills the child of a run from outside, once, and remembers why.
#[derive(Debug, Clone, Default)]
pub(super) struct KillSwitch(Arc<Mutex<Target>>);

#[derive(Debug, Default)]
struct Target {
    child: Option<Arc<OwnedFd>>,
    reason: Option<RunErrorKind>,
}

impl KillSwitch {
    /// Sets the child to kill. Fails when the run was cancelled in the meantime.
    pub(super) fn arm(&self, child: &Child) -> Result<(), RunError> {
        let mut target = self.lock();
        if let Some(kind) = target.reason {
            return Err(cancelled(kind));
        }
        target.child = Some(Arc::clone(&child.pidfd));
        Ok(())
    }

    /// Releases a child that ended its run well; `false` when it has just been killed.
    pub(super) fn release(&self) -> bool {
        let mut target = self.lock();
        target.child = None;
        target.reason.is_none()
    }

    /// Kills the child, if there is one that is not released.
    pub(super) fn kill(&self, reason: RunErrorKind) {
        let mut target = self.lock();
        target.reason.get_or_insert(reason);
        if let Some(pidfd) = target.child.take() {
            // Fails only if it is dead already.
            let _gone = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
        }
    }

    /// The error of a run whose child died: the reason of the kill, if it was killed here.
    pub(super) fn blame(&self, error: RunError) -> RunError {
        match self.lock().reason {
            Some(kind) => cancelled(kind).at(error.stage),
            None => error,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Target> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cancelled(kind: RunErrorKind) -> RunError {
    let message = if kind == RunErrorKind::Deadline { "took too long" } else { "was cancelled" };
    RunError::new(kind, message)
}

/// Kills the child of a run whose future is dropped.
#[derive(Debug)]
pub(super) struct KillOnDrop(pub KillSwitch);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.kill(RunErrorKind::Cancelled);
    }
}

/// What the program declares.
pub(super) fn describe(program: &Path) -> Result<Vec<Declaration>, RunError> {
    let failed = |why: &dyn Display| RunError::unavailable(format!("{} describe: {why}", program.display()));
    let output = Command::new(program).arg("describe").env_clear().output().map_err(|e| failed(&e))?;
    if !output.status.success() {
        return Err(failed(&output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| failed(&e))
}
