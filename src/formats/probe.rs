//! Checks of whole files that need no decoding.

use crate::fault::Fault;

/// Checks one file as its bytes stream past.
pub trait Probe {
    /// Takes the next bytes.
    fn feed(&mut self, bytes: &[u8]);

    /// Called after the last byte: is the file whole?
    ///
    /// # Errors
    /// The kind of fault, and a clause that describes it.
    fn finish(self: Box<Self>) -> Result<(), (Fault, String)>;
}
