//! Between the contract's messages and our words. Requests name every bad field at once; answers carry revision tokens, events none.

pub mod binding;
pub mod catalog;
pub mod explain;
pub mod fact;
pub mod group;
pub mod resource;
pub mod role;
pub mod subject;
pub mod text;
pub mod time;
pub mod tokens;
