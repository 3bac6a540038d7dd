#!/usr/bin/env bash
# Everything a change must pass. Tools that are not installed are named and skipped, except the compiler's own.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; "$@"; }
optional() { # optional TOOL COMMAND…
    local tool=$1
    shift
    if command -v "$tool" >/dev/null 2>&1; then step "$@"; else printf '\n== %s is not installed: skipped\n' "$tool"; fi
}

step cargo fmt --check
# One profile throughout: candle takes minutes to compile and is compiled once.
step cargo clippy --release --all-targets --quiet -- -D warnings
step env RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps --document-private-items --quiet
optional cargo-deny cargo deny --offline check bans licenses sources
optional cargo-machete cargo machete
optional typos typos
# What editors make of definitions and their schema.
optional taplo taplo lint experiments/*.toml experiments/real/*.toml
# Kernels with their bounds checked: compiles this package alone once more.
step cargo test --release --lib --quiet \
    --config profile.release.package.landmark-sweep.debug-assertions=true \
    --config profile.release.package.landmark-sweep.overflow-checks=true engine::
# The README's test command, last: its closing lines are the verdict.
step cargo test --release
