//! Changes to a lab that stands, as handles ask for them.

use std::io;

use ipnet::IpNet;

use super::route::{self, NEW};
use super::socket::NetlinkSocket;
use super::watch;

/// Gives an interface of the socket's namespace an address, and returns when it can be used.
pub(crate) fn add_address(socket: &mut NetlinkSocket, index: u32, addr: IpNet) -> io::Result<()> {
    let message = route::new_address(index, addr);
    socket.batch([(NEW, message)].into_iter()).map_err(|refused| refused.error)?;
    match watch::wait_until_settled(socket, Some(&[index]))? {
        None => Ok(()),
        Some(tentative) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("address `{tentative}` stayed tentative")))
        }
    }
}
