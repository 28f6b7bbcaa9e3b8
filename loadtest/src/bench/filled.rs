//! Holds after ten million holds.

/// At how many connections.
pub(super) const CONNECTIONS: u32 = 256;
