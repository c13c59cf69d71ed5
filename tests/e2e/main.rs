//! The cluster as its users meet it: real processes, a real PostgreSQL, nothing replaced.
