//! Whether a file is whole, without decoding it.

use crate::fault::Fault;

/// Follows the bytes of one file as they stream past.
pub trait Probe {
    /// Takes the next bytes.
    fn feed(&mut self, bytes: &[u8]);

    /// Whether the file was whole.
    ///
    /// # Errors
    /// What is wrong with it, and a clause that says so.
    fn finish(self: Box<Self>) -> Result<(), (Fault, String)>;
}
