#!/bin/sh
# run.sh: prints a line for each budget that concerns loading, planning, creating and fetching:
#     NAME: RATIO (BUDGET) pass|MISSED   OURS / THEIRS
# both sides in this run. Builds optimised in build-bench; needs root for its private libvirtd.
# KA_BENCH_LARGE=1 also plans 10,000 guests of a real host (some minutes). Exits with 1 where a budget
# is missed, else with 77 where one could not be measured.
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
binary=$PWD/build-bench/cmd/kvmapply
$bin/bench_load || status=1
$bin/bench_growth || status=1
memory=/dev/shm
[ -w $memory ] || memory=$KA_LAB_ROOT
$bin/bench_fetch "$memory" || status=1
sh tests/lab/lab.sh start bench
uri=$(sh tests/lab/lab.sh uri bench)
$bin/bench_host "$binary" "$uri" 1000 || status=1
folder=$(mktemp -d "$KA_LAB_ROOT/images.XXXXXX")
$bin/bench_upload "$binary" "$uri" "$folder" || status=1
unmeasured=0
sh tests/bench/ansible.sh "$binary" "$uri" || { [ $? = 77 ] && unmeasured=77; } || status=1
[ -z "${KA_BENCH_LARGE-}" ] || $bin/bench_host "$binary" "$uri" 10000 || status=1
[ $status != 0 ] || status=$unmeasured
exit $status
