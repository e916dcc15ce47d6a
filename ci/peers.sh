#!/usr/bin/env bash
# Pairs a peer's llama-bench with ours, in A B B A order: ci/peers.sh LLAMA_BENCH MODEL.gguf [OURS_MODEL]
#
# LLAMA_BENCH and MODEL.gguf are made elsewhere, and MODEL.gguf is given to both. A peer whose format we
# can't read needs the same weights in one that we can, as OURS_MODEL: that they are the same is then
# your word. Each program reports its own speed, and is believed (`compare --reported llama-bench`).
#
#   PEERS_PROMPT    tokens of the prompt (0: no such test)                [128]
#   PEERS_GENERATE  tokens to generate (0: no such test)                  [64]
#   PEERS_THREADS   numbers of threads                                    [1 2 4 ... up to all CPUs]
#   PEERS_HEAD      how ours finds tokens: `exact` (all logits, as the
#                   peer) or `quantized` (the same tokens, less to read)  [exact]
#   PEERS_MARGIN    speedups within this count as unchanged               [2%]
#   PEERS_MAX_TIME  seconds of measuring for each test and thread count   [300]
#   PEERS_TIMEOUT   seconds that one process may take                     [600]
#   PEERS_OUT       the folder of results, which is made anew             [target/ci-peers]
#   BITGAUGE        our binary                                            [built here]
#
# Exit status: 0 all were paired, whoever is faster; 2 something could not be; 3 ours answers wrongly.
set -euo pipefail
export LC_ALL=C

could_not_run() {
    echo "ci/peers.sh: $*" >&2
    exit 2
}

# The path as it is from anywhere.
absolute() { echo "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"; }

# A word as a shell takes it literally.
quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

