#!/usr/bin/env bash
# Makes what is shipped, in dist/ or the folder given: the module without debug symbols, a Debian package with it and a
# commented configuration, and their SHA-256. Checks the Dockerfile, and builds it where there is docker.
#   scripts/dist.sh [--no-build] [folder]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

build=yes
[ "${1:-}" = --no-build ] && { build=no && shift; }
out=${1:-dist}
[ "$build" = no ] || cargo build --release --locked --lib

built=${MODQ_SO:-$(module_path)}
[ -f "$built" ] || die "no module at $built; run: make build"
for tool in strip readelf; do
    command -v $tool >/dev/null || die "missing: $tool (on Debian: apt-get install binutils)"
done
mkdir -p "$out"
rm -f "$out"/{libmodq.so,SHA256SUMS} "$out"/redis-modq_*.deb
out=$(realpath "$out")

module=$out/libmodq.so
strip --strip-unneeded -o "$module" "$built"
chmod 755 "$module" # Redis 7.4 and later want it executable
# The newest symbols it asks the C library for say how old that may be.
glibc=$(readelf --version-info --wide "$module" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
glibc=${glibc#GLIBC_}
echo "module: $(du -h "$module" | cut -f1), from $(du -h "$built" | cut -f1) with debug symbols; $(uname -m), glibc $glibc or later"

package() {
    local version architecture tree name
    version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
    architecture=$(dpkg --print-architecture)
    name=redis-modq_${version}_$architecture.deb
    tree=$(mktemp -d)
    trap 'rm -rf "$tree"' RETURN
    chmod 755 "$tree"
    install -D -m 755 "$module" "$tree/usr/lib/redis/modules/libmodq.so"
    install -D -m 644 packaging/modq.conf "$tree/etc/redis/modq.conf"
    install -D -m 644 LICENSE "$tree/usr/share/doc/redis-modq/copyright"
    gzip -9nc CHANGELOG.md >"$tree/usr/share/doc/redis-modq/changelog.gz"
    chmod 644 "$tree/usr/share/doc/redis-modq/changelog.gz"
    mkdir "$tree/DEBIAN"
    sed "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@GLIBC@/$glibc/" packaging/control >"$tree/DEBIAN/control"
    # A configuration that somebody changed is kept when the package is upgraded or removed.
    echo /etc/redis/modq.conf >"$tree/DEBIAN/conffiles"
    (cd "$tree" && find usr -type f -exec md5sum {} + | LC_ALL=C sort -k 2 >DEBIAN/md5sums)
    dpkg-deb --root-owner-group --build "$tree" "$out/$name" >/dev/null
    echo "package: $name"
}
if command -v dpkg-deb >/dev/null; then
    package
else
    echo "package: not made, there is no dpkg-deb here"
fi
(cd "$out" && sha256sum libmodq.so redis-modq_*.deb >SHA256SUMS)

lint=.servers/tools/bin/hadolint
if [ -x "$lint" ]; then
    "$lint" Dockerfile
    echo "Dockerfile: hadolint has nothing to say"
else
    echo "Dockerfile: not checked, hadolint comes with make servers"
fi
if [ "$build" = yes ] && docker info >/dev/null 2>&1; then
    for target in redis valkey; do docker build --quiet --target "$target" --tag "modq-$target" .; done
else
    echo "Dockerfile: not built, there is no docker here"
fi
echo "in $out: $(cd "$out" && echo *)"
