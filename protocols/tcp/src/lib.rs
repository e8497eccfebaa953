//! The null protocol: plain or TLS origination, then copy.
