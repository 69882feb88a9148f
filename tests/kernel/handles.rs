//! Handles: what they tell of the topology, of the kernel's state, and what they do in a node.

use std::net::{IpAddr, Ipv4Addr, TcpStream, UdpSocket};

use netlab::prelude::*;

#[netlab::test(topology = "
    net lan 192.168.24.0/24 fd00::/64
    net other
    node red    lan=.10
    node green  lan=.11
    node blue
    node host   lan=.1
    node load-balancer[2] other
")]
async fn everything_is_found_by_name_or_the_error_lists_what_there_is(lab: Lab) -> netlab::Result {
    let names: Vec<_> = lab.nodes().iter().map(|node| node.name().to_owned()).collect();
    assert_eq!(names, ["host", "red", "green", "blue", "load-balancer1", "load-balancer2"]);
    assert_eq!(lab.host().name(), "host");
    assert_eq!(lab.node("load_balancer1")?, lab.node("load-balancer1")?);
    let error = lab.node("gren").unwrap_err().to_string();
    assert!(
        error.contains("; nodes here: host, red, green, blue, load-balancer1, load-balancer2"),
        "{error}"
    );
    assert!(error.ends_with("(did you mean `green`?)"), "{error}");
    let error = lab.net("red").unwrap_err().to_string();
    assert!(error.contains("has no net `red`, but a node of that name; nets here: lan, other"), "{error}");
    let error = lab.link("red-green").unwrap_err().to_string();
    assert!(error.ends_with("; there are no links here"), "{error}");

    let lan = lab.net("lan")?;
    assert_eq!(lan.subnets().len(), 2);
    assert_eq!(lan.members().iter().map(Node::name).collect::<Vec<_>>(), ["host", "red", "green"]);
    let red = lab.node("red")?;
    assert_eq!(red.addr(), IpAddr::from([192, 168, 24, 10]));
    assert_eq!(red.addr_on(&lan)?, red.addr());
    let error = red.addr_on(&lab.net("other")?).unwrap_err().to_string();
    assert_eq!(error, "node `red` has no address on net `other`; its nets: lan");
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node a; node b lan")]
#[should_panic(expected = "node `a` has no address: the topology gives it none")]
fn the_address_of_a_node_without_one_is_a_clear_panic(a: Node) {
    a.addr();
}

#[netlab::test(topology = "
    net linux-bridge 192.168.24.0/24
    node red    linux-bridge=.10
    node green  linux-bridge=.11
    node blue
    node host   linux-bridge=.1
")]
async fn what_is_told_is_the_kernels(
    lab: Lab,
    red: Node,
    green: Node,
    blue: Node,
    host: Node,
) -> netlab::Result {
    // A node holds its own interfaces, the host the bridge and its ports.
    let names = |node: &Node| -> netlab::Result<Vec<String>> {
        Ok(node.ifaces()?.into_iter().map(|interface| interface.name).collect())
    };
    assert_eq!(names(&red)?, ["lo", "eth0"]);
    assert_eq!(names(&blue)?, ["lo"]);
    assert_eq!(names(&host)?, ["lo", "linux-bridge", "red-0", "green-0"]);
    assert!(blue.iface("lo")?.up);
    let eth0 = red.iface("eth0")?;
    assert_eq!(eth0.addrs[0], "192.168.24.10/24".parse()?);
    assert_eq!((eth0.mtu, eth0.up), (1500, true));
    let error = red.iface("eth1").unwrap_err().to_string();
    assert_eq!(error, "node `red` has no interface `eth1`; interfaces there: lo, eth0");

    // Ports of a bridge have no addresses of their own.
    let ports = host.ifaces()?.into_iter().filter(|interface| interface.master.is_some());
    assert!(ports.map(|port| port.addrs).eq([Vec::new(), Vec::new()]));

    let routes = host.routes()?;
    let subnet = routes.iter().find(|route| route.destination == "192.168.24.0/24".parse().unwrap());
    let subnet = subnet.expect("a route to the subnet");
    assert_eq!(subnet.dev.as_deref(), Some("linux-bridge"));
    assert_eq!(subnet.source, Some(host.addr()));

    red.ping(&green).await?;
    let neighbours = red.neighbours()?;
    let seen =
        neighbours.iter().find(|neighbour| neighbour.addr == green.addr()).expect("green is a neighbour");
    assert_eq!(seen.mac, green.iface("eth0")?.mac);

    let fdb = lab.net("linux-bridge")?.fdb()?;
    for node in [&red, &green] {
        let mac = node.iface("eth0")?.mac.expect("a veth has a MAC address");
        let entry = fdb.iter().find(|entry| entry.mac == mac).expect("the bridge knows the node");
        assert_eq!((entry.node.as_deref(), entry.learned), (Some(node.name()), true));
        assert_eq!(entry.port, format!("{}-0", node.name()));
    }

    assert_eq!(red.sysctl("net.ipv4.ip_forward")?, "0");
    red.set_sysctl("net.ipv4.ip_forward", 1)?;
    assert_eq!(
        (red.sysctl("net.ipv4.ip_forward")?, green.sysctl("net.ipv4.ip_forward")?),
        ("1".into(), "0".into())
    );
    Ok(())
}

#[netlab::test(topology = "
    net lan 192.168.1.0/24
    net wan 203.0.113.0/24 fd00:2::/64
    node red   lan=.11
    node far   wan=.9  via=none
    router gw  lan=.1  wan=.1  nat(wan from=lan)  dnat(8080/tcp -> red:80)
")]
async fn a_dump_has_all_there_is_of_every_node(lab: Lab, red: Node) -> netlab::Result {
    red.ping("203.0.113.9").await?;
    let dump = lab.dump()?;
    let text = dump.to_string();
    for line in [
        "node host",
        "node switch",
        "192.168.1.11/24",
        "default via 192.168.1.1 dev eth0 proto static",
        "192.168.1.1 dev eth0 lladdr 02:",
        "forwarding table of lan",
        "(node red)",
        "table inet netlab {",
        "type nat hook postrouting priority 100; policy accept;",
        "oifname \"eth1\" meta nfproto ipv4 ip saddr 192.168.1.0/24 counter packets 1 bytes 84 masquerade",
        "fib daddr type local meta l4proto tcp tcp dport 8080 counter packets 0 bytes 0 dnat ip to 192.168.1.11:80",
    ] {
        assert!(text.contains(line), "`{line}` is missing:\n{text}");
    }
    let switch = dump.nodes.last().expect("there are namespaces");
    assert_eq!((switch.name.as_str(), switch.fdb.len()), ("switch", 2));
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan; node b lan")]
async fn futures_closures_and_sockets_are_the_nodes(a: Node, b: Node) -> netlab::Result {
    // A task's sockets, and those of the blocking calls that it makes, are of its node.
    let b_addr = b.addr();
    let listener = b.tcp_listener("0.0.0.0:80").await?;
    let near =
        a.spawn(async move { tokio::net::TcpStream::connect((b_addr, 80)).await?.local_addr() }).await??;
    assert_eq!(near.ip(), a.addr());
    assert_eq!(listener.accept().await?.1, near);
    let blocking = a.spawn(async move {
        tokio::task::spawn_blocking(move || TcpStream::connect((b_addr, 80))?.local_addr()).await?
    });
    assert_eq!(blocking.await??.ip(), a.addr());

    // A closure may borrow, and gives back what it returns.
    let words = ["borrowed".to_owned()];
    let socket = b.enter(|| {
        assert_eq!(words[0], "borrowed");
        UdpSocket::bind((b_addr, 9))
    })?;
    assert_eq!(socket.local_addr()?.ip(), b.addr());
    // Positive control: nobody else could have bound that address.
    assert!(UdpSocket::bind((b_addr, 9)).is_err());

    // A socket made in a node works on any runtime, here that of the other node.
    let udp = b.udp_socket((b_addr, 53)).await?;
    let heard = a.spawn(async move {
        let mut buffer = [0; 8];
        udp.recv_from(&mut buffer).await.map(|(length, from)| (buffer[..length].to_vec(), from))
    });
    a.udp_socket((Ipv4Addr::UNSPECIFIED, 0)).await?.send_to(b"x", (b_addr, 53)).await?;
    let (heard, from) = heard.await??;
    assert_eq!((&heard[..], from.ip()), (&b"x"[..], a.addr()));

    // Panics arrive where they belong.
    assert!(a.spawn(async { panic!("in a task") }).await.unwrap_err().is_panic());
    let caught =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| a.enter(|| panic!("in a closure"))));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"in a closure"));
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24; node a lan; node web[2] lan")]
async fn a_program_sees_its_node(a: Node, web: [Node; 2]) -> netlab::Result {
    let script = "uname -n; ls /sys/class/net; grep -o 'eth0' /proc/net/dev; grep web2 /etc/hosts; pwd";
    let output = web[0].command("sh").arg("-c").arg(script).output().await?;
    let text = String::from_utf8(output.stdout)?;
    let lines: Vec<_> = text.lines().collect();
    let here = std::env::current_dir()?;
    let expected = ["web1", "eth0", "lo", "eth0", "10.0.0.3 web2 web2.lan", here.to_str().unwrap()];
    assert_eq!(lines, expected, "{}", String::from_utf8_lossy(&output.stderr));
    // The same without a runtime, and in a closure and a task of the node.
    let output = a.command("uname").arg("-n").output_blocking()?;
    assert_eq!(output.stdout, b"a\n");
    assert!(a.command("true").status_blocking()?.success());
    assert_eq!(a.command("sh").args(["-c", "exit 3"]).status().await?.code(), Some(3));
    let listed = a.enter(|| std::fs::read_dir("/sys/class/net").map(Iterator::count))?;
    assert_eq!(listed, 2);
    let name = a.spawn(async { std::fs::read_to_string("/proc/sys/kernel/hostname") }).await??;
    assert_eq!(name, "a\n");
    let error = a.command("/no-such-program").arg("-x").output().await.unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "node `a`: `/no-such-program -x`: no such file or directory (os error 2)"
    );
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node a lan; node b lan")]
async fn names_resolve_for_handles_and_in_process_resolvers(a: Node, b: Node) -> netlab::Result {
    for name in ["b", "b.lan"] {
        a.ping(name).await?;
        let found = a.enter(|| {
            use std::net::ToSocketAddrs;
            (name, 80).to_socket_addrs().map(Iterator::collect::<Vec<_>>)
        })?;
        assert!(found.iter().any(|addr| addr.ip() == b.addr()), "{name}: {found:?}");
    }
    let listener = b.tcp_listener("[::]:80").await?;
    drop(a.tcp_connect("b:80").await?);
    drop(a.tcp_connect((&b, 80)).await?);
    listener.accept().await?;
    let error = a.tcp_connect("nobody:80").await.unwrap_err();
    assert_ne!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{error}");
    Ok(())
}

