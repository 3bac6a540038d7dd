#!/usr/bin/env bash
# The engine's kernels for aarch64 (NEON), compiled here and run by QEMU against the reference engine. That shows that they are
# right; of their speed it says nothing.
# Needs: rustup target add aarch64-unknown-linux-gnu; on Debian gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user.
# Arguments: the tests to run, by a part of their names; without any, those that take seconds.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
[ $# != 0 ] || set -- cpu::simd cpu::tests::{every_kernel,deep_supervision_and_ragged,unet_agrees}
# Little is optimised: QEMU takes seconds for these networks, the compiler would take minutes.
cargo test -p landmark-sweep-engine --lib --target "$target" --quiet \
    --config profile.dev.package.candle-core.opt-level=1 -- "$@"
