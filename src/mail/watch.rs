//! Hears of new spool entries from the kernel.

use headworks_spool::EntryName;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use tokio::sync::mpsc;

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// An entry is there.
    New(EntryName),
    /// Something may have been missed: look at everything.
    Rescan,
}

/// Watches `new` of a spool on a thread of its own, until the receiver is dropped.
///
/// # Errors
/// When the kernel gives no watch; the caller then scans.
pub fn watch(new: &Path, heard: mpsc::Sender<Heard>) -> std::io::Result<()> {
    let kernel = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&kernel, new, inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO)?;
    std::thread::Builder::new().name("spool-watch".into()).spawn(move || {
        let mut buffer = [MaybeUninit::uninit(); 64 << 10];
        let pause = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
        while !heard.is_closed() {
            let mut polled = [PollFd::new(&kernel, PollFlags::IN)];
            match rustix::event::poll(&mut polled, Some(&pause)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => {
                    return tracing::error!(%error, "the watch on the spool failed; periodic scans continue");
                }
            }
            let mut events = inotify::Reader::new(&kernel, &mut buffer);
            loop {
                let heard_now = match events.next() {
                    Ok(event) if event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) => {
                        Some(Heard::Rescan)
                    }
                    Ok(event) => event
                        .file_name()
                        .and_then(|name| {
                            EntryName::parse(std::ffi::OsStr::from_bytes(name.to_bytes()).as_bytes())
                        })
                        .map(Heard::New),
                    Err(_) => break,
                };
                if let Some(heard_now) = heard_now
                    && heard.blocking_send(heard_now).is_err()
                {
                    return;
                }
            }
        }
    })?;
    Ok(())
}
