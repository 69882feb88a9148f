#!/usr/bin/env bash
# The matrix of tests/teardown.rs runs in scratch machines. This looks at the real one, from outside and with other eyes (ip, ps, find): a run
# leaves nothing on it, whether it ends by itself, by Ctrl-C or by SIGKILL. Run it as root or as an ordinary user, on a machine where
# nothing else changes the network meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset NETLAB_STRICT CI
export NETLAB_OUTCOMES=$scratch RUST_BACKTRACE=0
cargo test --quiet --no-run --package netlab-outcomes --test own
binary=$(cargo test --no-run --package netlab-outcomes --test own 2>&1 | sed -n 's/.*Executable.*(\(.*\))$/\1/p')

# Every process of a run inherits this mark, daemons that left their session and their parents included.
mark="leftovers-$$-$RANDOM"

# What netlab could leave. Processes, and the namespaces they hold, are found by the mark.
machine() {
    echo "-- ip netns list"; ip netns list
    echo "-- ip link"; ip -o link | sed 's/ qlen.*//'
    echo "-- ip addr"; ip -o addr | sed 's/ valid_lft.*//'
    echo "-- ip route"; ip route; ip -6 route
    echo "-- ip_forward"; cat /proc/sys/net/ipv4/ip_forward
    echo "-- mounts"; cut -d' ' -f3- /proc/self/mountinfo
    echo "-- ps"
    # Not `grep -q`: it would leave before `tr` has ended, which fails the pipeline, and the process would go unseen.
    for process in /proc/[0-9]*; do
        if tr '\0' '\n' 2>/dev/null <"$process/environ" | grep -x "NETLAB_LEFTOVERS_MARK=$mark" >/dev/null; then
            echo "${process#/proc/} $(tr '\0' ' ' <"$process/cmdline")"
        fi
    done 2>/dev/null
    echo "-- temporary files"
    # Folders that cannot be read are others'.
    find /tmp /var/tmp /run /dev/shm -maxdepth 2 -path "$scratch" -prune -o -iname '*netlab*' -print 2>/dev/null | sort || true
}

# Waits until the machine is as it was, for at most ten seconds: the kernel may still be at work on a killed run.
check() {
    local what=$1 deadline=$((SECONDS + 10))
    until machine >"$scratch/after" && cmp --silent "$scratch/before" "$scratch/after"; do
        if ((SECONDS >= deadline)); then
            echo "FAILED: $what leaves something behind:"
            diff "$scratch/before" "$scratch/after" || true
            exit 1
        fi
    done
    echo "ok: $what leaves nothing"
}

# Starts the run of the test that waits, as a job with its own process group, and returns when the test says so.
start_waiting() {
    rm -f "$scratch/ready" "$scratch/go"
    mkfifo "$scratch/ready" "$scratch/go"
    set -m
    NETLAB_LEFTOVERS_MARK=$mark "$binary" --exact outcomes::isolated::waits >"$scratch/log" 2>&1 &
    runner=$!
    set +m
    exec 3<>"$scratch/ready"
    if ! read -r -t 20 -n 1 <&3; then
        echo "FAILED: the test did not start"
        cat "$scratch/log"
        exit 1
    fi
    machine >"$scratch/during"
    if ! grep -q 'sleep 600' "$scratch/during"; then
        echo "FAILED: the check does not see the daemon of a running test"
        exit 1
    fi
}

end_waiting() {
    wait "$runner" 2>/dev/null || true
    exec 3<&-
}

machine >"$scratch/before"

for test in returns panics aborts times_out_in_async_code; do
    status=0
    NETLAB_LEFTOVERS_MARK=$mark "$binary" --exact "outcomes::isolated::$test" >"$scratch/log" 2>&1 || status=$?
    expected=101
    [[ $test == returns ]] && expected=0
    if ((status != expected)); then
        echo "FAILED: \`$test\` ended with status $status, not $expected"
        cat "$scratch/log"
        exit 1
    fi
    check "\`$test\`"
done

start_waiting
kill -INT -- "-$runner"
end_waiting
check "a run interrupted by Ctrl-C"

start_waiting
kill -KILL "$runner"
end_waiting
check "a run killed by SIGKILL"
