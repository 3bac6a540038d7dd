#!/usr/bin/env bash
# Tries a fuzz target under libFuzzer, guided by coverage: `scripts/fuzz.sh epochs_csv 600` for ten minutes, with 1 GiB of
# memory and a minute for one input. `scripts/fuzz.sh all 60` tries each target for a minute. The first build takes half an
# hour on two cores, as every crate is compiled with instrumentation. Needs cargo-fuzz (`cargo install cargo-fuzz`).
#
# What is found stays in target/fuzz/TARGET: `corpus`, and files that crash, hang or take too much memory as `crash-…`,
# `timeout-…`, `oom-…`. To try one again, give its path as the third argument.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
target=$1 seconds=$2 input=${3:-}
command -v cargo-fuzz >/dev/null || { echo 'fuzz.sh: cargo-fuzz is not installed: cargo install cargo-fuzz' >&2; exit 2; }
work=$(realpath -m "${CARGO_TARGET_DIR:-target}")
if [ "$target" = all ]; then
    # Every name of a target is in its list.
    grep -oE '(Target \{ |^ +)name: "[a-z_]+"' tests/it/fuzz/targets/mod.rs | grep -oE '"[a-z_]+"' | tr -d '"' |
        while read -r name; do scripts/fuzz.sh "$name" "$seconds" </dev/null; done
    exit
fi

# The same versions as the program's.
[ tests/fuzz/Cargo.lock -nt Cargo.lock ] || cp Cargo.lock tests/fuzz/Cargo.lock
# Without a sanitizer, the stable compiler serves; the project has no unsafe code outside the engine and its map of kernels.
CARGO_TARGET_DIR=$work/fuzz cargo fuzz build --fuzz-dir tests/fuzz --sanitizer none --codegen-units 16 read
program=$work/fuzz/x86_64-unknown-linux-gnu/release/read

# The results of a small sweep, for the targets that read some.
results=$work/fuzz/results
if [ ! -d "$results/fuzz" ]; then
    cargo build --release --quiet
    "$work/release/sweep" run tests/fuzz/sweep.toml --results "$results" --quiet
fi

folder=$work/fuzz/$target
mkdir -p "$folder/corpus"
export SWEEP_FUZZ_TARGET=$target SWEEP_FUZZ_RESULTS=$results/fuzz LANDMARK_SWEEP_MAX_MEGAPIXELS=16 RAYON_NUM_THREADS=1
cd "$folder"
if [ -n "$input" ]; then exec "$program" "$input"; fi
SWEEP_FUZZ_SEEDS=$folder/corpus "$program" corpus -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=60 \
    -max_len=1000000 -print_final_stats=1
