//! Bytes nobody meant: guests with bits flipped, pieces cut out, doubled or put elsewhere, and mere noise. Each is taken
//! or refused; nothing else happens.

use crate::guests::{Call, guest, loaded};
use mapwright::plugins::{Limits, Runtime};

/// A sequence of numbers from a seed (xorshift).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

fn mutated(chance: &mut Chance, whole: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    match chance.below(6) {
        0 => (0..8).for_each(|_| {
            let at = chance.below(bytes.len());
            bytes[at] ^= chance.byte() | 1;
        }),
        // The head, where sections and types are.
        1 => (0..4).for_each(|_| {
            let at = 8 + chance.below(2000.min(bytes.len() - 8));
            bytes[at] = chance.byte();
        }),
        2 => bytes.truncate(chance.below(bytes.len())),
        3 => {
            let from = chance.below(bytes.len());
            let to = (from + chance.below(4096)).min(bytes.len());
            bytes.drain(from..to);
        }
        4 => {
            let from = chance.below(bytes.len());
            let piece = bytes[from..(from + chance.below(4096)).min(whole.len())].to_vec();
            let at = chance.below(bytes.len());
            bytes.splice(at..at, piece);
        }
        _ => {
            bytes = (0..chance.below(4096)).map(|_| chance.byte()).collect();
            let head: [u8; 8] =
                if chance.below(2) == 0 { *b"\0asm\x01\0\0\0" } else { *b"\0asm\x0d\0\x01\0" };
            bytes.splice(0..0, head);
        }
    }
    bytes
}

/// Feeds `rounds` mutations of guests to the loader; the seed and the round name a failure.
pub(crate) async fn loader(runtime: &Runtime, rounds: u64, seed: u64) {
    let wholes = [guest("hostile"), guest("warmed"), guest("wasi")];
    let mut taken = 0;
    for round in 0..rounds {
        let mut chance = Chance::new(seed.wrapping_mul(1_000_003).wrapping_add(round));
        let whole = &wholes[chance.below(wholes.len())];
        let bytes = mutated(&mut chance, whole);
        // A flipped byte in a text may still be a plugin; what matters is that nothing else happens.
        if let Ok(package) = runtime.check(&bytes, &Limits::default()).await {
            taken += 1;
            assert!(!package.description.name.is_empty(), "seed {seed}, round {round}");
            let version = loaded(runtime, &bytes).await;
            if version.maps() {
                drop(Call::of("fine").map(runtime, &version).await);
            }
        }
    }
    assert!(taken < rounds, "every mutation was taken: the mutations do nothing");
}
