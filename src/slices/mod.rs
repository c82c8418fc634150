//! Case to slices and masks.
