#!/bin/sh
# SPDX-License-Identifier: MIT
# All that is checked without running Limpet.
#
#	tests/lint/lint.sh BUILDDIR [CHECK...]     from the top of the sources; "make lint" does so
#
# Each check is a function below, or a file beside this one.  It says what it finds and ends with
# a status other than 0 when it finds something.
set -u

build=${1:?usage: lint.sh BUILDDIR [CHECK...]}
shift
checks=${*:-layers sizes source dist docs scripts format cppcheck tidy}
here=tests/lint
flags="-std=gnu11 -D_GNU_SOURCE -Iinclude -I$build -DLIMPET_RUNDIR=\"/run\" $(pkg-config --cflags libpcre2-8 openssl hiredis yaml-0.1)"
export flags

# The files of ours with one of the given endings.
ours() {
	python3 -c 'import sys; sys.path.insert(0, "tests/lint"); from tree import files
print("\n".join(files(tuple(sys.argv[1].split()), tuple(sys.argv[2].split()) or ("src", "include", "tests", "bench", "contrib", "examples", "tools"))))' "$@"
}

need() {
	command -v "$1" >/dev/null || { echo "$1 is not installed: tools/setup-debian.sh lint"; return 1; }
}

check_layers() { python3 $here/layers.py; } # includes go down
check_sizes() { python3 $here/sizes.py; }   # short files and functions
check_source() { python3 $here/source.py; } # licence, guards, banned functions

# A release has every file that the repository has.
check_dist() {
	[ -e .git ] || { echo "no repository here"; return 0; }
	make -s -C "$build" print-dist >"$work/dist" || return 1
	git ls-files | python3 $here/dist.py "$work/dist"
}

# The generated references are what their generators say now.
check_docs() {
	"$build/limpet-gendoc" >"$work/doc" && diff -u doc/configuration.md "$work/doc" || return 1
	"$build/limpet-genmetrics" >"$work/doc" && diff -u doc/metrics.md "$work/doc" || return 1
	"$build/limpet-gencommands" >"$work/doc" && python3 -c 'import sys
made, manual = (open(name).read() for name in sys.argv[1:])
sys.exit(made not in manual and "doc/runtime-api.md does not have what limpet-gencommands says")' \
		"$work/doc" doc/runtime-api.md
}

check_scripts() {
	need node || return 1
	for file in $(ours ".sh" "") bootstrap demo.sh check.sh; do
		case $(head -n 1 "$file") in
		*bash*) bash -n "$file" ;;
		*) sh -n "$file" ;;
		esac || return 1
	done
	bash -n .ci/run || return 1
	PYTHONPYCACHEPREFIX=$work/pycache python3 -m py_compile $(ours ".py" "") || return 1
	for file in $(ours ".mjs .js" ""); do
		node --check "$file" || return 1
	done
}

check_format() {
	need clang-format && clang-format --dry-run -Werror $(ours ".c .h" "src include tests bench")
}

# varFuncNullUB takes the end of LOG_FIELDS(), a compound literal, for an argument of log_event().
check_cppcheck() {
	need cppcheck && cppcheck -q -j2 --enable=warning,performance,portability --inline-suppr \
		--suppress=varFuncNullUB \
		--std=c11 -D_GNU_SOURCE -Iinclude "-I$build" --error-exitcode=1 src
}

check_tidy() {
	need clang-tidy || return 1
	ours ".c" src | xargs -P2 -n4 sh -c 'clang-tidy --quiet "$@" -- $flags 2>/dev/null' tidy
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0
for check in $checks; do
	if "check_$check" >"$work/said" 2>&1; then
		echo "ok - lint: $check"
		passed=$((passed + 1))
	else
		cat "$work/said"
		echo "not ok - lint: $check"
		failed=$((failed + 1))
	fi
done
echo "# PASS:  $passed"
echo "# FAIL:  $failed"
[ $failed -eq 0 ]
