//! Wrong keys, counted by address: who guesses is turned away for a while.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time over which wrong keys are counted, and for which an address is turned away; machine time.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond it the oldest are forgotten, so that nobody fills the memory.
const MOST: usize = 10_000;

struct Window {
    began: Instant,
    wrong: u32,
}

/// The count of wrong keys. Cheap to clone.
#[derive(Clone)]
pub struct WrongKeys {
    allowed: u32,
    by_address: Arc<Mutex<HashMap<IpAddr, Window>>>,
}

impl WrongKeys {
    /// So many wrong keys a minute are allowed to an address; 0: any number.
    #[must_use]
    pub fn allowing(per_minute: u32) -> Self {
        Self { allowed: per_minute, by_address: Arc::default() }
    }

    /// How long this address is still turned away.
    pub(super) fn turned_away(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        if self.allowed == 0 {
            return None;
        }
        let by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let window = by_address.get(&network(address))?;
        let left = WINDOW.checked_sub(now.saturating_duration_since(window.began))?;
        (window.wrong >= self.allowed).then_some(left)
    }

    /// Counts a wrong key; whether it was the last that is allowed.
    pub(super) fn count(&self, address: IpAddr, now: Instant) -> bool {
        if self.allowed == 0 {
            return false;
        }
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |window: &Window| now.saturating_duration_since(window.began) >= WINDOW;
        if by_address.len() >= MOST {
            by_address.retain(|_, window| !over(window));
        }
        if by_address.len() >= MOST
            && let Some(oldest) =
                by_address.iter().min_by_key(|(_, window)| window.began).map(|(key, _)| *key)
        {
            by_address.remove(&oldest);
        }
        let window = by_address.entry(network(address)).or_insert(Window { began: now, wrong: 0 });
        if over(window) {
            *window = Window { began: now, wrong: 0 };
        }
        window.wrong = window.wrong.saturating_add(1);
        window.wrong == self.allowed
    }
}

/// What one guesser has at hand: an address of version 4, or the 64 bits of a network of version 6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Clock;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_guesses_is_turned_away_for_a_minute_and_nobody_else() {
        let (wrong, now) = (WrongKeys::allowing(3), Clock::system().machine_now());
        let guesser = address("203.0.113.9");
        assert!(!wrong.count(guesser, now) && !wrong.count(guesser, now));
        assert_eq!(wrong.turned_away(guesser, now), None);
        assert!(wrong.count(guesser, now));
        assert_eq!(wrong.turned_away(guesser, now), Some(WINDOW));
        assert_eq!(wrong.turned_away(address("203.0.113.10"), now), None);
        let later = now + WINDOW;
        assert!(wrong.turned_away(guesser, later).is_none_or(|left| left.is_zero()));
        assert!(!wrong.count(guesser, later + Duration::from_secs(1)));
    }

    #[test]
    fn a_network_of_version_6_counts_as_one() {
        let (wrong, now) = (WrongKeys::allowing(2), Clock::system().machine_now());
        wrong.count(address("2001:db8::1"), now);
        wrong.count(address("2001:db8::2"), now);
        assert!(wrong.turned_away(address("2001:db8::3"), now).is_some());
        assert!(wrong.turned_away(address("2001:db8:0:1::3"), now).is_none());
    }

    #[test]
    fn many_addresses_do_not_fill_the_memory() {
        let (wrong, now) = (WrongKeys::allowing(2), Clock::system().machine_now());
        for number in 0..u32::try_from(MOST).unwrap() + 500 {
            wrong.count(IpAddr::from(number.to_be_bytes()), now + Duration::from_micros(u64::from(number)));
        }
        assert!(wrong.by_address.lock().unwrap().len() <= MOST);
    }

    #[test]
    fn none_allowed_means_any_number() {
        let (wrong, now) = (WrongKeys::allowing(0), Clock::system().machine_now());
        assert!((0..1000).all(|_| !wrong.count(address("203.0.113.9"), now)));
        assert_eq!(wrong.turned_away(address("203.0.113.9"), now), None);
    }
}
