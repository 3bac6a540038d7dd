#!/usr/bin/env bash
# How often the gate of experiments/ci.toml is right, by really training: the definition is trained again with other seeds,
# and once more with a change that makes it worse, and every run is checked against the baseline of every other.
#
#   scripts/gate_retrainings.sh FOLDER [RUNS] [WORSE]     8 runs by default: about half an hour on two cores
#
# WORSE is a list of `--set` values, `epochs=15` by default. Trainings that FOLDER holds already are not repeated.
set -euo pipefail
cd "$(dirname "$0")/.."
sweep=${SWEEP:-target/release/sweep}
folder=${1:?a folder for the trainings}
runs=${2:-8}
worse=${3:-epochs=15}
mkdir -p "$folder"

train() { # train NAME FIRST_SEED [--set KEY=VALUE]
    local name=$1 first=$2 seeds
    shift 2
    seeds=$(seq -s ', ' "$first" $((first + 5)))
    sed -e "s/^name = .*/name = \"$name\"/" -e "s/^seeds = .*/seeds = [$seeds]/" -e '/^#:schema/d' experiments/ci.toml > "$folder/$name.toml"
    "$sweep" run "$folder/$name.toml" --results "$folder" "$@" > "$folder/$name.log" 2>&1 || { tail -5 "$folder/$name.log" >&2; exit 1; }
    "$sweep" baseline "$folder/$name" --output "$folder/$name.baseline.json" > /dev/null
    echo "$name trained"
}
mean() { # mean SWEEP: mean error of each configuration at its best epoch, mm
    "$sweep" export "$folder/$1" --table summary 2>/dev/null | head -3
}
for ((run = 0; run < runs; run++)); do
    train "again-$run" $((6 * run))
    train "worse-$run" $((6 * run + 1000)) --set "$worse"
done

# tally KIND: runs of this kind against the baselines of the others.
tally() {
    local failed=0 checked=0 status
    for ((run = 0; run < runs; run++)); do
        for ((base = 0; base < runs; base++)); do
            if ((run != base)); then
                status=0
                "$sweep" check "$folder/$1-$run" --baseline "$folder/again-$base.baseline.json" > "$folder/check.log" 2>&1 || status=$?
                case $status in
                    0) ;;
                    1) failed=$((failed + 1)) ;;
                    *) cat "$folder/check.log" >&2; exit 1 ;;
                esac
                checked=$((checked + 1))
            fi
        done
    done
    echo "$1: $failed of $checked checks fail"
}
tally again
tally worse
