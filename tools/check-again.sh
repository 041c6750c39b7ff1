#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# After a "make check" that failed: what failed, with what the tests said; and once more, alone.
#
#	make -C BUILD check || tools/check-again.sh BUILD
#
# The tests run side by side, with real processes and real time, on machines that do other things
# too.  So a few test programs that failed may run once more, one after the other; a second failure
# is final.  No second chance is given for a sanitizer's report or a bug_on(), nor to more than
# AGAIN_MAX programs.  What passed at the second attempt only is named ("# AGAIN: n"), so that it
# can be looked into.  See doc/decisions/0018-check-again.md.
set -u
build=${1:?usage: check-again.sh BUILD}
max=${AGAIN_MAX:-5}
cd "$build" || exit 1

mapfile -t trs < <(grep -rlE '^:test-result: (FAIL|ERROR|XPASS)' --include='*.trs' tests contrib 2>/dev/null)
if [ ${#trs[@]} -eq 0 ]; then
	echo "# no test has failed: something else did"
	exit 1
fi
results=$(cat "${trs[@]}" | grep -cE '^:test-result: (FAIL|ERROR|XPASS)')
has_report=
for file in "${trs[@]}"; do
	log=${file%.trs}.log
	echo "--- $log"
	grep -aE -B2 -A25 '^ *not ok|^Bail out' "$log" | cut -c 1-400 | head -n 100
	tail -n 5 "$log" | cut -c 1-400
	if grep -aqE 'ERROR: [A-Za-z]+Sanitizer|runtime error: |WARNING: ThreadSanitizer|BUG at' "$log"; then
		has_report=1
	fi
done
echo "---"
if [ -n "$has_report" ]; then
	echo "# a sanitizer or a bug_on() has spoken: not run again"
	exit 1
fi
if [ ${#trs[@]} -gt "$max" ]; then
	echo "# ${#trs[@]} test programs failed: not run again"
	exit 1
fi
if make recheck 2>&1 | sed 's/^/again| /' && [ "${PIPESTATUS[0]}" -eq 0 ]; then
	echo "# AGAIN: $results (passed at the second attempt: ${trs[*]%.trs})"
	exit 0
fi
exit 1
