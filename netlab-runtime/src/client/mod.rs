//! A small HTTP client in a node: one connection for each request, names as the lab knows them, an end to every wait.

mod exchange;
mod get;
mod response;
mod url;

pub use get::Get;
pub use response::Response;
