//! Where a topic goes on, or why it does not.

use super::control::{Fingerprint, Mark};
use crate::log::Position;
use uuid::Uuid;

/// What is known when a leader begins with a topic.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What the control topic says.
    pub control: Option<Mark>,
    /// The copy in our store.
    pub copy: Option<Mark>,
    /// The entry at the position of `control`, as it is in the log now.
    pub entry: Option<Fingerprint>,
    /// The newest entry of the topic; the start where there was none ever.
    pub newest: Position,
    /// Entries up to here have been pruned.
    pub pruned: Position,
    /// Id of the Kafka cluster that is there now.
    pub cluster: String,
    /// Where an operator wants it to go on.
    pub wish: Option<Wish>,
}

/// Where an operator wants a topic to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// After this entry.
    pub position: Position,
    /// Names the wish, so that it is fulfilled once.
    pub id: Uuid,
}

/// Where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// After this entry.
    pub position: Position,
    /// And after so many rows of the next one.
    pub row: u64,
    /// Epoch of the ids.
    pub epoch: u32,
    /// The wish that began it.
    pub wish: Option<Uuid>,
}

impl Start {
    /// The mark of this place, whose entry is `entry`.
    #[must_use]
    pub fn mark(self, entry: Option<Fingerprint>, cluster: String) -> Mark {
        let Self { position, row, epoch, wish } = self;
        Mark { position, row, epoch, wish, entry, cluster }
    }
}

/// Why a topic waits for an operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// Kafka has copied more than the log ever held.
    #[error(
        "Kafka has entries up to {copied} and the log ends at {newest}: the store was restored from a backup or copied"
    )]
    Restored {
        /// Position of the control record.
        copied: Position,
        /// Newest entry.
        newest: Position,
    },
    /// Another entry has the number of the last copied one.
    #[error(
        "the entry at {at} is not the one that Kafka has: the store was restored from a backup or copied"
    )]
    Differs {
        /// Position of the control record.
        at: Position,
    },
    /// Control records are gone.
    #[error(
        "the control topic has no position, and {copied} was reached before: the topic was deleted or emptied"
    )]
    Emptied {
        /// Position of the copy.
        copied: Position,
    },
    /// Another cluster.
    #[error("Kafka's cluster id is {now} and was {before}: this is another Kafka")]
    Replaced {
        /// That of the position.
        before: String,
        /// That of the cluster.
        now: String,
    },
}

