//! The header by which a proxy tells a backend who the client is: the PROXY protocol, versions 1 and 2
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// What a header of version 2 begins with (section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, its end included (section 2.1).
const LONGEST_V1: u64 = 107;

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Reads a header, and gives the client's address; nothing, if the header says that the proxy speaks for itself.
///
/// A proxy whose socket listens for both families may write an IPv4 client as an IPv6 address (`::ffff:192.0.2.1`, RFC 4291,
/// 2.5.5.2), as HAProxy does: that is the same client.
pub(super) async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let told = header(stream).await?;
    Ok(told.map(|addr| SocketAddr::new(addr.ip().to_canonical(), addr.port())))
}

async fn header(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    match stream.fill_buf().await?.first() {
        Some(b'P') => {
            let mut line = Vec::new();
            stream.take(LONGEST_V1).read_until(b'\n', &mut line).await?;
            version_1(&line)
        }
        Some(b'\r') => {
            let mut start = [0; 16];
            stream.read_exact(&mut start).await?;
            let mut rest = vec![0; usize::from(u16::from_be_bytes([start[14], start[15]]))];
            stream.read_exact(&mut rest).await?;
            version_2(&start, &rest)
        }
        _ => Err(invalid("the connection does not begin with a header of the PROXY protocol")),
    }
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 40000 80\r\n`
fn version_1(line: &[u8]) -> io::Result<Option<SocketAddr>> {
    let text = String::from_utf8_lossy(line);
    let wrong = || invalid(format!("no header of the PROXY protocol: `{}`", text.trim_end()));
    let fields: Vec<&str> = text.strip_suffix("\r\n").ok_or_else(wrong)?.split(' ').collect();
    match fields[..] {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        ["PROXY", "TCP4" | "TCP6", source, _, port, _] => {
            let addr = source.parse().map_err(|_parse| wrong())?;
            Ok(Some(SocketAddr::new(addr, port.parse().map_err(|_parse| wrong())?)))
        }
        _ => Err(wrong()),
    }
}

fn version_2(start: &[u8; 16], rest: &[u8]) -> io::Result<Option<SocketAddr>> {
    /// The high half of the byte is the version, the low half the command.
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    /// The high half is the address family.
    const INET: u8 = 1;
    const INET6: u8 = 2;
    if start[..12] != SIGNATURE[..] {
        return Err(invalid("no header of the PROXY protocol, version 2"));
    }
    let port = |bytes: &[u8]| u16::from_be_bytes([bytes[0], bytes[1]]);
    match (start[12], start[13] >> 4) {
        (LOCAL, _) => Ok(None),
        (PROXY, INET) if rest.len() >= 12 => {
            let addr = Ipv4Addr::new(rest[0], rest[1], rest[2], rest[3]);
            Ok(Some((addr, port(&rest[8..])).into()))
        }
        (PROXY, INET6) if rest.len() >= 36 => {
            let mut octets = [0; 16];
            octets.copy_from_slice(&rest[..16]);
            Ok(Some((Ipv6Addr::from(octets), port(&rest[32..])).into()))
        }
        _ => Err(invalid(format!("a header of the PROXY protocol with the bytes {:02x?}", &start[12..14]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn seen(bytes: &[u8]) -> Result<Option<String>, String> {
        let mut stream = bytes;
        let seen = read(&mut stream).await.map_err(|error| error.to_string())?;
        assert_eq!(stream, b"hello", "the header and no more is read");
        Ok(seen.map(|addr| addr.to_string()))
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, addresses, b"hello"].concat()
    }

    #[tokio::test]
    async fn both_versions_both_families() {
        let told = seen(b"PROXY TCP4 192.0.2.1 198.51.100.1 40000 80\r\nhello").await;
        assert_eq!(told.unwrap().unwrap(), "192.0.2.1:40000");
        let told = seen(b"PROXY TCP6 2001:db8::1 2001:db8::2 40000 80\r\nhello").await;
        assert_eq!(told.unwrap().unwrap(), "[2001:db8::1]:40000");
        let told = seen(b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 40000 80\r\nhello").await;
        assert_eq!(told.unwrap().unwrap(), "192.0.2.1:40000");
        assert_eq!(seen(b"PROXY UNKNOWN\r\nhello").await, Ok(None));
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x9c, 0x40, 0, 80];
        assert_eq!(seen(&v2(0x21, 0x11, &v4)).await.unwrap().unwrap(), "192.0.2.1:40000");
        let v6 = [&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets()[..], &[0; 16], &[0x9c, 0x40, 0, 80]]
            .concat();
        assert_eq!(seen(&v2(0x21, 0x21, &v6)).await.unwrap().unwrap(), "[2001:db8::1]:40000");
        assert_eq!(seen(&v2(0x20, 0, &[])).await, Ok(None));
    }

    #[tokio::test]
    async fn what_is_no_header_is_an_error() {
        for wrong in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP4 nobody\r\n",
            b"PROXY TCP4 192.0.2.1 1 2 3",
            b"\r\n\r\nnothing else.",
        ] {
            let mut stream = wrong;
            read(&mut stream).await.unwrap_err();
        }
        let mut short = &v2(0x21, 0x11, &[1, 2])[..];
        read(&mut short).await.unwrap_err();
    }
}
