#!/usr/bin/env bash
# Puts what only the console's tests need into .servers/console/: axe-core, which looks at pages as people with screen
# readers meet them, and promtool, which reads metrics as Prometheus does. Neither is installed, started or shipped.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

axe=4.14.1
axe_sha256=e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745
# What Debian 12 has on x86_64; promtool is its usr/bin/promtool.
prometheus=prometheus=2.42.0+ds-5+deb12u1
prometheus_sha256=81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55
to=$(realpath -m "${MODQ_CONSOLE_TOOLS:-.servers/console}")
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

# Debian's package would start a service, so it is only unpacked. Where it cannot be had the tests say what they leave out.
fetch_promtool() {
    fetch
    (
        cd "$work"
        apt-get download -qq "$prometheus" 2>/dev/null || { apt-get update -qq && apt-get download -qq "$prometheus"; } || exit 1
        echo "$prometheus_sha256" prometheus_*.deb | sha256sum --check --quiet || exit 1
        dpkg-deb -x prometheus_*.deb .
    ) && mv "$work/usr/bin/promtool" "$to/promtool"
}
if [ ! -x "$to/promtool" ] && ! command -v promtool >/dev/null; then
    if ! is_debian || ! fetch_promtool; then
        echo "modq: promtool could not be had as $prometheus; the console's figures and alert rules are checked without it" >&2
    fi
fi