/// Compares what Kafka has with what the log has.
///
/// # Errors
/// When they do not fit.
pub fn decide(facts: &Facts) -> Result<Start, Stop> {
    let reached = facts.control.as_ref().or(facts.copy.as_ref());
    let fulfilled = |wish: &Wish| reached.is_some_and(|mark| mark.wish == Some(wish.id));
    if let Some(Wish { position, id }) = facts.wish.filter(|wish| !fulfilled(wish)) {
        let epochs = [&facts.control, &facts.copy].map(|mark| mark.as_ref().map_or(0, |mark| mark.epoch));
        return Ok(Start { position, row: 0, epoch: epochs[0].max(epochs[1]) + 1, wish: Some(id) });
    }
    let Some(mark) = reached else {
        return Ok(Start { position: facts.pruned, row: 0, epoch: 1, wish: None });
    };
    if mark.cluster != facts.cluster {
        return Err(Stop::Replaced { before: mark.cluster.clone(), now: facts.cluster.clone() });
    }
    if facts.control.is_none() {
        return Err(Stop::Emptied { copied: mark.position });
    }
    if mark.position > facts.newest.max(facts.pruned) {
        return Err(Stop::Restored { copied: mark.position, newest: facts.newest.max(facts.pruned) });
    }
    let is_pruned = facts.entry.is_none() && mark.position <= facts.pruned;
    if !is_pruned && mark.entry != facts.entry {
        return Err(Stop::Differs { at: mark.position });
    }
    // Killed after the commit that began an epoch, the copy is of the one before.
    if facts.wish.is_none() && facts.copy.as_ref().is_some_and(|copy| copy.epoch != mark.epoch) {
        return Err(Stop::Differs { at: mark.position });
    }
    Ok(Start { position: mark.position, row: mark.row, epoch: mark.epoch, wish: mark.wish })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Digest, Timestamp};

    fn at(seq: u8) -> Position {
        format!("{seq:016x}").parse().unwrap()
    }

    const fn entry(seq: u8) -> Fingerprint {
        Fingerprint { at: Timestamp(7), sha256: Digest([seq; 32]) }
    }

    fn mark(seq: u8) -> Mark {
        let entry = Some(entry(seq));
        Mark { position: at(seq), row: 0, epoch: 1, wish: None, entry, cluster: "here".into() }
    }

    fn facts() -> Facts {
        Facts {
            control: Some(mark(5)),
            copy: Some(mark(4)),
            entry: Some(entry(5)),
            newest: at(9),
            pruned: at(2),
            cluster: "here".into(),
            wish: None,
        }
    }

    fn start(seq: u8) -> Result<Start, Stop> {
        Ok(Start { position: at(seq), row: 0, epoch: 1, wish: None })
    }

    #[test]
    fn what_fits_goes_on_behind_the_control_record() {
        assert_eq!(decide(&facts()), start(5));
        assert_eq!(decide(&Facts { copy: None, ..facts() }), start(5), "killed before the copy was made");
        assert_eq!(decide(&Facts { control: None, copy: None, ..facts() }), start(2), "the first start");
        let pruned = Facts { entry: None, pruned: at(5), ..facts() };
        assert_eq!(decide(&pruned), start(5), "the entry was pruned after it was copied");
        let all_pruned = Facts { newest: at(0), ..pruned };
        assert_eq!(decide(&all_pruned), start(5), "and all others too");
    }

    #[test]
    fn what_does_not_fit_waits_for_an_operator() {
        let stop = |facts: &Facts| decide(facts).unwrap_err();
        let copied = at(5);
        let restored = Facts { newest: at(4), entry: None, copy: None, ..facts() };
        assert_eq!(stop(&restored), Stop::Restored { copied, newest: at(4) });
        assert_eq!(stop(&Facts { entry: Some(entry(6)), ..facts() }), Stop::Differs { at: copied });
        assert_eq!(stop(&Facts { entry: None, ..facts() }), Stop::Differs { at: copied }, "a rollback");
        let older = Facts { copy: Some(Mark { epoch: 2, ..mark(4) }), ..facts() };
        assert_eq!(stop(&older), Stop::Differs { at: copied }, "resumed since the backup");
        assert_eq!(stop(&Facts { control: None, ..facts() }), Stop::Emptied { copied: at(4) });
        let (before, now) = ("here".to_owned(), "there".to_owned());
        assert_eq!(stop(&Facts { cluster: now.clone(), ..facts() }), Stop::Replaced { before, now });
    }

    #[test]
    fn an_operator_decides_over_all_of_it() {
        let id = Uuid::from_u128(7);
        let wished = Facts { wish: Some(Wish { position: at(3), id }), ..facts() };
        let begun = Start { position: at(3), row: 0, epoch: 2, wish: Some(id) };
        let elsewhere = Facts { cluster: "there".into(), control: None, ..wished.clone() };
        assert_eq!(decide(&elsewhere), Ok(begun));
        assert_eq!(decide(&wished), Ok(begun));
        // Killed behind the first commit of the new epoch: it is not begun a second time.
        let control = Mark { epoch: 2, wish: Some(id), ..mark(5) };
        let fulfilled = decide(&Facts { control: Some(control), ..wished });
        assert_eq!(fulfilled, Ok(Start { position: at(5), row: 0, epoch: 2, wish: Some(id) }));
    }
}
