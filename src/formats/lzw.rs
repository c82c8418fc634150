//! LZW codes as in GIF and TIFF, decoded by `weezl`.

use weezl::{LzwError, LzwStatus, decode::Decoder};

/// Fills `out`, and gives the number of bytes that the codes were good for: fewer than asked for where they end early.
/// Codes beyond a full `out` are left.
///
/// # Errors
/// An invalid code before `out` is full.
pub(super) fn fill(mut decoder: Decoder, codes: &[u8], out: &mut [u8]) -> Result<usize, LzwError> {
    let (mut read, mut written) = (0, 0);
    while written < out.len() {
        // One call stops wherever the decoder starts over: at a clear code.
        let step = decoder.decode_bytes(&codes[read..], &mut out[written..]);
        (read, written) = (read + step.consumed_in, written + step.consumed_out);
        match step.status {
            Ok(LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            Ok(_) => break,
            Err(_) if written == out.len() => break,
            Err(e) => return Err(e),
        }
    }
    Ok(written)
}
