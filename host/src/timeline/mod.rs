//! What happened to a contact, told as sentences for people. Pure: entries in, words out.

mod phrases;
mod sentence;

pub use phrases::phrase_of;
pub use sentence::{Told, tell};
