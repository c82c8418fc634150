//! Netpbm.
