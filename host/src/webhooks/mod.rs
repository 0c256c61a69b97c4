//! What comes in: verified, addressed and stored before it is answered.
