#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs fuzzers, two at a time, each from its corpus in the tree; what they find on the way is not kept.
#
#	tools/fuzz.sh SRCDIR SECONDS FUZZER...
#
# A crash is left as ./crash-*, ./leak-* or ./timeout-*.
set -u
srcdir=$1
seconds=$2
shift 2
corpus=$srcdir/tests/fuzz/corpus
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export corpus seconds work

printf '%s\n' "$@" | xargs -P2 -I{} sh -c '
name=$(basename {})
name=${name#fuzz_}
mkdir "$work/$name"
if timeout -k 5 $((seconds + 60)) {} -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -close_fd_mask=1 \
	-print_final_stats=1 "$work/$name" "$corpus/$name" >"$work/$name.log" 2>&1; then
	echo "ok - fuzz $name: $(sed -n "s/^stat::number_of_executed_units: *//p" "$work/$name.log") runs, $(ls "$work/$name" | wc -l) new inputs"
	echo >>"$work/passed"
else
	tail -n 60 "$work/$name.log"
	echo "not ok - fuzz $name"
fi
'
passed=0
[ ! -f "$work/passed" ] || passed=$(wc -l <"$work/passed")
echo "# PASS:  $passed"
echo "# FAIL:  $(($# - passed))"
[ "$passed" -eq $# ]
