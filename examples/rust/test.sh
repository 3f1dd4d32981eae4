#!/usr/bin/env bash
# Form, lints and tests of the Rust example, and what its programs say, on a server of its own. Needs Rust, the servers of
# scripts/servers.sh, and the module: `cargo build --release --lib`, or MODQ_SO=/path/libmodq.so.
set -euo pipefail
cd "$(dirname "$0")"
module=${MODQ_SO:-$(realpath -m "${CARGO_TARGET_DIR:-../../target}/release/libmodq.so")}
[ -f "$module" ] || { echo "modq: $module is not there; run: cargo build --release --lib" >&2; exit 1; }
home=$(realpath ../../.servers/redis-8.2)

dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$dir"' EXIT
# A socket in a folder of its own: no port is to be free.
LD_LIBRARY_PATH=$home/lib "$home/bin/server" --port 0 --unixsocket "$dir/socket" --dir "$dir" --save '' \
    --loadmodule "$module" >"$dir/log" 2>&1 &
server=$!
ask() { redis-cli -s "$dir/socket" "$@"; }
for _ in $(seq 600); do
    ask ping 2>/dev/null | grep -q PONG && break
    kill -0 "$server" 2>/dev/null || { cat "$dir/log"; exit 1; }
    sleep 0.1
done
export REDIS_URL=redis+unix://$dir/socket

cargo fmt --check
cargo clippy --locked --quiet --all-targets -- -D warnings
cargo test --locked --quiet

# What a program says, line by line; what follows is its name and arguments.
says() {
    diff <(cargo run --locked --quiet --bin "${@:2}") <(echo "$1") || { echo "examples/rust: $2 says something else" >&2; exit 1; }
}
ask MODQ.SUBMIT review post:1 'Buy NOW' >/dev/null
ask MODQ.SUBMIT review post:2 'good morning' >/dev/null
UNTIL_EMPTY=1 says 'post:1: Resolve { verdict: "remove", decision: "says \"buy now\"" }: Settled("OK")
post:2: Resolve { verdict: "keep", decision: "nothing found" }: Settled("OK")' worker review
export DEADLINE_MS=60000
says 'allowed, 2 left
allowed, 1 left
allowed, 0 left' limiter user:1 3
# How long a fourth has to wait depends on how long the first three took.
limited=$(cargo run --locked --quiet --bin limiter user:2 4 | tail -1)
[[ $limited =~ ^limited\ for\ ([1-9]|[1-5][0-9]|60)\ s$ ]] || { echo "examples/rust: limiter says $limited" >&2; exit 1; }
echo "examples/rust: all is well"