/// A node's name is that of its first address in each family, and each of its addresses has the name of its net behind: for all, itself
/// and the host among them, also on nets where it is not.
#[netlab::test(topology = "
    net lan 10.0.0.0/24 fd00::/64
    net wan 10.1.0.0/24 fd01::/64
    node a lan
    node web[2] wan
    router host lan wan
")]
fn every_node_resolves_every_node(lab: Lab) -> netlab::Result {
    use std::net::{IpAddr, ToSocketAddrs};
    let look_up = |from: &Node, name: &str| {
        let mut found: Vec<_> = from.enter(|| (name, 80).to_socket_addrs())?.map(|addr| addr.ip()).collect();
        found.sort();
        found.dedup();
        Ok::<_, std::io::Error>(found)
    };
    assert_eq!(lab.nodes().len(), 4);
    for from in lab.nodes() {
        for to in lab.nodes() {
            let by = format!("{} of {}", from.name(), to.name());
            assert_eq!(look_up(&from, to.name())?, [IpAddr::from(to.addr4()), to.addr6().into()], "{by}");
            for net in lab.nets().into_iter().filter(|net| to.addr_on(net).is_ok()) {
                let on_net = |addr: &IpAddr| net.subnets().iter().any(|subnet| subnet.contains(addr));
                let mut addrs: Vec<_> = to.addrs().into_iter().filter(on_net).collect();
                addrs.sort();
                assert_eq!(addrs.len(), 2);
                assert_eq!(
                    look_up(&from, &format!("{}.{}", to.name(), net.name()))?,
                    addrs,
                    "{by} on {net:?}"
                );
            }
        }
    }
    Ok(())
}

