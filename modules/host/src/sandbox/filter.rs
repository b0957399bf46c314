//! The seccomp filters. Two are stacked and the kernel obeys the stricter answer:
//!
//! 1. what no parser ever does (network, programs, other processes) kills the process;
//! 2. what is not needed (paths, forking, everything else) fails with `EPERM`, which a library can report.

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use std::collections::BTreeMap;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Never by accident: the process is killed with `SIGSYS`.
const DEADLY: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_io_uring_setup,
    libc::SYS_bpf,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
];

/// Signals: deadly when they are for another process. The first argument is the process (of `tkill`, the thread;
/// there is only one, of the same number).
const SIGNALS: &[i64] = &[libc::SYS_kill, libc::SYS_tgkill, libc::SYS_tkill];

/// Reading, writing, allocating, ending.
const NEEDED: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_ftruncate,
    libc::SYS_recvmsg,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_sched_yield,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Memory, but never executable: the third argument is the protection.
const MAPPING: &[i64] = &[libc::SYS_mmap, libc::SYS_mprotect];

/// Applies both filters; the number of system calls the second lets through.
pub(super) fn apply() -> Result<u32, seccompiler::Error> {
    let me = u64::from(std::process::id());
    let deadly = deadly_rules(me)?;
    let needed = needed_rules()?;
    let count = u32::try_from(needed.len()).unwrap_or(u32::MAX);
    let kill = program(deadly, SeccompAction::Allow, SeccompAction::KillProcess)?;
    let permit = program(needed, SeccompAction::Errno(libc::EPERM.cast_unsigned()), SeccompAction::Allow)?;
    seccompiler::apply_filter(&kill)?;
    seccompiler::apply_filter(&permit)?;
    Ok(count)
}

fn program(
    rules: Rules,
    otherwise: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, seccompiler::Error> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(SeccompFilter::new(rules, otherwise, listed, architecture)?.try_into()?)
}

fn deadly_rules(me: u64) -> Result<Rules, seccompiler::Error> {
    let mut rules: Rules = DEADLY.iter().map(|&call| (call, Vec::new())).collect();
    for &call in SIGNALS {
        let other = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, me)?;
        rules.insert(call, vec![SeccompRule::new(vec![other])?]);
    }
    Ok(rules)
}

fn needed_rules() -> Result<Rules, seccompiler::Error> {
    let mut rules: Rules = NEEDED.iter().chain(SIGNALS).map(|&call| (call, Vec::new())).collect();
    for &call in MAPPING {
        let executable = libc::PROT_EXEC.unsigned_abs().into();
        let plain = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(executable), 0)?;
        rules.insert(call, vec![SeccompRule::new(vec![plain])?]);
    }
    Ok(rules)
}
