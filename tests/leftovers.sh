#!/usr/bin/env bash
# Shows that a run leaves nothing on the machine, however it ends: tests that pass, fail, panic, abort, exit or
# time out, and a run that is interrupted by Ctrl-C or killed. Compares the machine before and after each.
# Run it as root or as an ordinary user, on a machine where nothing else changes the network meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --package netlab-outcomes
binary=${CARGO_TARGET_DIR:-target}/debug/netlab-outcomes
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset NETLAB_STRICT CI

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
    passed=$((passed + 1))
}

# Starts the run of the test that waits, as a job with its own process group, and returns when the test says so.
start_waiting() {
    mkfifo "$scratch/said-$1"
    set -m
    NETLAB_LEFTOVERS_MARK=$mark "$binary" --exact waits --nocapture >"$scratch/said-$1" 2>&1 &
    runner=$!
    set +m
    exec 3<"$scratch/said-$1"
    local line
    while read -r -t 20 line <&3; do
        if [[ $line == *waiting* ]]; then
            machine >"$scratch/during"
            if ! grep -q 'sleep 600' "$scratch/during"; then
                echo "FAILED: the check does not see the daemon of a running test"
                exit 1
            fi
            return
        fi
    done
    echo "FAILED: the test did not start"
    exit 1
}

end_waiting() {
    wait "$runner" 2>/dev/null || true
    exec 3<&-
}

passed=0
machine >"$scratch/before"

for test in passes fails panics aborts exits times_out; do
    status=0
    NETLAB_LEFTOVERS_MARK=$mark "$binary" --exact "$test" >"$scratch/log" 2>&1 || status=$?
    expected=101
    [[ $test == passes ]] && expected=0
    if ((status != expected)); then
        echo "FAILED: a test that $test ended with status $status, not $expected"
        cat "$scratch/log"
        exit 1
    fi
    check "a test that $test"
done

start_waiting interrupted
kill -INT -- "-$runner"
end_waiting
check "a run interrupted by Ctrl-C"

start_waiting terminated
kill -TERM "$runner"
end_waiting
check "a run ended by SIGTERM"

start_waiting killed
kill -KILL "$runner"
end_waiting
check "a run killed by SIGKILL"

echo "$passed passed, 0 failed"
