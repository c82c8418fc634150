//! gzip, whole buffers, all members.
