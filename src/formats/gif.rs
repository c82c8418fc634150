//! GIF.