/// Programs end with their handles, and a program that outlives its parent's thread is not left to itself.
#[netlab::test(topology = "node a")]
async fn dropping_a_running_program_ends_it(a: Node) -> netlab::Result {
    let child = a.command("sleep").arg("1000").spawn()?;
    let pid = child.id().expect("it runs");
    let status = format!("/proc/{pid}/status");
    assert!(std::fs::read_to_string(&status).is_ok());
    drop(child);
    // Killed at once; reaped by the runtime when it next looks.
    while std::fs::read_to_string(&status).is_ok_and(|text| !text.contains("State:\tZ")) {
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Trap: transmit checksum offload leaves checksums undone for raw sockets, XDP and captures.
#[netlab::test(topology = "net lan 10.0.0.0/24; node plain lan(offload=off); node fast[2] lan")]
async fn offload_can_be_off(plain: Node, fast: [Node; 2]) -> netlab::Result {
    use std::io::Read as _;
    // A raw packet socket sees the segment as it was sent: with offload its checksum covers the pseudo header only.
    let complete = async |from: &Node, to: &Node| -> netlab::Result<bool> {
        let (mut tap, listener) = (raw_socket(to)?, to.tcp_listener("0.0.0.0:80").await?);
        let _stream = from.tcp_connect((to, 80)).await?;
        listener.accept().await?;
        let mut packet = [0; 2048];
        loop {
            let length = tap.read(&mut packet)?;
            let packet = &packet[..length];
            if packet.len() >= 40 && packet[9] == 6 && packet[22..24] == 80_u16.to_be_bytes() {
                return Ok(tcp_checksum_is_right(packet));
            }
        }
    };
    assert!(complete(&plain, &fast[0]).await?);
    assert!(!complete(&fast[0], &fast[1]).await?, "the control has offload, and its checksum is undone");
    Ok(())
}

/// A socket that hears every TCP segment that arrives in a node, IP header first.
fn raw_socket(node: &Node) -> netlab::Result<std::fs::File> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
    let socket =
        node.enter(|| socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Tcp))?;
    Ok(socket.into())
}

