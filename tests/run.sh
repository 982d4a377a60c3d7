#!/bin/sh
# run.sh [CTEST-ARGUMENTS…]: installs what is missing, builds twice (with sanitizers for the unit tests,
# as a user gets it for the lab), and runs all tests. The last line counts them. The builds stay in
# build-test, all else is left as it was.
set -eu
cd "$(dirname "$0")/.."
sh tests/deps.sh test

jobs=$(nproc)
build() { # FOLDER CMAKE-ARGUMENTS…
    folder=$1
    shift
    cmake -S . -B "$folder" -DKA_WERROR=ON "$@" >"$folder.log" 2>&1 &&
        cmake --build "$folder" -j "$jobs" >>"$folder.log" 2>&1 || {
        cat "$folder.log"
        exit 1
    }
}
mkdir -p build-test
build build-test/plain -DCMAKE_BUILD_TYPE=RelWithDebInfo -DKA_TESTS=OFF
build build-test/checked -DCMAKE_BUILD_TYPE=Debug -DKA_SANITIZE=address,undefined \
    -DKA_LAB_BINARY="$PWD/build-test/plain/cmd/kvmapply"

KA_LAB_ROOT=$(mktemp -d /tmp/ka-lab.XXXXXX)
export KA_LAB_ROOT
trap 'sh tests/lab/lab.sh stop-all' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# Guests under emulation want a core each: two tests at once, no more.
status=0
ctest --test-dir build-test/checked --output-on-failure -j 2 --timeout 600 "$@" >build-test/ctest.log 2>&1 || status=$?
cat build-test/ctest.log
# ctest ends with its list of labels or failures: say the count last.
skipped=$(grep -c '\*\*\*Skipped' build-test/ctest.log || true)
sed -n 's/^\([0-9]*% tests passed.*\)$/\1/p' build-test/ctest.log | sed "s/\$/, $skipped skipped/"
exit $status
