#!/usr/bin/env bash
# How often the gate of experiments/ci.toml is right, by really training: the definition is trained with many seeds, and with
# fewer once more with a change that makes it worse. Then six seeds are drawn as the baseline and six others as what a change of
# the code might train, again and again, and checked against each other.
#
#   scripts/gate_retrainings.sh FOLDER [SEEDS] [WORSE]     24 seeds by default: 72 trainings, half an hour on two cores
#
# WORSE is a value for `--set`, epochs=12 by default. Trainings that FOLDER holds already are not repeated.
set -euo pipefail
cd "$(dirname "$0")/.."
sweep=${SWEEP:-target/release/sweep}
folder=${1:?name a folder for the trainings}
seeds=${2:-24}
worse=${3:-epochs=12}
mkdir -p "$folder"

train() { # train NAME SEEDS [--set KEY=VALUE]
    local name=$1 seeds
    seeds=$(seq -s ', ' 0 $(($2 - 1)))
    shift 2
    sed -e "s/^name = .*/name = \"$name\"/" -e "s/^seeds = .*/seeds = [$seeds]/" -e '/^#:schema/d' experiments/ci.toml > "$folder/$name.toml"
    "$sweep" run "$folder/$name.toml" --results "$folder" "$@" > "$folder/$name.log" 2>&1 || { tail -5 "$folder/$name.log" >&2; exit 1; }
}

train again "$seeds"
train worse $((seeds / 2)) --set "$worse"
exec python3 scripts/gate_retrainings.py "$sweep" "$folder"
