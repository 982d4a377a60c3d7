#!/bin/sh
# layers.sh [ROOT]: the shape of the house. Fails when a file includes a layer to its right
# (manifest ← planner ← drivers ← cmd), when anything but cmd prints, when a function is longer than 80
# lines, a file than 600 (tables may be), or when goto is used.
set -eu
cd "${1:-$(dirname "$0")/..}"
layers="manifest planner drivers cmd"
fail=$(mktemp)
trap 'rm -f "$fail"' EXIT

allowed=
for layer in $layers; do
    allowed="$allowed $layer"
    for file in "$layer"/*.[ch]; do
        [ -e "$file" ] || continue
        for include in $(sed -n 's|^#include "\([a-z]*\)/.*|\1|p' "$file" | sort -u); do
            case " $allowed " in
            *" $include "*) ;;
            *) echo "$file includes $include/, which is to the right of $layer/" ;;
            esac
        done
        grep -Hn '^#include "[^/]*"' "$file" | sed 's/$/: include from the root/' || true
        grep -Hnw goto "$file" | grep -v '"[^"]*goto[^"]*"\|[*] ' || true
        [ "$layer" = cmd ] ||
            grep -HnE '\b(printf|puts|putchar|fputs|g_print|g_printerr|perror)[ ]?\(|\bfprintf ?\(std' "$file" || true
        case $file in
        */table_*.c) ;;
        *) awk 'END {if (NR > 600) print FILENAME ": " NR " lines, more than 600"}' "$file" ;;
        esac
        # A function's body begins and ends in the first column.
        awk '/^\{/ {start = FNR} /^\}$/ {if (start && FNR - start - 1 > 80) \
            print FILENAME ":" start ": function of " FNR - start - 1 " lines, more than 80"; start = 0}' "$file"
    done
done >"$fail"
cat "$fail" >&2
[ ! -s "$fail" ]
