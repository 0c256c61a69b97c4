//! What comes in: verified over its raw bytes, addressed, and stored before it is answered. Nothing slow
//! happens before the answer, and no plugin is touched.

mod ingest;
mod rankr;
mod share;
mod verify;

pub use ingest::{Delivery, Ingest, Ingested, Refusal};
pub use rankr::{RankrDoor, RankrEvent, RankrRefusal};
pub use verify::{KeyError, Signatures, Verifier};
