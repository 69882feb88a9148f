#!/usr/bin/env bash
# Runs a program with less than root has, in one of three ways (docs/ci.md):
#   root      as root in a container with CAP_SYS_ADMIN and CAP_NET_ADMIN added (`--cap-add`)
#   user      as an ordinary user in a container: there no lab can run
#   ambient   as an ordinary user with five capabilities, by `setpriv`
# The container is what Docker leaves of capabilities, /proc and /sys, without Docker.
# Usage, as root: tests/confined.sh root|user|ambient PROGRAM [ARGUMENT...]
# As a runner of cargo's: CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$PWD/tests/confined.sh root" cargo test
set -euo pipefail

who=$1
shift
program=$(realpath "$1")
shift
# Docker's own (moby/profiles, `DefaultCapabilities`).
capabilities=+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw
capabilities+=,+sys_chroot,+mknod,+audit_write,+setfcap
nobody=(--reuid 65534 --regid 65534 --clear-groups)
five=+sys_admin,+net_admin,+sys_chroot,+net_raw,+net_bind_service
container=1
case $who in
root) as=(--bounding-set="-all,$capabilities,+sys_admin,+net_admin") ;;
user) as=(--bounding-set="-all,$capabilities" "${nobody[@]}") ;;
ambient) container=0 as=("${nobody[@]}" --inh-caps="$five" --ambient-caps="$five") ;;
*)
    echo "usage: $0 root|user|ambient PROGRAM [ARGUMENT...]" >&2
    exit 2
    ;;
esac
export program container

separate=(--mount --propagation private)
((!container)) || separate+=(--pid --fork --net)
# shellcheck disable=SC2016 # the inner shell expands these
exec unshare "${separate[@]}" bash -euo pipefail -c '
    # The binary may lie where only root may look.
    mount -t tmpfs -o mode=755 none /mnt
    touch /mnt/program
    mount --bind "$program" /mnt/program
    cd /mnt
    if ((container)); then
        mount -t proc proc /proc
        for path in /proc/bus /proc/fs /proc/irq /proc/sys /sys; do
            mount --bind "$path" "$path"
            mount -o remount,bind,ro "$path"
        done
        for path in /proc/kcore /proc/keys /proc/timer_list; do
            [[ ! -e $path ]] || mount --bind /dev/null "$path"
        done
    fi
    as=()
    while [[ $1 != -- ]]; do as+=("$1"); shift; done
    shift
    exec setpriv "${as[@]}" /mnt/program "$@"
' bash "${as[@]}" -- "$@"
