//! E. What it was all for: validating a load balancer. A network of clients, a network of backends, a balancer between them.

#[path = "e_haproxy.rs"]
mod haproxy;
#[path = "e_in_rust.rs"]
mod in_rust;
#[path = "e_in_the_kernel.rs"]
mod in_the_kernel;
#[path = "e_rows.rs"]
mod rows;
