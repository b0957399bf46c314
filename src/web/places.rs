//! Who may hold a connection of one address.
//!
//! ```text
//!   a connection ─▶ is a place free, and does its peer hold less than half? ─ yes ─▶ served
//!                     └ no ─▶ a reserved place: its head is read, then health and operators are served, others get 503
//!                               └ all are taken ─▶ the one that waits longest for a head is closed in favour of the new one
//! ```
//!
//! So many connections that are open and silent cannot keep out one that sends its request.

use ipnet::IpNet;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio_util::sync::CancellationToken;

/// An IPv6 peer is a network of this many bits: that is what one host commonly has.
const IPV6_PEER_BITS: u32 = 64;
/// What a connection in a reserved place has for its head before it can lose the place: a client sends it at once.
const HEAD_GRACE: Duration = Duration::from_millis(20);
/// Longest wait between two looks for a place.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The places of one address.
#[derive(Debug)]
pub struct Places {
    most: usize,
    most_of_peer: usize,
    reserved: usize,
    trusted_proxies: Vec<IpNet>,
    grace: Duration,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    peers: HashMap<IpAddr, usize>,
    reserved: usize,
    /// Connections in reserved places whose head has not arrived, the oldest first.
    waiting: VecDeque<Waiting>,
    next: u64,
}

/// A connection in a reserved place whose head has not arrived.
#[derive(Debug)]
struct Waiting {
    number: u64,
    since: Instant,
    closed: CancellationToken,
}

/// Why there is no place just now.
#[derive(Debug, PartialEq, Eq)]
enum NoPlace {
    /// One can be had after this time, or when one is freed.
    For(Duration),
    /// The peer has its half, and the reserved places are all served.
    ForThisPeer,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place(Kind);

#[derive(Debug)]
enum Kind {
    /// For any request of this peer.
    Full(Arc<Places>, IpAddr),
    /// For health and operators.
    Reserved { of: Arc<Places>, number: u64, closed: CancellationToken },
    /// On the control socket, where connections wait for a place.
    Control { _permit: OwnedSemaphorePermit },
}

impl Places {
    /// `most` places, of which one peer can have half, unless it is one of the `trusted_proxies`; and `reserved` ones.
    #[must_use]
    pub fn new(most: usize, reserved: usize, trusted_proxies: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_peer: most.div_ceil(2),
            reserved,
            trusted_proxies,
            grace: HEAD_GRACE,
            state: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// A place for a connection of `address`, as soon as there is one; `None` if the peer can have no more. For one caller at a
    /// time.
    pub async fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let began = Instant::now();
        loop {
            let span = match self.try_take(address) {
                Ok(place) => return Some(place),
                // Others shall not wait because this one does.
                Err(NoPlace::ForThisPeer) if began.elapsed() >= self.grace => return None,
                Err(NoPlace::ForThisPeer) => self.grace,
                Err(NoPlace::For(span)) => span,
            };
            // What is freed between these lines is remembered.
            drop(tokio::time::timeout(span, self.freed.notified()).await);
        }
    }

