#!/usr/bin/env bash
# Runs a test binary under Debian's stock kernel in qemu, which has as modules what the kernel here may lack: IPVS, netem, VLAN,
# VRF, WireGuard, dummy, IPIP. The machine has the binary with its libraries, busybox and the modules; no disk and no network card.
# Its processors are emulated (about ten times slower): for correctness, not for figures.
# Usage: tests/vm.sh [--user] PROGRAM [ARGUMENT...]       --user: as uid 1000 without capabilities, else as root
# As a runner of cargo's: CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$PWD/tests/vm.sh" cargo test --test lb -- ipvs
# The exit status is the program's; variables NETLAB_* reach it. Needs Debian on amd64 with qemu-system-x86 and binutils; kernel and
# busybox are downloaded by apt into VM_CACHE (target/vm), once. After VM_SECONDS (900) the machine is ended.
set -euo pipefail

as=root
if [[ ${1-} == --user ]]; then
    as=user
    shift
fi
(($#)) || { sed -n 's/^# Usage: /usage: /p' "$0" >&2; exit 2; }
program=$(realpath "$1")
shift
for tool in qemu-system-x86_64 objcopy apt-get dpkg-deb ldd; do
    command -v "$tool" >/dev/null || { echo "$0: no \`$tool\`: apt-get install qemu-system-x86 binutils" >&2; exit 2; }
done
cache=${VM_CACHE:-$(dirname "$0")/../target/vm}
mkdir -p "$cache"
cache=$(realpath "$cache")
# Several test binaries may be run at once, as by cargo-nextest.
exec {lock}>"$cache/lock"
flock "$lock"

# An archive as the kernel unpacks it, of all that is in a folder.
pack() { (cd "$1" && find . | "$cache/debian/bin/busybox" cpio --quiet -o -H newc) >"$2"; }

if [[ ! -d $cache/debian ]]; then
    rm -rf "$cache/new"
    mkdir "$cache/new"
    kernel=$(apt-cache depends --important linux-image-amd64 | sed -n 's/^ *Depends: //p' | head -n 1)
    : "${kernel:?apt knows no linux-image-amd64: apt-get update}"
    (cd "$cache/new" && apt-get -o APT::Sandbox::User=root download -qq "$kernel" busybox-static)
    for package in "$cache"/new/*.deb; do dpkg-deb --extract "$package" "$cache/new"; done
    mv "$cache/new" "$cache/debian"
fi
kernel=$(echo "$cache"/debian/boot/vmlinuz-*)

if [[ ! $cache/base.cpio -nt $0 ]]; then
    rm -rf "$cache/base"
    mkdir "$cache/base"
    # Of the modules, those of networks without hardware; the kernel loads what is asked for itself, by /sbin/modprobe.
    version=${kernel##*/vmlinuz-}
    modules=lib/modules/$version
    (cd "$cache/debian" && cp --parents -r "$modules"/modules.{order,builtin,builtin.modinfo} \
        "$modules"/kernel/{net,lib,crypto,arch/x86/crypto} \
        "$modules"/kernel/drivers/net/{veth,dummy,ifb,macvlan,macvtap,tap,tun,vrf,geneve,bonding,vxlan,wireguard,ipvlan,team}* \
        "$cache/base")
    cd "$cache/base"
    rm -rf "$modules"/kernel/net/{9p,bluetooth,can,ceph,mac80211,nfc,rds,sunrpc,tipc,wireless}
    "$cache/debian/bin/busybox" depmod -b . "$version"
    mkdir -p bin sbin usr/bin usr/sbin dev proc sys tmp root home/user etc run var srv
    cp "$cache/debian/bin/busybox" bin
    for applet in $(bin/busybox --list); do [[ $applet == busybox ]] || ln -s busybox "bin/$applet"; done
    ln -s ../bin/busybox sbin/modprobe
    printf '%s\n' root:x:0:0::/root:/bin/sh user:x:1000:1000::/home/user:/bin/sh >etc/passwd
    printf '%s\n' root:x:0: user:x:1000: >etc/group
    printf '%s\n' 'hosts: files' >etc/nsswitch.conf
    echo "multi on" >etc/host.conf
    touch etc/hosts etc/resolv.conf
    cat >init <<'INIT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
ln -s /proc/self/fd /dev/fd
chown user:user /home/user
stty -F /dev/ttyS0 raw -echo
ip link set lo up
# Two sandboxes that ask for a module at once would find one of them without it: this modprobe does not wait for another.
modprobe -a bridge veth nf_tables nf_conntrack
{ su -s /bin/sh -c /run.sh "$(cat /as)" </dev/null; echo "$?" >/dev/ttyS1; } 2>&1 | cat >/dev/ttyS0
poweroff -f
INIT
    chmod +x init
    cd - >/dev/null
    pack "$cache/base" "$cache/base.cpio.new"
    mv "$cache/base.cpio.new" "$cache/base.cpio"
fi
flock --unlock "$lock"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root/program"
objcopy --strip-debug "$program" "$work/root/program/$(basename "$program")"
# Programs that tests start and busybox has less of.
mapfile -t tools < <(type -P ip nft)
{
    printf '%s\n' "${tools[@]}"
    ldd "$program" "${tools[@]}" | sed -n 's/.*[[:space:]]\(\/[^ ]*\) (.*/\1/p'
} | sort -u | xargs -I{} cp --parents -L {} "$work/root"
echo "$as" >"$work/root/as"
{
    echo '#!/bin/sh'
    echo "export PATH=/usr/sbin:/usr/bin:/sbin:/bin NETLAB_TIMEOUT_SCALE=${NETLAB_TIMEOUT_SCALE:-10}"
    for name in ${!NETLAB_@}; do printf 'export %s=%q\n' "$name" "${!name}"; done
    printf '%q ' exec "/program/$(basename "$program")" "$@"
} >"$work/root/run.sh"
chmod +x "$work/root/run.sh"
pack "$work/root" "$work/program.cpio"
cat "$cache/base.cpio" "$work/program.cpio" >"$work/initrd"

timeout "${VM_SECONDS:-900}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -nodefaults -display none \
    -no-reboot -serial stdio -serial "file:$work/status" -serial "file:$work/kernel" -kernel "$kernel" -initrd "$work/initrd" \
    -append "console=ttyS2 quiet loglevel=3 panic=-1 rdinit=/init" </dev/null ||
    echo "$0: qemu ended with status $? (124: after VM_SECONDS)" >&2
status=$(tr -dc 0-9 <"$work/status")
if [[ -z $status ]]; then
    echo "$0: the machine ended before the program; its kernel said:" >&2
    cat "$work/kernel" >&2
    exit 1
fi
exit "$status"
