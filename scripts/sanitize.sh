#!/usr/bin/env bash
# Looks for misuse of memory, where it could be: the core's tests under AddressSanitizer (its dependencies have unsafe
# code), and integration tests of Redis 7.0 with the module under valgrind (so has src/server). Takes some ten minutes.
#   scripts/sanitize.sh [core|module]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

core() {
    echo "== the core's tests under AddressSanitizer"
    # The switch is for nightly compilers; this variable lets a stable one have it too. Tests that count what is
    # allocated have an allocator of their own, and are left out.
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" PROPTEST_CASES="${PROPTEST_CASES:-64}" \
        cargo test -p modq-core --lib --test hostile --target "$host" --target-dir "${CARGO_TARGET_DIR:-target}/asan"
}

module() {
    echo "== integration tests with the server under valgrind"
    command -v valgrind >/dev/null || die "missing: valgrind (on Debian: apt-get install valgrind)"
    cargo build --release --lib
    local logs tests
    logs=$(mktemp -d)
    # Of each kind of thing the module does with memory: keys, replies, files, replication, blocked clients, limits.
    tests=(modq_claims modq_moderators modq_persistence modq_producers modq_supervisors modq_waiting ratelimit_commands
        ratelimit_leases ratelimit_policies ratelimit_saved)
    # Debian's server takes memory from a shared jemalloc: this makes it valgrind's. Stacks are needed to tell whose it is.
    export MODQ_WRAP="valgrind --quiet --soname-synonyms=somalloc=*jemalloc* --num-callers=40 --suppressions=$PWD/scripts/valgrind.supp --log-file=$logs/%p"
    local status=0
    cargo test --test integration -- --test-threads 2 "${tests[@]/%/::redis_7_0}" || status=$?
    unset MODQ_WRAP
    local files found
    files=$(find "$logs" -type f | wc -l)
    [ "$files" -gt 50 ] || die "only $files servers ran under valgrind"
    # A report is a block of lines; one that names the module is ours.
    found=$(awk -v RS='' '/libmodq/' "$logs"/*)
    if [ -n "$found" ]; then
        echo "$found" | head -100
        die "valgrind found something of ours; logs are in $logs"
    fi
    rm -rf "$logs"
    [ "$status" -eq 0 ] || die "tests failed under valgrind"
    echo "valgrind: $files servers, nothing of ours"
}

case "${1:-all}" in
core | module) "$1" ;;
all)
    core
    module
    ;;
*) die "unknown part: $1" ;;
esac
