//! The kernel's packet filter as a load balancer: rules of nftables, loaded with the program `nft`.

mod dsr;
mod faults;
mod nat;
mod rules;

pub use dsr::Dsr;
pub use nat::Nat;
pub use rules::By;
