# For scripts/bench-*.sh, which source it: sets `python` to one that has these packages, and SWEEP to the program.
# LANDMARK_SWEEP_PYTHON names another Python; SWEEP another program.
python=${LANDMARK_SWEEP_PYTHON:-}
if [ -z "$python" ]; then
    venv=${CARGO_TARGET_DIR:-target}/bench-venv
    python=$venv/bin/python
    [ -x "$python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet "${packages[@]}"
fi
if [ -z "${SWEEP:-}" ]; then
    cargo build --release --quiet
    SWEEP=${CARGO_TARGET_DIR:-target}/release/sweep
fi
export SWEEP
