//! HAProxy, as it is installed, under the toolkit.

mod admin;
mod config;
mod faults;
mod hashing;
mod health;
mod idle;
mod instance;
mod reload;
mod source;
mod sticky;
mod whole;

use config::Config;
use instance::HaProxy;
