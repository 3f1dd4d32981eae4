#!/usr/bin/env bash
# Puts what only the console's tests need into .servers/console/: axe-core, which looks at pages as people with screen
# readers meet them, and promtool, which reads metrics as Prometheus does. Neither is installed, started or shipped.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

axe=4.14.1
axe_sha256=e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745
to=.servers/console
mkdir -p "$to"

# A folder for what is fetched, in $work; gone when this ends.
trap 'rm -rf "$to"/fetch.*' EXIT
fetch() { work=$(mktemp -d "$to/fetch.XXXXXX"); }

if [ ! -f "$to/axe.min.js" ]; then
    fetch
    if command -v npm >/dev/null; then
        (cd "$work" && npm pack --silent "axe-core@$axe" >/dev/null) || die "npm could not fetch axe-core"
    else
        curl -fsSL --retry 5 -o "$work/axe-core-$axe.tgz" "https://registry.npmjs.org/axe-core/-/axe-core-$axe.tgz" ||
            die "curl could not fetch axe-core"
    fi
    echo "$axe_sha256  $work/axe-core-$axe.tgz" | sha256sum --check --quiet || die "axe-core is not what it should be"
    tar -xzf "$work/axe-core-$axe.tgz" -C "$work" package/axe.min.js
    mv "$work/package/axe.min.js" "$to/axe.min.js"
fi

# Debian's package would start a service, so it is only unpacked. Without it metrics and rules are checked less.
if [ ! -x "$to/promtool" ] && ! command -v promtool >/dev/null && is_debian; then
    fetch
    if (cd "$work" && apt-get -qq download prometheus 2>/dev/null && dpkg -x prometheus_*.deb .); then
        mv "$work/usr/bin/promtool" "$to/promtool"
    else
        echo "modq: promtool could not be fetched; the console's metrics are checked without it" >&2
    fi
fi
