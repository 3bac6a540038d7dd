#!/bin/sh
# Trains experiments/mouse.toml and experiments/wings.toml on public data, and writes what is known of them under
# results/examples: no picture of the data.
#
#   scripts/animals.sh MOUSE WINGS [MORE…]
#
# MOUSE is DeepLabCut's example project openfield-Pranav-2018-10-30 (or a folder with its table and frames), WINGS a clone of
# github.com/agporto/ml-morph. MORE are further arguments of `sweep run`, as --set epochs=2. Data sets and results go to
# $WORK, a new folder by default. The program is $SWEEP, by default target/release/sweep. About ten minutes each on 2 cores.
set -eu
[ $# -ge 2 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2; }
mouse=$1 wings=$2
shift 2
root=$(cd "$(dirname "$0")/.." && pwd)
sweep=${SWEEP:-$root/target/release/sweep}
work=${WORK:-$(mktemp -d)}
mkdir -p "$work/ml-morph"

cp "$wings"/image-examples/*.jpg "$wings"/landmark-examples/tps-example.tps "$work/ml-morph/"
[ -d "$work/mouse" ] || "$sweep" data import "$mouse" "$work/mouse" --group 'img(\d\d\d)'
[ -d "$work/wings" ] || "$sweep" data import "$work/ml-morph" "$work/wings"
grep -q flip_pairs "$work/mouse/dataset.toml" ||
    echo 'flip_pairs = [["leftear", "rightear"]]' >>"$work/mouse/dataset.toml"

for name in mouse wings; do
    # One finding of the mouse is an error of its table: the ears of img0102 are exchanged.
    "$sweep" data inspect "$work/$name" --output "$work/inspect-$name" >"$work/$name-inspected.txt" || true
    grep -c '^error' "$work/$name-inspected.txt" || true
    "$sweep" run "$root/experiments/$name.toml" --dataset "$work/$name" --results "$work/results" "$@"
    "$sweep" report "$work/results/$name" --without-images
    checkpoints=
    for trial in "$work/results/$name"/trials/*/; do
        checkpoints="$checkpoints --checkpoint $trial/last.safetensors"
    done
    out=$root/results/examples/$name
    mkdir -p "$out"
    # shellcheck disable=SC2086
    "$sweep" eval --held-out $checkpoints | tee "$out/held-out.txt"
    cp "$work/results/$name/summary.csv" "$out/"
done
