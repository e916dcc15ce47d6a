#!/usr/bin/env bash
# Gates the work tree against a revision: ci/gate.sh [REV]
#
# REV defaults to where this branch left origin/main, or the parent commit where that is HEAD itself.
#
#   GATE_MARGIN    speedups within this count as unchanged           [that of `bitgauge gate`: 2%,
#                                                                    or what `calibrate` asks for]
#   GATE_MAX_TIME  seconds of measuring                              [120]
#   GATE_OUT       the run folder, which is made anew                [target/ci-gate]
#   GATE_UNCLEAR   what an unclear verdict does: `pass` or `fail`    [pass]
#
# An unclear gate passes by default, with a warning: a job that goes red when nothing is known to be
# worse gets switched off. Set GATE_UNCLEAR=fail on a quiet machine.
#
# Exit status: that of `bitgauge gate` (0 held, 1 regression, 2 could not run, 3 wrong answers,
# 4 unclear, 5 no usable baseline), save that 4 becomes 0 under GATE_UNCLEAR=pass. A gate that held
# without leaving a report is 2: silence is not success.
set -euo pipefail
cd "$(dirname "$0")/.."

max_time=${GATE_MAX_TIME:-120}
out=${GATE_OUT:-target/ci-gate}
unclear=${GATE_UNCLEAR:-pass}

could_not_run() {
    echo "ci/gate.sh: $*" >&2
    exit 2
}

case $unclear in
pass | fail) ;;
*) could_not_run "GATE_UNCLEAR is '$unclear'; it must be 'pass' or 'fail'" ;;
esac
[ $# -le 1 ] || could_not_run "one revision at most: ci/gate.sh [REV]"

if [ $# -eq 1 ]; then
    rev=$1
else
    rev=$(git merge-base origin/main HEAD 2>/dev/null || true)
    if [ -z "$rev" ] || [ "$rev" = "$(git rev-parse HEAD)" ]; then
        rev=HEAD~1
    fi
fi
commit=$(git rev-parse --verify --quiet --end-of-options "$rev^{commit}") ||
    could_not_run "'$rev' is no commit here; in a shallow clone, fetch more (fetch-depth: 0)"

# A report of an earlier run must not stand in for one that this run did not write. GATE_OUT may name
# anything, so that outside of target/ only a folder of verdicts is removed.
case $out in
target/*) ;;
*)
    [ ! -e "$out" ] || [ -f "$out/verdicts.json" ] ||
        could_not_run "'$out' exists and holds no verdicts; name another folder in GATE_OUT"
    ;;
esac
rm -rf "$out"

status=0
cargo run --release --package bitgauge -- \
    gate --against "$commit" ${GATE_MARGIN:+--margin "$GATE_MARGIN"} --max-time "$max_time" --out "$out" || status=$?

if [ "$status" -eq 101 ]; then
    could_not_run "the gate did not build, or failed in a way that it should not"
fi
case $status in
0 | 1 | 4)
    for file in verdicts.json report.md junit.xml; do
        [ -s "$out/$file" ] || could_not_run "the gate ended with $status and left no $out/$file"
    done
    ;;
esac
if [ "$status" -eq 4 ] && [ "$unclear" = pass ]; then
    echo "ci/gate.sh: unclear within $max_time s; passing, since GATE_UNCLEAR=pass" >&2
    status=0
fi
exit "$status"
