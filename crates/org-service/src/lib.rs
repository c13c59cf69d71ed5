mod model;
mod ops;
mod remote;
mod store;
