# Everything there is to do, in one word each; `make` alone lists it.

SHELL := /bin/bash
export PATH := $(PATH):$(HOME)/.cargo/bin
export PORT ?= 6379
# Tests start servers and mostly wait for them; more threads than cores pays, many more makes timing flap.
export RUST_TEST_THREADS ?= 4

.PHONY: help setup servers build run console test test-module test-clients test-console screenshots torture demo bench dist fuzz sanitize deny clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: build ## start redis-server with the module on 127.0.0.1:6379 (PORT=7000 for another)
	@exec scripts/run.sh

console: setup ## build and start the web console for the server of `make run`, on http://127.0.0.1:8377
	@cargo build --profile console -p modq-console
	@exec "$${CARGO_TARGET_DIR:-target}/console/modq-console" --redis "redis://127.0.0.1:$(PORT)" $(ARGS)

test: ## format, lints, and every test on every server
	@scripts/setup.sh --test
	@scripts/servers.sh
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo build --release --lib
	@scripts/faulty.sh
	@scripts/setup.sh --console
	cargo test --workspace --lib --tests --no-fail-fast
	cargo run --release --example demo
	clients/python/test.sh
	clients/node/test.sh
	examples/rust/test.sh
	examples/go/test.sh

test-clients: ## the client libraries alone: their lints and tests, on a release build of the module
	@scripts/setup.sh --test
	@scripts/servers.sh
	cargo build --release --lib
	clients/python/test.sh
	clients/node/test.sh
	examples/rust/test.sh
	examples/go/test.sh

test-module: ## the module alone: build it, then its tests and the core's
	@scripts/setup.sh --test
	@scripts/servers.sh
	cargo build --release --lib
	@scripts/faulty.sh
	cargo test -p modq-core -p modq --lib --tests --no-fail-fast

test-console: ## the console alone: its tests over HTTP, and in a headless Chromium
	@scripts/setup.sh --console
	@scripts/servers.sh
	cargo build --release --lib
	cargo test -p modq-console --no-fail-fast

screenshots: build ## make the pictures of docs/console.md anew
	@scripts/setup.sh --console
	@cargo build --profile console -p modq-console
	@cargo run --profile console -p modq-console --example screenshots

# TORTURE_SECONDS is how long each of the tests goes on; `make test` runs one round of each.
torture: export TORTURE_SECONDS ?= 60
torture: ## crashes, failovers, moving slots, full memory and disks, clock steps: ten minutes of them
	@scripts/setup.sh --test
	@scripts/servers.sh
	cargo build --release --lib
	cargo test --test torture --no-fail-fast -- --nocapture

demo: build ## a moderation desk at work, on a server of its own; CONSOLE=1 shows one in the web console
ifdef CONSOLE
	@cargo build --profile console -p modq-console
	@cargo run --profile console -p modq-console --example living_room
else
	@cargo run --release --example demo
endif

bench: build ## measure against the targets
	@cargo run --release --example bench

build: setup ## the module, target/release/libmodq.so
	cargo build --release --lib

setup: ## install what building and running needs and is missing
	@scripts/setup.sh

servers: ## fetch the servers the tests run on into .servers/
	@scripts/setup.sh --test
	@scripts/servers.sh

dist: setup ## what is shipped, in dist/: the stripped module, a Debian package, their SHA-256
	@scripts/setup.sh --test
	@scripts/servers.sh
	@scripts/dist.sh

fuzz: ## search for bytes that do harm, guided by coverage (FUZZ_SECONDS=60 for each of the targets)
	@scripts/fuzz.sh

sanitize: ## the core's tests under AddressSanitizer, and a server with the module under valgrind
	@scripts/setup.sh --test
	@scripts/servers.sh
	@scripts/sanitize.sh

# Not part of `make test`: building cargo-deny takes about ten minutes, once. The root is a package of its own: without
# --workspace the console would be left out.
deny: ## licenses, sources and duplicate versions of the dependencies, by deny.toml
	@[ -x .servers/tools/bin/cargo-deny ] || cargo install cargo-deny --version 0.18.3 --locked --root .servers/tools
	.servers/tools/bin/cargo-deny --workspace check licenses bans sources

clean: ## remove what was built (not .servers/ or data/)
	cargo clean
