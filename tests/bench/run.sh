#!/bin/sh
# run.sh: prints the ratios of the budgets (ours / the bare loop, both in this run) for loading, planning,
# creating, memory and growth. Builds optimised in build-bench; needs root for its private libvirtd.
# KA_BENCH_LARGE=1 also measures 10,000 guests on one host (some minutes).
set -eu
cd "$(dirname "$0")/../.."
sh tests/deps.sh test
mkdir -p build-bench
cmake -S . -B build-bench -DCMAKE_BUILD_TYPE=Release >build-bench/log 2>&1 &&
    cmake --build build-bench -j "$(nproc)" >>build-bench/log 2>&1 || { cat build-bench/log && exit 1; }
bin=build-bench/tests/bench

KA_LAB_ROOT=$(mktemp -d /tmp/ka-lab.XXXXXX)
export KA_LAB_ROOT
trap 'sh tests/lab/lab.sh stop-all' EXIT
trap 'exit 130' INT TERM
status=0
$bin/bench_load || status=1
[ ! -x $bin/bench_growth ] || $bin/bench_growth || status=1
on_host() { # GUESTS
    sh tests/lab/lab.sh start bench
    $bin/bench_host "$PWD/build-bench/cmd/kvmapply" "$(sh tests/lab/lab.sh uri bench)" "$1" || status=1
    sh tests/lab/lab.sh stop bench
}
on_host 500
on_host 1000
[ -z "${KA_BENCH_LARGE-}" ] || on_host 10000
exit $status
