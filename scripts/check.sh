#!/usr/bin/env bash
# Everything a change must pass. A tool that is not installed, and a test whose requirement is missing, is skipped: the last
# section lists both.
set -euo pipefail
cd "$(dirname "$0")/.."

# One line for each skipped test, written by the tests (src/testing).
mkdir -p "${CARGO_TARGET_DIR:-target}"
SWEEP_SKIPPED=$(realpath -m "${CARGO_TARGET_DIR:-target}")/skipped-tests.txt
export SWEEP_SKIPPED
: >"$SWEEP_SKIPPED"
unchecked=()

step() { # step COMMAND…: says how long it took
    local code=0 start=$SECONDS
    printf '\n== %s\n' "$*"
    "$@" || code=$?
    printf '== took %s s: %s %s\n' $((SECONDS - start)) "$1" "${2:-}"
    return "$code"
}
not_checked() { # not_checked WHAT
    printf '\n== NOT CHECKED: %s\n' "$1"
    unchecked+=("$1")
}
optional() { # optional TOOL COMMAND…
    local tool=$1
    shift
    if command -v "$tool" >/dev/null 2>&1; then step "$@"; else not_checked "$tool (not installed)"; fi
}

dependencies() {
    if ! command -v cargo-deny >/dev/null 2>&1; then
        not_checked "cargo-deny (not installed)"
    elif timeout 120 cargo deny fetch db >/dev/null 2>&1; then
        step cargo deny check
    else
        not_checked "security advisories (cargo deny cannot fetch their database)"
        step cargo deny check bans licenses sources
    fi
}

summary() {
    local count
    count=$(sort -u "$SWEEP_SKIPPED" | wc -l)
    printf '\n== Skipped tests: %s\n' "$count"
    # Columns: test, need, reason.
    sort -u "$SWEEP_SKIPPED" | cut -f 2,3 | sort | uniq -c | sort -rn | sed -E 's/^ *([0-9]+) ([^\t]*)\t/   \2: \1, /'
    [ "$count" != 0 ] || printf '   none\n'
    printf '== Not checked: %s\n' "${#unchecked[@]}"
    if [ ${#unchecked[@]} != 0 ]; then printf '   %s\n' "${unchecked[@]}"; else printf '   none\n'; fi
}

step cargo fmt --all --check
# One profile throughout: candle takes minutes to compile and is compiled once.
step cargo clippy --release --workspace --all-targets --quiet -- -D warnings
step env RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps --document-private-items --quiet
dependencies
optional cargo-machete cargo machete
optional typos typos
optional mdbook scripts/book
# What editors make of definitions and their schema.
optional taplo taplo lint experiments/*.toml experiments/real/*.toml
# Kernels with their bounds checked: compiles this package alone once more.
# The root package is named beside it, so that dependencies keep the features they were compiled with.
step cargo test --release -p landmark-sweep-engine -p landmark-sweep --lib --quiet \
    --config profile.release.package.landmark-sweep-engine.debug-assertions=true \
    --config profile.release.package.landmark-sweep-engine.overflow-checks=true
# The README's test command. Its result is the exit code, also after the summary.
code=0
step cargo test --release || code=$?
summary
exit "$code"
