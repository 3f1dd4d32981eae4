#!/usr/bin/env bash
# Searches for bytes that do harm to the core, guided by coverage: FUZZ_SECONDS (60) for each target, or those named as
# arguments. What is found is kept in core/fuzz/corpus/, small: `make test` runs all of it again. A crash stops it and
# leaves its input in core/fuzz/artifacts/.
set -euo pipefail
cd "$(dirname "$0")/../core/fuzz"

# libFuzzer needs these of the compiler; nothing of it needs a nightly one.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
host=$(rustc -vV | sed -n 's/^host: //p')
target_dir="${CARGO_TARGET_DIR:-../../target}/fuzz"
# With a target named, the flags are not those of build scripts.
RUSTFLAGS="--cfg fuzzing $coverage" cargo build --release --target "$host" --target-dir "$target_dir"
fuzzer="$(cd "$target_dir" && pwd)/$host/release/modq-fuzz"

targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(queue_value queue_record board_value board_record limiter_value limiter_record lease_value lease_record policies)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p artifacts
for name in "${targets[@]}"; do
  echo "== $name"
  mkdir -p corpus "$work/$name/known" "$work/$name/found" "$work/$name/small"
  export FUZZ_TARGET="$name"
  FUZZ_UNPACK="$work/$name/known" "$fuzzer" -runs=0 "$work/$name/known" >/dev/null 2>&1
  status=0
  "$fuzzer" -max_total_time="${FUZZ_SECONDS:-60}" -max_len=8192 -timeout=20 -print_final_stats=1 -artifact_prefix=artifacts/ \
    "$work/$name/found" "$work/$name/known" >"$work/$name/log" 2>&1 || status=$?
  grep -E '^#[0-9]+.*(INITED|DONE)|^stat::number|^stat::average|SUMMARY|panicked|Test unit' "$work/$name/log" || true
  [ "$status" -eq 0 ] || { echo "$name: an input does harm, see core/fuzz/artifacts/"; exit 1; }
  # The smallest set of inputs that reaches as much.
  "$fuzzer" -set_cover_merge=1 -max_len=8192 "$work/$name/small" "$work/$name/known" "$work/$name/found" >/dev/null 2>&1
  FUZZ_PACK="$work/$name/small" "$fuzzer" -runs=0 "$work/$name/small" >/dev/null 2>&1
  echo "kept: $(find "$work/$name/small" -type f | wc -l) inputs"
done
