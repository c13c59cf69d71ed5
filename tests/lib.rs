//! Tests of the whole: `house` reads the tree and the contracts, `e2e` runs an installation of real processes.
