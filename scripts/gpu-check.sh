#!/usr/bin/env bash
# The checks that need a GPU, in eight minutes: first whether it computes the same as the CPU, then how fast it is, compared
# with PyTorch on the same card.
#
#   scripts/gpu-check.sh build        on a machine with a Rust toolchain: writes the programs to target/gpu (20 minutes)
#   scripts/gpu-check.sh FOLDER [SECONDS]
#                                     on a machine with an NVIDIA GPU, a C++ compiler and a python3 with torch, numpy and
#                                     safetensors: reads target/gpu, writes its findings to FOLDER; needs no toolchain.
#                                     Leaves slow measurements out after so many seconds (480)
#
#   scripts/gpu-check.sh --without-gpu
#                                     what can be had without a GPU: the kernels on the emulator, and their instructions,
#                                     registers and predicted times
#
# The CUDA libraries are PyTorch's. Exit code 0 if every result is right; speed is in the tables only.
set -euo pipefail
cd "$(dirname "$0")/.."
programs=target/gpu
# Crates whose unit tests run kernels.
units="engine data model training"
parts="sweep step it $units"

if [ "${1:-}" = --without-gpu ]; then
    scripts/build-cuda toolkit
    export SWEEP_NEED_NVCC=required SWEEP_NEED_CXX=required
    # The root package is named beside it, so that dependencies keep the features they were compiled with.
    cargo test --release -p landmark-sweep-engine -p landmark-sweep --lib cuda:: -- --nocapture
    exit
fi

if [ "${1:-}" = build ]; then
    mkdir -p "$programs"
    executable() { # executable KIND NAME: of the messages of cargo on standard input
        python3 -c 'import json, sys
for message in map(json.loads, (line for line in sys.stdin if line.startswith("{"))):
    if message.get("executable") and sys.argv[1] in message["target"]["kind"] and message["target"]["name"] == sys.argv[2]:
        print(message["executable"])' "$1" "$2" | tail -1
    }
    cp "$(scripts/build-cuda build --release --message-format=json | executable bin sweep)" "$programs/sweep"
    cp "$(scripts/build-cuda bench --bench step --no-run --message-format=json | executable bench step)" "$programs/step"
    # The root package has the features for CUDA.
    packages=(-p landmark-sweep)
    for unit in $units; do packages+=(-p "landmark-sweep-$unit"); done
    scripts/build-cuda test --release --lib --test it "${packages[@]}" --no-run --message-format=json >"$programs/messages"
    for unit in $units; do cp "$(executable lib "sweep_$unit" <"$programs/messages")" "$programs/$unit"; done
    cp "$(executable test it <"$programs/messages")" "$programs/it"
    for program in $parts; do strip "$programs/$program"; done
    # Together they are half as large as one by one: they share most of their code.
    # shellcheck disable=SC2086
    tar c -C "$programs" $parts | xz -T1 --x86 --lzma2=preset=6,dict=256MiB >"$programs/programs.tar.xz"
    (cd "$programs" && rm messages $parts)
    ls -l "$programs"
    exit
fi

