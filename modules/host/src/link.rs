//! The socket to the server, from the child's side.

use module_api::frame::{self, FailKind, FrameError, MAX_REPLY_BYTES, MAX_REQUEST_BYTES, Reply, Request};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::fs::File;
use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::PanicHookInfo;

/// Replies are gathered up to this many bytes.
const FLUSH_BYTES: usize = 64 << 10;
/// Longest panic message that is passed on.
const PANIC_BYTES: usize = 500;

/// One request and the two files that came with it.
pub(crate) struct Incoming {
    pub request: Request,
    pub input: File,
    pub spill: File,
}

/// Frames in, frames out.
pub(crate) struct Link {
    socket: UnixStream,
    out: Vec<u8>,
}

impl Link {
    /// Takes standard input, which must be a socket.
    pub(crate) fn over_stdin() -> Result<Self, String> {
        let fd = io::stdin().as_fd().try_clone_to_owned().map_err(|e| format!("standard input: {e}"))?;
        let socket = UnixStream::from(fd);
        socket.local_addr().map_err(|_| "standard input is not a socket of the server".to_owned())?;
        Ok(Self { socket, out: Vec::with_capacity(2 * FLUSH_BYTES) })
    }

    /// From now on a panic is told to the server before the process ends, whatever the build does with panics.
    pub(crate) fn tell_of_panics(&self) -> Result<(), String> {
        let socket = self.socket.try_clone().map_err(|e| format!("socket: {e}"))?;
        std::panic::set_hook(Box::new(move |panic| {
            let mut frame = Vec::new();
            let failed = Reply::Failed { kind: FailKind::Panic, message: panic_message(panic) };
            if frame::encode(&mut frame, &failed, MAX_REPLY_BYTES).is_ok() {
                // Should the server be gone too, there is nobody left to tell.
                drop((&socket).write_all(&frame));
            }
            std::process::abort();
        }));
        Ok(())
    }

    /// The next request; `None` when the server closed the socket.
    pub(crate) fn receive(&mut self) -> Result<Option<Incoming>, FrameError> {
        let mut prefix = [0; 4];
        let mut files = Vec::new();
        let mut got = 0;
        while got < prefix.len() {
            match self.receive_some(&mut prefix[got..], &mut files)? {
                0 if got == 0 => return Ok(None),
                0 => return Err(FrameError::Cut),
                n => got += n,
            }
        }
        let mut body = Vec::new();
        frame::read_body(&mut self.socket, prefix, &mut body, MAX_REQUEST_BYTES)?;
        let request = frame::decode(&body)?;
        let mut files = files.into_iter().map(File::from);
        match (files.next(), files.next()) {
            (Some(input), Some(spill)) => Ok(Some(Incoming { request, input, spill })),
            _ => Err(FrameError::Malformed("request with two descriptors")),
        }
    }

    fn receive_some(&self, buffer: &mut [u8], files: &mut Vec<OwnedFd>) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(buffer)];
        let received = recvmsg(&self.socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                files.extend(fds);
            }
        }
        Ok(received.bytes)
    }

    /// Queues a reply.
    pub(crate) fn send(&mut self, reply: &Reply) -> Result<(), FrameError> {
        self.send_within(reply, MAX_REPLY_BYTES).map(drop)
    }

    /// Queues a reply of at most `limit` bytes and says how many it has.
    pub(crate) fn send_within(&mut self, reply: &Reply, limit: usize) -> Result<u64, FrameError> {
        let before = self.out.len();
        frame::encode(&mut self.out, reply, limit)?;
        let sent = (self.out.len() - before) as u64;
        if self.out.len() >= FLUSH_BYTES {
            self.flush()?;
        }
        Ok(sent)
    }

    /// Sends what is queued.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }
}

fn panic_message(panic: &PanicHookInfo<'_>) -> String {
    let said = panic.payload_as_str().unwrap_or("without a message");
    let said = &said[..said.floor_char_boundary(PANIC_BYTES)];
    match panic.location() {
        Some(at) => format!("{}:{}: {said}", at.file(), at.line()),
        None => said.to_owned(),
    }
}
