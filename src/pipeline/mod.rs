//! Stages, shards, scheduling and resume.