    fn try_take(self: &Arc<Self>, address: IpAddr) -> Result<Place, NoPlace> {
        let address = address.to_canonical();
        let (peer, mut state) = (peer(address), self.lock());
        let is_proxy = self.trusted_proxies.iter().any(|network| network.contains(&address));
        let held = state.peers.get(&peer).copied().unwrap_or_default();
        let has_half = held >= self.most_of_peer && !is_proxy;
        if state.taken < self.most && !has_half {
            state.taken += 1;
            state.peers.insert(peer, held + 1);
            return Ok(Place(Kind::Full(Arc::clone(self), peer)));
        }
        match state.reserve(self.reserved, self.grace) {
            Some((number, closed)) => Ok(Place(Kind::Reserved { of: Arc::clone(self), number, closed })),
            None => Err(match state.waiting.front() {
                Some(oldest) => NoPlace::For(self.grace.saturating_sub(oldest.since.elapsed())),
                None if has_half => NoPlace::ForThisPeer,
                None => NoPlace::For(LOOK_AGAIN),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No panic leaves it inconsistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Number of a reserved place, and what says that it was lost.
    fn reserve(&mut self, most: usize, grace: Duration) -> Option<(u64, CancellationToken)> {
        if self.reserved < most {
            self.reserved += 1;
        } else {
            // Its place passes on; it does not give it back.
            let oldest = self.waiting.pop_front_if(|oldest| oldest.since.elapsed() >= grace)?;
            oldest.closed.cancel();
        }
        let (number, closed) = (self.next, CancellationToken::new());
        self.next += 1;
        self.waiting.push_back(Waiting { number, since: Instant::now(), closed: closed.clone() });
        Some((number, closed))
    }

    fn stop_waiting(&mut self, number: u64) {
        self.waiting.retain(|waiting| waiting.number != number);
    }
}

impl Place {
    /// A place on the control socket.
    #[must_use]
    pub const fn control(permit: OwnedSemaphorePermit) -> Self {
        Self(Kind::Control { _permit: permit })
    }

    /// Whether it is for health and operators only.
    #[must_use]
    pub const fn is_reserved(&self) -> bool {
        matches!(self.0, Kind::Reserved { .. })
    }

    /// Notes that a head arrived; from now on the place is kept.
    pub fn head_came(&self) {
        if let Kind::Reserved { of, number, .. } = &self.0 {
            of.lock().stop_waiting(*number);
        }
    }

    /// Returns when the place was given to another connection.
    pub async fn lost(&self) {
        match &self.0 {
            Kind::Reserved { closed, .. } => closed.cancelled().await,
            Kind::Full(..) | Kind::Control { .. } => std::future::pending().await,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        match &self.0 {
            Kind::Full(of, peer) => {
                let mut state = of.lock();
                of.freed.notify_one();
                state.taken -= 1;
                if let Some(held) = state.peers.get_mut(peer) {
                    *held -= 1;
                    if *held == 0 {
                        state.peers.remove(peer);
                    }
                }
            }
            Kind::Reserved { of, number, closed } => {
                let mut state = of.lock();
                of.freed.notify_one();
                if !closed.is_cancelled() {
                    state.reserved -= 1;
                    state.stop_waiting(*number);
                }
            }
            Kind::Control { .. } => {}
        }
    }
}

/// What counts as one peer.
fn peer(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (u128::BITS - IPV6_PEER_BITS))).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NoPlace, Place, Places};
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Takes as many full places of `address` as there are.
    fn fill(places: &Arc<Places>, address: &str) -> Vec<Place> {
        let each = std::iter::repeat_with(|| places.try_take(ip(address)).unwrap());
        each.take_while(|place| !place.is_reserved()).collect()
    }

    #[test]
    fn one_peer_has_half_and_a_trusted_proxy_all() {
        let places = Places::new(5, 2, vec!["10.0.0.0/8".parse().unwrap()]);
        let first = fill(&places, "192.0.2.1");
        assert_eq!(first.len(), 3);
        let second = fill(&places, "192.0.2.2");
        assert_eq!(second.len(), 2, "all five are taken");
        drop((first, second));
        let proxy = fill(&places, "10.1.2.3");
        assert_eq!(proxy.len(), 5);
        drop(proxy);
        assert_eq!(fill(&places, "::ffff:10.1.2.3").len(), 5, "the same proxy on a socket for both");
        assert!(places.lock().peers.is_empty());
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_peer() {
        let places = Places::new(4, 1, Vec::new());
        let take = |address| places.try_take(ip(address)).unwrap();
        let _half = [take("2001:db8::1"), take("2001:db8::2")];
        assert!(take("2001:db8::3").is_reserved());
        assert!(!take("2001:db8:0:1::3").is_reserved());
    }

    #[tokio::test]
    async fn of_the_reserved_the_one_that_waits_longest_for_a_head_gives_way() {
        let mut places = Places::new(1, 2, Vec::new());
        let grace = Duration::from_millis(300);
        Arc::get_mut(&mut places).unwrap().grace = grace;
        let full = places.try_take(ip("192.0.2.1")).unwrap();
        let reserved = async || places.take(ip("192.0.2.2")).await.unwrap();
        let began = Instant::now();
        let (oldest, served) = (reserved().await, reserved().await);
        served.head_came();
        assert!(matches!(places.try_take(ip("192.0.2.2")), Err(NoPlace::For(_))), "it has time for its head");
        let next = reserved().await;
        assert!(began.elapsed() >= grace);
        oldest.lost().await;
        drop(oldest);
        assert_eq!(places.lock().reserved, 2, "what gave way gives nothing back");
        next.head_came();
        assert_eq!(places.try_take(ip("192.0.2.1")).err(), Some(NoPlace::ForThisPeer), "both are served");
        assert!(places.take(ip("192.0.2.1")).await.is_none());
        assert!(matches!(places.try_take(ip("192.0.2.2")), Err(NoPlace::For(_))), "all are taken");
        let waiting = reserved();
        let (last, ()) = tokio::join!(waiting, async { drop(served) });
        assert!(last.is_reserved());
        drop((next, last));
        let left = |state: &super::State| (state.reserved, state.waiting.len());
        assert_eq!(left(&places.lock()), (0, 0));
        drop(full);
        assert!(!reserved().await.is_reserved());
    }
}
