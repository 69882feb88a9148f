#!/bin/sh
# Scenario A as people set it up by hand: two namespaces behind a bridge in the host, an outside world, a
# default route, forwarding and masquerading. `by_hand.sh up` builds it, `by_hand.sh down` removes it.
#
# Run it only in a scratch network and mount namespace, where the host's own network is nobody's:
#
#     unshare --map-root-user --net --mount sh -c 'mount -t tmpfs tmpfs /run && benches/by_hand.sh up && ip -n ns1 route'
#
# Needs iproute2, and nftables or iptables.
set -eu

up() {
    ip link set lo up
    ip link add br1 type bridge
    ip addr add 192.168.1.10/24 broadcast 192.168.1.255 dev br1
    ip link set br1 up
    for n in 1 2; do
        ip netns add "ns$n"
        ip link add "veth$n" type veth peer name "br-veth$n"
        ip link set "veth$n" netns "ns$n"
        ip link set "br-veth$n" master br1
        ip link set "br-veth$n" up
        ip -n "ns$n" addr add "192.168.1.1$n/24" dev "veth$n"
        ip -n "ns$n" link set lo up
        ip -n "ns$n" link set "veth$n" up
        ip -n "ns$n" route add default via 192.168.1.10
    done
    ip netns add internet
    ip link add wan type veth peer name eth0 netns internet
    ip addr add 203.0.113.1/24 dev wan
    ip link set wan up
    ip -n internet addr add 203.0.113.2/24 dev eth0
    ip -n internet addr add 8.8.8.8/32 dev lo
    ip -n internet link set lo up
    ip -n internet link set eth0 up
    echo 1 >/proc/sys/net/ipv4/ip_forward
    if command -v iptables >/dev/null; then
        iptables -t nat -A POSTROUTING -s 192.168.1.0/24 -o wan -j MASQUERADE
    else
        nft add table ip nat
        nft add chain ip nat postrouting '{ type nat hook postrouting priority 100; }'
        nft add rule ip nat postrouting ip saddr 192.168.1.0/24 oifname wan masquerade
    fi
}

down() {
    if command -v iptables >/dev/null; then
        iptables -t nat -D POSTROUTING -s 192.168.1.0/24 -o wan -j MASQUERADE
    else
        nft delete table ip nat
    fi
    ip netns del internet
    for n in 1 2; do
        ip netns del "ns$n"
    done
    ip link del br1
}

"$@"
