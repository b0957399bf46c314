//! The sandbox of a child, set up once at start and never relaxed.
//!
//! Order matters: descriptors first (none of the server's may stay open), then the parent-death signal, then limits, then
//! Landlock and seccomp, after which none of these calls would work. Limits of time and memory per delivery are set by the
//! server, from outside.
//!
//! | wall | stops |
//! |---|---|
//! | no descriptor but 0, 1, 2 | reaching what the server has open |
//! | parent-death signal | outliving the server |
//! | not dumpable, no new privileges | being traced; gaining rights through a program |
//! | `RLIMIT_NOFILE`, `CORE`, `FSIZE`, `NPROC` | hoarding descriptors, dumping core, filling the disk, forking |
//! | Landlock, where the kernel has it | opening anything by path, connecting, signalling outside |
//! | seccomp | every system call that reading, writing and allocating do not need |

mod filter;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr,
    RulesetStatus, Scope,
};
use module_api::frame::Walls;
use rustix::process::{DumpableBehavior, Pid, Resource, Rlimit, Signal};
use std::os::fd::RawFd;

/// Descriptors a child may have open: three standard ones, the socket twice more, input and spill, and copies of
/// these while an archive is read.
const DESCRIPTORS: u64 = 32;

/// Closes every descriptor above 2; says how many there were. Call before anything is opened.
pub(crate) fn descriptors() -> Result<u32, String> {
    let listed = std::fs::read_dir("/proc/self/fd").map_err(|e| format!("/proc/self/fd: {e}"))?;
    let numbers: Vec<RawFd> = listed
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&fd| fd > 2)
        .collect();
    // The directory's own descriptor was among them and is closed already.
    let closed = numbers.into_iter().filter(|&fd| nix::unistd::close(fd).is_ok()).count();
    Ok(u32::try_from(closed).unwrap_or(u32::MAX))
}

/// Raises all other walls.
pub(crate) fn close(parent: i32, spill_bytes: u64, descriptors_closed: u32) -> Result<Walls, String> {
    if std::env::vars_os().next().is_some() {
        return Err("the environment is not empty".into());
    }
    die_with(parent)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|e| format!("dumpable: {e}"))?;
    rustix::thread::set_no_new_privs(true).map_err(|e| format!("no_new_privs: {e}"))?;
    for (resource, limit) in [
        (Resource::Nofile, DESCRIPTORS),
        (Resource::Core, 0),
        (Resource::Fsize, spill_bytes),
        (Resource::Nproc, 0),
    ] {
        let both = Rlimit { current: Some(limit), maximum: Some(limit) };
        rustix::process::setrlimit(resource, both).map_err(|e| format!("limit {resource:?}: {e}"))?;
    }
    let landlock_abi = landlock().map_err(|e| format!("landlock: {e}"))?;
    let seccomp_calls = filter::apply().map_err(|e| format!("seccomp: {e}"))?;
    Ok(Walls { seccomp_calls, landlock_abi, descriptors_closed })
}

/// The kernel kills this process when the thread that started it ends; should it have ended already, so does this.
fn die_with(parent: i32) -> Result<(), String> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| format!("pdeathsig: {e}"))?;
    match rustix::process::getppid() {
        Some(actual) if Some(actual) == Pid::from_raw(parent) => Ok(()),
        _ => Err("the parent is gone".into()),
    }
}

/// Denies every path, every port and every signal outside; the version in force, `None` where the kernel has none.
fn landlock() -> Result<Option<u32>, landlock::RulesetError> {
    let newest = ABI::V6;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?
        .handle_access(AccessNet::from_all(newest))?
        .scope(Scope::from_all(newest))?
        .create()?
        .restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => None,
        (_, LandlockStatus::Available { effective_abi, .. }) => u32::try_from(effective_abi as i32).ok(),
        _ => None,
    })
}