fn tcp_checksum_is_right(packet: &[u8]) -> bool {
    let header = usize::from(packet[0] & 15) * 4;
    let segment = &packet[header..usize::from(u16::from_be_bytes([packet[2], packet[3]]))];
    let words = |bytes: &[u8]| -> u32 {
        let pairs = bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        pairs.map(u32::from).sum()
    };
    let sum = words(&packet[12..20]) + 6 + segment.len() as u32 + words(segment);
    let folded = (sum & 0xffff) + (sum >> 16);
    (folded & 0xffff) + (folded >> 16) == 0xffff
}

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node a lan; node b lan")]
async fn sockets_are_read_back_with_state_and_peers(a: Node, b: Node) -> netlab::Result {
    use netlab::inspect::{Protocol, SocketState};
    assert!(b.sockets()?.is_empty());
    for (listen, to) in [("0.0.0.0:80", b.addr4().into()), ("[::]:81", IpAddr::from(b.addr6()))] {
        let listener = b.tcp_listener(listen).await?;
        let port = listener.local_addr()?.port();
        let client = a.tcp_connect((to, port)).await?;
        let sockets = b.sockets()?;
        let listening: Vec<_> = sockets.iter().filter(|socket| socket.listens()).collect();
        assert_eq!(listening.len(), 1, "{sockets:?}");
        assert_eq!((listening[0].local, listening[0].remote), (listen.parse()?, None));
        // The connection is in the kernel's queue as long as nobody accepts it.
        assert_eq!((listening[0].receive_queue, listening[0].state), (1, SocketState::Listen));
        let accepted = listener.accept().await?.0;
        let sockets = b.sockets()?;
        let open =
            sockets.iter().find(|socket| socket.state == SocketState::Established).expect("a connection");
        assert_eq!((open.local, open.remote), (accepted.local_addr()?, Some(client.local_addr()?)));
        assert!(a.sockets()?.iter().any(|socket| Some(socket.local) == open.remote && !socket.listens()));
        // Closed by a reset, it leaves nothing behind.
        accepted.set_zero_linger()?;
        client.set_zero_linger()?;
    }
    let udp = b.udp_socket("0.0.0.0:53").await?;
    let sockets = b.sockets()?;
    let bound = sockets.iter().find(|socket| socket.protocol == Protocol::Udp).expect("a UDP socket");
    assert_eq!((bound.local, bound.listens()), (udp.local_addr()?, true));
    assert_eq!(bound.to_string(), "udp UNCONN 0 0 0.0.0.0:53 *");
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node a lan; node b lan")]
async fn addresses_are_added_while_the_lab_lives(a: Node, b: Node) -> netlab::Result {
    use netlab::inspect::IpNet;
    let (alone, b_v6): (IpAddr, IpAddr) = ("10.0.0.81".parse()?, "fd00::80".parse()?);
    b.add_address("eth0", "10.0.0.80/24".parse::<IpNet>()?)?;
    b.add_address("eth0", b_v6)?;
    b.add_address("lo", alone)?;
    for addr in ["10.0.0.80", "fd00::80", "10.0.0.81"] {
        a.ping(addr).await?;
    }
    let addrs = b.iface("lo")?.addrs;
    assert!(addrs.contains(&"10.0.0.81/32".parse()?), "{addrs:?}");

    let twice = b.add_address("lo", alone).unwrap_err();
    assert!(
        format!("{twice:#}")
            .ends_with("node `b`: `ip addr add 10.0.0.81/32 dev lo`: file exists (os error 17)"),
        "{twice:#}"
    );
    let nowhere = b.add_address("eth9", alone).unwrap_err();
    assert!(nowhere.to_string().contains("interfaces there: lo, eth0"), "{nowhere}");
    Ok(())
}

#[netlab::test(topology = "net lan 10.0.0.0/24 fd00::/64; node a lan; node b lan")]
async fn neighbours_are_forgotten_and_found_again(a: Node, b: Node) -> netlab::Result {
    let knows = || -> netlab::Result<usize> {
        let neighbours = a.neighbours()?;
        Ok(neighbours.iter().filter(|neighbour| b.addrs().contains(&neighbour.addr)).count())
    };
    for _ in 0..2 {
        for addr in b.addrs() {
            a.ping(addr).await?;
        }
        assert_eq!(knows()?, 2, "{:?}", a.neighbours()?);
        a.forget_neighbours()?;
        assert_eq!(knows()?, 0, "{:?}", a.neighbours()?);
    }
    Ok(())
}
