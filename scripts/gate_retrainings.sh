#!/usr/bin/env bash
# How often the gate of experiments/ci.toml is right, by really training: the definition is trained again and again, each time
# with six other seeds, as after a change of the code that draws other random numbers, and once more with a change that makes it
# worse. Every run is checked against the baseline of every other, seed by seed in their order.
#
#   scripts/gate_retrainings.sh FOLDER [RUNS] [WORSE]     4 runs by default: about ten minutes on two cores
#
# WORSE is a value for `--set`, epochs=12 by default. Trainings that FOLDER holds already are not repeated.
set -euo pipefail
cd "$(dirname "$0")/.."
sweep=${SWEEP:-target/release/sweep}
folder=${1:?name a folder for the trainings}
runs=${2:-4}
worse=${3:-epochs=12}
mkdir -p "$folder"

train() { # train NAME RUN [--set KEY=VALUE]
    local name=$1 seeds
    seeds=$(seq -s ', ' $((6 * $2)) $((6 * $2 + 5)))
    shift 2
    sed -e "s/^name = .*/name = \"$name\"/" -e "s/^seeds = .*/seeds = [$seeds]/" -e '/^#:schema/d' experiments/ci.toml > "$folder/$name.toml"
    "$sweep" run "$folder/$name.toml" --results "$folder" "$@" > "$folder/$name.log" 2>&1 || { tail -5 "$folder/$name.log" >&2; exit 1; }
    "$sweep" baseline "$folder/$name" --output "$folder/$name.baseline.json" > /dev/null
    echo "$name: $(mean < "$folder/$name/summary.csv")"
}

# Mean error at the best epoch of each configuration.
mean() {
    python3 -c '
import collections, csv, sys
of = collections.defaultdict(list)
for row in csv.DictReader(sys.stdin):
    of[row["trial"].split("-seed")[0]].append(float(row["best_val_mre_mm"]))
print(", ".join(f"{name} {sum(errors) / len(errors):.3f} mm" for name, errors in of.items()))'
}

# relabelled RUN BASE: the baseline of BASE as if its seeds were those of RUN.
relabelled() {
    python3 -c '
import json, sys
path, to, by = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
baseline = json.load(open(path))
for of in baseline["configurations"]:
    of["seeds"] = {str(int(seed) + 6 * (to - by)): errors for seed, errors in of["seeds"].items()}
json.dump(baseline, sys.stdout)' "$folder/again-$2.baseline.json" "$1" "$2"
}

# tally KIND: runs of this kind against the baselines of the others.
tally() {
    local counts=(0 0 0 0) status
    for ((run = 0; run < runs; run++)); do
        for ((base = 0; base < runs; base++)); do
            ((run != base)) || continue
            status=0
            relabelled "$run" "$base" > "$folder/baseline.json"
            "$sweep" check "$folder/$1-$run" --baseline "$folder/baseline.json" > "$folder/check.log" 2>&1 || status=$?
            case $status in
                0 | 1 | 3) counts[status]=$((counts[status] + 1)) ;;
                *) cat "$folder/check.log" >&2; exit 1 ;;
            esac
        done
    done
    echo "$1: ${counts[1]} fail, ${counts[3]} inconclusive, ${counts[0]} pass"
}

for ((run = 0; run < runs; run++)); do
    train "again-$run" "$run"
    train "worse-$run" "$run" --set "$worse"
done
tally again
tally worse
