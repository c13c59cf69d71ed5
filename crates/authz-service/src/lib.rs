mod model;
mod ops;
mod snapshots;
mod store;
