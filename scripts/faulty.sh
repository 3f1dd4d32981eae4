#!/usr/bin/env bash
# Builds the module once more, with places in it that panic when a test asks for it: see core/src/inject.rs. It goes to
# a folder of its own and is never shipped.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=0
exec cargo build --release --lib --features inject-panic --target-dir "${CARGO_TARGET_DIR:-target}/faulty"
