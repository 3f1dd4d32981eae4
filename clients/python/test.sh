#!/usr/bin/env bash
# Everything about the Python library: format, lints, types, the package, and all tests, on the oldest, a middle and the
# newest redis-py. Needs python3 (3.10 or later) with pip, the servers of scripts/servers.sh, and the module:
# `cargo build --release --lib`, or MODQ_SO=/path/libmodq.so. What comes from PyPI goes to .venvs/ here.
#   ./test.sh            all of it
#   ./test.sh -k sharded what pytest is to run, on the newest redis-py only
set -euo pipefail
cd "$(dirname "$0")"
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
target=${CARGO_TARGET_DIR:-../../target}
export MODQ_SO=${MODQ_SO:-$(realpath -m "$target/release/libmodq.so")}
[ -f "$MODQ_SO" ] || { echo "modq: $MODQ_SO is not there; run: cargo build --release --lib" >&2; exit 1; }

# venv <version of redis-py> [more requirements]: makes .venvs/<version>, once for each set of requirements. pip is the
# system's, so Debian's python3-venv is not needed.
venv() {
    local dir=.venvs/$1 stamp
    stamp=$(cat test.sh requirements/*.txt <(python3 --version) | sha256sum)
    [ "$(cat "$dir/stamp" 2>/dev/null)" = "$stamp" ] && return 0
    echo "Installing redis-py $1 and what the tests need into clients/python/$dir"
    rm -rf "$dir" && mkdir -p .venvs
    python3 -m venv --without-pip "$dir"
    python3 -m pip --python "$dir/bin/python" install --quiet --retries 5 "redis==$1" -r requirements/test.txt "${@:2}"
    echo "$stamp" >"$dir/stamp"
}
oldest=5.0.1 middle=6.4.0 newest=8.1.0
venv "$newest" -r requirements/newest.txt
py=.venvs/$newest/bin/python
if (($#)); then exec "$py" -m pytest -q -p no:cacheprovider "$@"; fi
venv "$oldest"
venv "$middle"

"$py" -m ruff format --config pyproject.toml --no-cache --check --quiet . ../../examples
"$py" -m ruff check --config pyproject.toml --no-cache --quiet . ../../examples
"$py" scripts/sync.py --check
"$py" scripts/reference.py --check
"$py" -m mypy --no-error-summary

# The older versions run at the same time, on fewer servers; what differs between servers is the newest one's to find.
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
run() { MODQ_KINDS=$2 ".venvs/$1/bin/python" -m pytest -q -p no:cacheprovider "${@:3}"; }
(run "$oldest" redis-7.0,valkey-9.1 && run "$middle" redis-8.2) >"$logs/older" 2>&1 & older=$!
failed=0
echo "redis-py $newest:"
run "$newest" redis-7.0,redis-8.2,valkey-9.1,stack-7.4 || failed=1
wait $older || failed=1
echo "redis-py $oldest and $middle:"
cat "$logs/older"
exit $failed
