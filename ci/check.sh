#!/usr/bin/env bash
# Everything that a change must pass. From the repository root: ci/check.sh
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; "$@"; }

step cargo fmt --all --check
step cargo clippy --workspace --all-targets -- -D warnings
step cargo clippy --package bitgauge --all-targets --features text -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps
step cargo bench --workspace --no-run
rm -rf target/ci-run # a run goes on with a folder that it finds, and this must be a new one
step cargo run --release -- run --quick --out target/ci-run
step cargo test --workspace
step cargo test --package bitgauge-engine --features text --lib text::

# Some kernels were wrong only in builds for the native CPU: judge one of those too.
RUSTFLAGS="-C target-cpu=native" CARGO_TARGET_DIR=target/native \
    step cargo test --release --package bitgauge --test zoo --test verify

# Against the commit before, where this clone has it, and else against itself. The margin is that of
# a shared machine.
before=$(git rev-parse --verify --quiet HEAD~1 || git rev-parse HEAD)
GATE_MARGIN=5% GATE_MAX_TIME=60 step ci/gate.sh "$before"
