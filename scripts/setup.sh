#!/usr/bin/env bash
# Installs what building and running modq needs and is not there yet; quick when nothing is missing.
# What is looked for is the thing itself, not the package, so any distribution that has it will do.
#   scripts/setup.sh           to build and run
#   scripts/setup.sh --test    also what the tests need (python3 with pip, for the servers they run on)
#   scripts/setup.sh --console also what the console's tests need (Chromium and its driver, axe-core, promtool)
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

has_libclang() { # bindgen needs the library and the compiler's own headers
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    if is_debian; then
        compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null &&
            compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null
    else
        ldconfig -p 2>/dev/null | grep -q 'libclang'
    fi
}
has_libc_headers() { echo '#include <stdlib.h>' | cc -E - >/dev/null 2>&1; }
has_pip() { python3 -m pip --version >/dev/null 2>&1; }

packages=() reasons=()
need() { packages+=("$1"); reasons+=("$2"); }

command -v cc >/dev/null && has_libc_headers || { need gcc "a C compiler (cc)"; need libc6-dev "the C library's headers"; }
has_libclang || need libclang-dev "libclang with its headers"
# redis-tools, not redis-server: it holds the server's binary too (see find_redis), and starts no service.
find_redis >/dev/null || need redis-tools "redis-server 7.0 or later"
command -v redis-cli >/dev/null || need redis-tools "redis-cli"
if [ "${1:-}" = --console ]; then
    command -v chromium >/dev/null || need chromium "the browser Chromium"
    command -v chromedriver >/dev/null || need chromium-driver "chromedriver"
    command -v curl >/dev/null || need curl "curl"
    # For text in headless Chromium.
    compgen -G '/usr/share/fonts/*/*' >/dev/null || need fonts-dejavu-core "a font"
fi
if [ "${1:-}" = --test ] || [ "${1:-}" = --console ]; then
    has_pip || need python3-pip "python3 with pip"
    command -v openssl >/dev/null || need openssl "openssl, for the certificates of tests"
    find_redis '7\.0' >/dev/null || need redis-tools "redis-server 7.0, the oldest the tests run on"
fi

if ((${#packages[@]})); then
    printf 'Missing:\n'
    printf '  %s\n' "${reasons[@]}"
    mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
    is_debian || die "this is not Debian, so install the above by hand (on Debian: apt-get install ${packages[*]})"
    sudo=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null && sudo -n true 2>/dev/null ||
            die "neither root nor sudo without a password; run: apt-get install ${packages[*]}"
        sudo=(sudo -n)
    fi
    echo "Installing ${packages[*]}"
    apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    "${apt[@]}" update || echo "apt-get update failed; trying with the lists there are"
    "${apt[@]}" install -y --no-install-recommends "${packages[@]}" >/dev/null || die "apt-get could not install ${packages[*]}"
    find_redis >/dev/null || die "no redis-server 7.0 or later in $(redis-check-rdb --version 2>&1 | head -1)"
fi

[ "${1:-}" != --console ] || scripts/console-tools.sh
command -v cargo >/dev/null || die "missing: cargo, the Rust toolchain; see https://rustup.rs"
if [ "${1:-}" = --test ] || [ "${1:-}" = --console ]; then
    for tool in fmt clippy; do
        cargo "$tool" --version >/dev/null 2>&1 && continue
        name=${tool/#fmt/rustfmt}
        echo "Installing the toolchain's $name"
        rustup component add "$name" || die "missing: cargo $tool; with rustup: rustup component add $name"
    done
fi
