//! What may explain how well a mask is segmented.
