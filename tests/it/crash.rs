//! Processes are killed while mail comes in: nothing that was said yes to is lost or done twice.

use crate::processes::{Installation, Server, each_store, is_soak};
use crate::programs;
use crate::promises::{Promised, are_kept, mail};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::ops::Range;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use uuid::Uuid;

const TO: &str = "bobs@ingest.example.com";
/// Mails that come in at once.
const SENDERS: usize = 3;

/// Whose turn it is to be killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Victim {
    Server,
    Module,
    Mailhandler,
}

const TURNS: [Victim; 3] = [Victim::Server, Victim::Module, Victim::Mailhandler];

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_every_yes_is_kept_once() {
    // Kills, and mails around each.
    let (kills, mails) = if is_soak() { (33, 61) } else { (9, 17) };
    each_store(|postgres| {
        let installation = Installation::new(postgres, "", &programs::modules());
        let mut server = installation.start();
        let mut promised = Promised::default();
        // Kills, and how many servers of them while more mail was to come.
        let (mut killed, mut amid) = (0, 0);
        for round in 0..kills {
            let victim = TURNS[round % TURNS.len()];
            let batch = Batch::new(round * mails..(round + 1) * mails, victim == Victim::Mailhandler);
            std::thread::scope(|scope| {
                for _ in 0..SENDERS {
                    scope.spawn(|| batch.send(&installation));
                }
                match victim {
                    Victim::Server => {
                        batch.wait_for_some();
                        amid += usize::from(batch.is_coming());
                        server.kill();
                        server = installation.launch();
                    }
                    Victim::Module => kill_a_module(&installation, &mut server),
                    Victim::Mailhandler => {}
                }
            });
            killed += if victim == Victim::Mailhandler { batch.killed.load(Ordering::SeqCst) } else { 1 };
            promised.mails.extend(batch.numbers);
            promised.receipts.extend(batch.receipts.into_inner().unwrap());
        }
        assert_eq!(killed, kills);
        assert!(amid > 0, "no server was killed while mail came in");
        are_kept(&installation, &promised);
        server.stop();
        are_kept(&installation, &promised);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_module_is_killed_twice_is_held_as_poisoned_and_can_be_released() {
    each_store(|postgres| {
        let installation = Installation::new(postgres, SPINNING, &programs::hostile_modules());
        let server = installation.start();
        let said = installation.deliver("4Spin", TO, b"Subject: spin\n\nround and round\n");
        assert!(said.is_some());
        for crashes in 1..=2 {
            kill_process(spinning(&installation, &server), Signal::KILL).unwrap();
            let counted = format!("SELECT count(*) FROM job WHERE kind = 2 AND crashes = {crashes}");
            installation.wait_for("the crash to be counted", || {
                (installation.store.count(&counted) == 1).then_some(())
            });
        }
        let held: Vec<(i64, i16, String)> = installation.store.all("SELECT id, lane, wait_reason FROM job");
        let [(job, 3, reason)] = held.as_slice() else { panic!("not held: {held:?}") };
        assert_eq!(reason, "poisoned");

        let released = server.ask("POST", &format!("/api/1.0/held/{job}/release"));
        assert!(released.is_some_and(|status| status / 100 == 2), "{released:?}");
        spinning(&installation, &server);
        let again: Vec<(i64, i16, i16)> = installation.store.all("SELECT id, lane, crashes FROM job");
        assert_eq!(again, [(*job, 0, 0)], "the same job, with a clean slate");
    })
    .await;
}

/// A rule for a module that never ends.
const SPINNING: &str = r#"
[[rule]]
name = "spin"
when = { subject = '^spin$' }
set = { category = "hostile", type = "spin" }
"#;

/// A module process that has been busy for a while: nothing but the spinning module takes so long.
fn spinning(installation: &Installation, server: &Server) -> Pid {
    installation.wait_for("a module to spin", || {
        server.modules().into_iter().find(|(_, used)| *used > Duration::from_millis(700)).map(|(pid, _)| pid)
    })
}

/// Kills a module process while no live job has lost one: none may lose two, for that is what poison does.
fn kill_a_module(installation: &Installation, server: &mut Server) {
    server.ready();
    installation.wait_for("a module to kill", || {
        let suspected = installation.store.count("SELECT count(*) FROM job WHERE crashes > 0") > 0;
        let modules = server.modules();
        let (victim, _) = *modules.get(random(modules.len().max(1)))?;
        // One that was replaced since fails this, and another is looked for.
        (!suspected && kill_process(victim, Signal::KILL).is_ok()).then_some(())
    });
}

/// The mails of one round.
struct Batch {
    numbers: Range<usize>,
    next: AtomicUsize,
    /// The call of `mailhandler` that is killed, counted from the first; none above the number of mails.
    aim: usize,
    killed: AtomicUsize,
    receipts: Mutex<Vec<Uuid>>,
}

impl Batch {
    fn new(numbers: Range<usize>, aims: bool) -> Self {
        let aim = if aims { random(numbers.len()) } else { usize::MAX };
        Self {
            next: AtomicUsize::new(0),
            numbers,
            aim,
            killed: AtomicUsize::new(0),
            receipts: Mutex::default(),
        }
    }

    /// Waits until some of the mails, any number up to half of them, have been begun.
    fn wait_for_some(&self) {
        let wanted = 1 + random(self.numbers.len() / 2);
        while self.next.load(Ordering::SeqCst) < wanted {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether some have not been begun.
    fn is_coming(&self) -> bool {
        self.next.load(Ordering::SeqCst) < self.numbers.len()
    }

    /// Sends mails until there are none left, each until it gets a yes, as Postfix does.
    fn send(&self, installation: &Installation) {
        loop {
            let at = self.next.fetch_add(1, Ordering::SeqCst);
            let Some(number) = self.numbers.clone().nth(at) else { return };
            let (queue_id, mail) = (format!("4Q{number}"), mail(number));
            if at == self.aim {
                while !cut_off(installation, &queue_id, &mail) {}
                self.killed.fetch_add(1, Ordering::SeqCst);
            }
            let receipt =
                std::iter::repeat_with(|| installation.deliver(&queue_id, TO, &mail)).flatten().next();
            self.receipts.lock().unwrap().extend(receipt);
        }
    }
}

/// Calls `mailhandler` and kills it at some moment; `false` if it was faster.
fn cut_off(installation: &Installation, queue_id: &str, mail: &[u8]) -> bool {
    let mut command = installation.mailhandler(queue_id, TO, mail.len());
    let mut call = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut stdin = call.stdin.take().unwrap();
    let whole = random(2) == 0;
    stdin.write_all(if whole { mail } else { &mail[..mail.len() / 2] }).unwrap();
    if whole {
        drop(stdin);
        // Any moment of the call: that is what is tried.
        std::thread::sleep(luck(Duration::from_millis(4)));
    }
    call.kill().unwrap();
    call.wait().unwrap().code().is_none()
}

/// Some number below `most`.
fn random(most: usize) -> usize {
    Uuid::new_v4().as_fields().0 as usize % most
}

/// Some time below `most`.
fn luck(most: Duration) -> Duration {
    most.mul_f64(f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX))
}
