# What the scripts share. Sourced with the repository's root as working directory.

die() {
    echo "modq: $*" >&2
    exit 1
}

is_debian() { command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; }

# Prints a redis-server binary of 7.0 or later, or of just the version given. Debian's redis-server is redis-check-rdb of
# package redis-tools under another name, so where only that package is installed a link of our own makes it a server.
find_redis() {
    local version=${1:-([7-9]|[1-9][0-9]+)} candidate own=$PWD/.servers/redis-tools/redis-server
    for candidate in "$(command -v redis-server)" /usr/bin/redis-server "$own"; do
        if [ "$candidate" = "$own" ] && [ -x /usr/bin/redis-check-rdb ]; then
            mkdir -p "${own%/*}" && ln -sfn /usr/bin/redis-check-rdb "$own"
        fi
        [ -x "$candidate" ] && "$candidate" --version | grep -qE "v=$version\." || continue
        echo "$candidate"
        return 0
    done
    return 1
}

# Where cargo puts the release build of the module.
module_path() { realpath -m "${CARGO_TARGET_DIR:-target}/release/libmodq.so"; }
