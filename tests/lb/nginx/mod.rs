//! nginx, as it is installed, under the toolkit: proxy of HTTP, and with its stream module of TCP and UDP.

mod config;
mod faults;
mod hashing;
mod instance;
mod reload;
mod stream;
mod upstream;
mod whole;

use config::Config;
use instance::Nginx;