out=${1:?scripts/gpu-check.sh build or --without-gpu, or the folder to write findings to}
mkdir -p "$out"
started=$(date +%s)
seconds=${2:-480}
left() { echo $((seconds - $(date +%s) + started)); }
[ -f "$programs/sweep" ] || python3 -c 'import sys, tarfile
tarfile.open(sys.argv[1] + "/programs.tar.xz").extractall(sys.argv[1], filter="data")' "$programs"
LD_LIBRARY_PATH=$(python3 -c 'import glob, os, site
roots = site.getsitepackages()
print(":".join(sorted({os.path.dirname(f) for r in roots for f in glob.glob(r + "/nvidia/**/lib/*.so*", recursive=True)})))'):${LD_LIBRARY_PATH:-}
export LD_LIBRARY_PATH CARGO_MANIFEST_DIR=$PWD

failed=0
check() { # check NAME SECONDS COMMAND…: writes its output to FOLDER/NAME.log and its end to FOLDER/parts.jsonl, prints one line
    local name=$1 limit=$2 rc=0 began took
    shift 2
    [ "$(left)" -gt 10 ] || { echo "$name: no time left"; return 0; }
    began=$(date +%s)
    timeout $((limit < $(left) ? limit : $(left))) "$@" >"$out/$name.log" 2>&1 || rc=$?
    took=$(($(date +%s) - began))
    printf '{"part": "%s", "exit": %d, "seconds": %d}\n' "$name" $rc $took >>"$out/parts.jsonl"
    printf '%-12s %s (%s s)\n' "$name" "$([ $rc = 0 ] && echo right || echo "FAILED with $rc")" $took
    if [ $rc != 0 ]; then failed=1; grep -A1 panicked "$out/$name.log" | head -20; tail -15 "$out/$name.log"; fi
}

"$programs/sweep" devices | tee "$out/devices.log"
grep -q '^cuda:0.*MiB' "$out/devices.log" && ! grep -q '^cuda:0.*not used' "$out/devices.log" || exit 2

# Each kernel against the reference engine in double precision; the same bits twice; whole numbers exactly.
unit() { # unit CRATE FILTERS…: unit tests of a crate, which look for files beside its manifest
    local crate=$1
    shift
    check "$crate" 100 env CARGO_MANIFEST_DIR="$PWD/src/$crate" "$programs/$crate" "$@"
}
tests() {
    export LANDMARK_SWEEP_TEST_GPU=1 SWEEP_NEED_GPU=required SWEEP_NEED_CXX=required SWEEP_SKIPPED=$out/skipped-tests.txt
    : >"$SWEEP_SKIPPED"
    unit engine cuda::
    unit data gpu loader
    unit model gpu vectors
    unit training gpu train::
    # The fixtures' networks against PyTorch's outputs, losses and gradients.
    check pytorch 60 "$programs/it" parity::f32
    unset LANDMARK_SWEEP_TEST_GPU SWEEP_NEED_GPU SWEEP_NEED_CXX
}

# Whole trainings: the landmark error of the gate's sweep against the CPU's, and the same numbers twice.
trainings() {
    check training 60 "$programs/sweep" run experiments/ci.toml --device cuda --results "$out/first" --quiet
    check gate 20 "$programs/sweep" check "$out/first/ci" --baseline experiments/ci.baseline.json --margin 0.5
    check again 60 "$programs/sweep" run experiments/ci.toml --device cuda --results "$out/second" --quiet
    same() { # compares the records of both runs without the columns of time
        for first in "$out"/first/ci/trials/*/landmarks.csv; do cmp "$first" "${first/first/second}"; done
    }
    export -f same
    export out
    check same 10 bash -c same
    # An epoch of a hundred images of 800 × 640, data and augmentation included.
    check epoch 120 "$programs/sweep" run experiments/gpu.toml --set epochs=6 --set evaluate_every=6 --device cuda --results "$out/epoch" --quiet
    for epochs in "$out"/epoch/gpu/trials/*/epochs.csv; do
        python3 -c 'import csv, statistics, sys
rows = list(csv.DictReader(open(sys.argv[1])))
rate = statistics.median(float(row["images_per_second"]) for row in rows)
print(rows[0]["trial"] + ": an epoch of 100 images takes %.2f s" % (100 / rate))' "$epochs"
    done | tee "$out/epochs.log"
}

unet() { # unet WIDTHS: a UNet++ in JSON
    local first=${1%-*}
    echo "{\"name\":\"unet++\",\"filters\":[$first,$((2 * first)),$((4 * first)),$((8 * first)),$((16 * first))]}"
}

# The time of every launch of a step, for scripts/gpu_budget.py --profile.
profiles() {
    local row
    for row in '16-256 800 640 4 bf16' '32-512 800 640 4 bf16' '16-256 400 320 4 bf16' '16-256 800 640 4 tf32' '16-256 800 640 4 fp32'; do
        # shellcheck disable=SC2086
        set -- $row
        check "profile-$1-$2-$4-$5" 40 "$programs/step" --device cuda --model "$(unet "$1")" --height "$2" --width "$3" --batch "$4" \
            --precision "$5" --profile "$out/$1 $3x$2 $4 $5.profile"
    done
}

# Steps compared with PyTorch's, the most informative first, until the time is up. torch.compile keeps what it compiled.
speed() {
    export TORCHINDUCTOR_CACHE_DIR=$out/../.inductor
    bench() { # bench NETWORKS SIZE BATCHES PRECISIONS WAYS…, lists with commas
        [ "$(left)" -gt 20 ] || return 0
        local networks batches precisions
        IFS=, read -ra networks <<<"$1"
        IFS=, read -ra batches <<<"$3"
        IFS=, read -ra precisions <<<"$4"
        timeout "$(left)" python3 scripts/bench_torch.py --device cuda --ours "$programs/step" --networks "${networks[@]}" \
            --sizes "$2" --batches "${batches[@]}" --threads-list 8 --precisions "${precisions[@]}" --ways "${@:5}" \
            --whats step --pairs 2 --seconds 0.7 --json "$out/speed.jsonl" || true
    }
    {
        bench 'UNet++ 16-256,UNet++ 32-512' 800x640 4,1 bf16 bf16 graph
        bench 'UNet++ 16-256' 800x640 4 tf32,fp32 tf32 fp32
        bench 'UNet++ 16-256,UNet++ 32-512' 400x320 32,4 bf16 bf16 graph
        bench 'UNet++ 16-256' 800x640 16 bf16 bf16 graph
        [ "${COMPILE:-}" = '' ] || bench 'UNet++ 16-256' 800x640 4 bf16 bf16 compile
    } 2>&1 | tee "$out/speed.md"
}

# Counters of the hardware, where the profiler may read them: is it 1.8 instructions a clock, and what do warps wait for?
counters() {
    command -v ncu >/dev/null || return 0
    local wanted metrics
    wanted="gpu__time_duration.sum sm__cycles_elapsed.max smsp__inst_executed.sum sm__inst_executed_pipe_tensor.sum dram__bytes.sum
        lts__t_bytes.sum l1tex__data_pipe_lsu_wavefronts_mem_shared.sum l1tex__data_bank_conflicts_pipe_lsu.sum
        sm__warps_active.avg.pct_of_peak_sustained_active smsp__issue_active.avg.pct_of_peak_sustained_active $(
        printf 'smsp__average_warps_issue_stalled_%s_per_issue_active.ratio ' long_scoreboard short_scoreboard barrier \
            mio_throttle math_pipe_throttle wait lg_throttle not_selected)"
    ncu --query-metrics >"$out/metrics.txt" 2>&1 || true
    for metric in $wanted; do
        grep -q "^ *${metric%%.*} " "$out/metrics.txt" && metrics=${metrics:+$metrics,}$metric
    done
    check ncu 100 ncu --clock-control none --csv --page raw --log-file "$out/ncu.csv" --launch-count 420 \
        --metrics "${metrics:-gpu__time_duration.sum}" \
        "$programs/step" --device cuda --height 800 --width 640 --batch 4 --precision bf16 --seconds 0
}

# Accesses outside memory, and races in shared memory, on a small network.
sanitizer() {
    command -v compute-sanitizer >/dev/null || return 0
    local tool precision
    for tool in memcheck racecheck; do
        for precision in bf16 tf32 fp32; do
            check "$tool-$precision" 45 compute-sanitizer --tool "$tool" --error-exitcode 9 "$programs/step" --device cuda \
                --model '{"name":"unet++","filters":[16,32,64]}' --height 72 --width 56 --batch 2 --precision $precision --seconds 0
        done
    done
}

# A batch that does not fit is an error with a remedy.
too_large() {
    local rc=0
    "$programs/step" --device cuda --height 800 --width 640 --batch 2000 --precision bf16 >"$out/memory.log" 2>&1 || rc=$?
    echo "too large a batch: exit $rc, $(tail -1 "$out/memory.log")"
}

# Which parts, in which order; all by default.
for part in ${PARTS:-tests profiles speed counters too_large trainings sanitizer}; do
    [ "$(left)" -gt 10 ] && "$part" || echo "$part: no time left"
done
exit $failed
