mod model;
mod store;
