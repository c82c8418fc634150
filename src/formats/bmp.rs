//! Windows bitmap.
