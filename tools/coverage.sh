#!/bin/sh
# SPDX-License-Identifier: MIT
# Lines that ran, by source file, of a build with --enable-coverage.  Run there after its tests.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
find "$PWD/src" -name '*.gcda' >"$work/files"
[ -s "$work/files" ] || { echo "nothing ran here" >&2; exit 1; }
cd "$work"
xargs gcov -n <files 2>/dev/null | awk -F"[':% ]+" '
	/^File/ { file = ($2 ~ /(^|\/)src\//) ? $2 : ""; sub(/.*\/src\//, "src/", file); sub(/^\.\.\//, "", file) }
	/^Lines executed/ && file {
		printf "%6.1f%% of %5d  %s\n", $3, $5, file
		ran += $3 * $5 / 100; all += $5; file = ""
	}
	END { printf "%6.1f%% of %5d  in all\n", 100 * ran / all, all }' | sort -k4