[ $# -eq 2 ] || [ $# -eq 3 ] ||
    could_not_run "usage: ci/peers.sh LLAMA_BENCH MODEL.gguf [OURS_MODEL]; settings are at its head"
[ -f "$1" ] || could_not_run "'$1': no such file; the path of a peer's llama-bench is needed"
[ -x "$1" ] || could_not_run "'$1' is not executable; the path of a peer's llama-bench is needed"
[ -f "$2" ] || could_not_run "'$2': no such file; the path of a GGUF file that the peer reads is needed"
peer=$(absolute "$1")
model=$(absolute "$2")
ours_model=$model
weights="both read the same file"
if [ $# -eq 3 ]; then
    ours_model=$3
    [ ! -e "$3" ] || ours_model=$(absolute "$3")
    weights="ours reads $ours_model; whether it holds the same or other weights is the user's word"
fi
[ -z "${BITGAUGE:-}" ] || [ -x "$BITGAUGE" ] || could_not_run "BITGAUGE: '$BITGAUGE' is not executable"
bitgauge=${BITGAUGE:+$(absolute "$BITGAUGE")}
cd "$(dirname "$0")/.."

cpus=$(nproc)
threads=${PEERS_THREADS:-$(n=1; while [ "$n" -lt "$cpus" ]; do echo "$n"; n=$((2 * n)); done; echo "$cpus")}
prompt=${PEERS_PROMPT:-128}
generate=${PEERS_GENERATE:-64}
head=${PEERS_HEAD:-exact}
margin=${PEERS_MARGIN:-2%}
max_time=${PEERS_MAX_TIME:-300}
timeout=${PEERS_TIMEOUT:-600}
out=${PEERS_OUT:-target/ci-peers}

# `number NAME VALUE LEAST`
number() {
    case $2 in
    '' | *[!0-9]*) could_not_run "$1 is '$2'; a whole number is needed" ;;
    esac
    [ "$2" -ge "$3" ] || could_not_run "$1 is '$2'; at least $3 is needed"
}
number PEERS_PROMPT "$prompt" 0
number PEERS_GENERATE "$generate" 0
for n in $threads; do number PEERS_THREADS "$n" 1; done
case $head in
exact | quantized) ;;
*) could_not_run "PEERS_HEAD is '$head'; it must be 'exact' or 'quantized'" ;;
esac
tests=()
[ "$prompt" -eq 0 ] || tests+=("pp$prompt -p $prompt -n 0")
[ "$generate" -eq 0 ] || tests+=("tg$generate -p 0 -n $generate")
[ ${#tests[@]} -gt 0 ] || could_not_run "nothing to compare: PEERS_PROMPT and PEERS_GENERATE are 0"

# PEERS_OUT may name anything: outside of target/ only a folder of this script is removed.
case $out in
target/*) ;;
*)
    [ ! -e "$out" ] || [ -f "$out/peer.json" ] ||
        could_not_run "'$out' exists and is not of this script; name another folder in PEERS_OUT"
    ;;
esac
rm -rf "$out"
mkdir -p "$out"

if [ -z "$bitgauge" ]; then
    cargo build --release --package bitgauge
    bitgauge=$PWD/${CARGO_TARGET_DIR:-target}/release/bitgauge
fi

# One small test of each by itself, where its own words can be read.
smallest="-p 1 -n 0"
[ "$prompt" -gt 0 ] || smallest="-p 0 -n 1"
# shellcheck disable=SC2086 # words
"$peer" -m "$model" $smallest -t 1 -r 1 -o json >"$out/peer.json" 2>"$out/peer.log" || {
    cat "$out/peer.log" >&2
    could_not_run "'$peer' failed on '$model'; what it said is above"
}
grep -q '"avg_ts"' "$out/peer.json" ||
    could_not_run "'$peer' printed no JSON for '-o json'; a llama-bench is needed, see $out/peer.json"
"$bitgauge" import --from llama-bench "$out/peer.json" >"$out/peer.txt" ||
    could_not_run "'$peer' printed what can't be used; see $out/peer.json"
# shellcheck disable=SC2086 # words
"$bitgauge" bench "$ours_model" $smallest --threads 1 -r 1 -o json >"$out/ours.json" 2>"$out/ours.log" || {
    cat "$out/ours.log" >&2
    could_not_run "bitgauge can't use '$ours_model'; what it said is above"
}

{
    echo "peer: $peer"
    echo
    echo "model: $model; $weights. Speeds are token/s, as reported by the programs; ours with --head $head."
    echo
    echo "| test | threads | peer | ours | speedup | 95 % interval | verdict |"
    echo "| --- | ---: | ---: | ---: | ---: | --- | --- |"
} >"$out/table"
status=0
for test in "${tests[@]}"; do
    name=${test%% *}
    lengths=${test#* }
    for n in $threads; do
        dir=$out/$name-t$n
        echo "ci/peers.sh: $name with threads: $n" >&2
        ended=0
        "$bitgauge" compare --command --reported llama-bench \
            --margin "$margin" --max-time "$max_time" --timeout "$timeout" --out "$dir" \
            "$(quoted "$peer") -m $(quoted "$model") $lengths -t $n -r 1 -o json" \
            "$(quoted "$bitgauge") bench $(quoted "$ours_model") $lengths --threads $n -r 1 -o json --head $head" \
            >&2 || ended=$?
        case $ended in
        0 | 1 | 4) ;;
        3) status=3 ;;
        *) [ "$status" -ne 0 ] || status=2 ;;
        esac
        [ -s "$dir/verdicts.csv" ] || could_not_run "the comparison left no $dir/verdicts.csv"
        awk -F, -v test="$name" -v threads="$n" -v dir="$dir" '
            $1 != "command" { next }
            $2 == "not checked" {
                printf "| %s | %s | | | | | not checked: see %s/report.md |\n", test, threads, dir
                next
            }
            {
                says["improved"] = "ours is faster"
                says["regressed"] = "ours is slower"
                end = "no bound"
                low = $4 == "" ? end : sprintf("%.3f", $4)
                high = $5 == "" ? end : sprintf("%.3f", $5)
                verdict = $2 in says ? says[$2] : $2
                printf "| %s | %s | %.2f | %.2f | %.3f | %s to %s | %s |\n",
                    test, threads, 1e9 / $9, 1e9 / $10, $3, low, high, verdict
            }' "$dir/verdicts.csv" >>"$out/table"
    done
done
mv "$out/table" "$out/peers.md"
cat "$out/peers.md"
exit "$status"
