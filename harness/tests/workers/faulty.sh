# A worker that breaks the protocol in the way that its first argument names. Its second argument,
# where a way needs one, is a file to write to or a digest to answer. Each iteration is one round
# of a loop, some hundreds of nanoseconds. A third argument has it judge its answers.
way=$1
argument=$2
judged=$3
runs=0

answer() { echo "{\"ns\":$1,\"check\":\"$2\"}"; }

work() {
    i=0
    while [ "$i" -lt "$n" ]; do i=$((i + 1)); done
}

hello() {
    case $way in
    dies-at-hello) echo "no licence found" >&2; exit 3 ;;
    no-cases) echo '{"name":"faulty","cases":[]}' ;;
    twin-cases) echo '{"name":"faulty","cases":[{"id":"a"},{"id":"a"}]}' ;;
    nameless) echo '{"cases":[{"id":"a"}]}' ;;
    refuses-hello) echo '{"error":"not today"}' ;;
    babbles) echo "Welcome to faulty 1.0"; echo '{"name":"faulty","cases":[{"id":"a"}]}' ;;
    *) echo '{"name":"faulty","cases":[{"id":"a"},{"id":"b"}],"colour":"red"}' ;;
    esac
}

run() {
    case $way in
    dies-in-fifth-run) [ "$runs" -lt 5 ] || kill -SEGV $$; answer 1 aa ;;
    exits-politely) exit 0 ;;
    hangs) sleep 1000 & echo $! > "$argument"; wait ;;
    drips) while :; do printf x; sleep 0.05; done ;;
    garbage) echo "segmentation fault (core dumped)" ;;
    half) echo '{"ns":5}' ;;
    endless-line) exec cat /dev/zero ;;
    too-long) answer 1000000000 aa ;;
    always-1) work; answer 1 aa ;;
    hundredth) work; answer $((n * 5)) aa ;;
    set-up-each-time) sleep 0.02; answer $((n + 500)) aa ;;
    digest) answer 1000 "$argument" ;;
    wrong) [ -n "$judged" ] && echo '{"error":"off by 3","exit":3}' || answer 1000 aa ;;
    two-faced) [ -n "$judged" ] && answer 1000 ab || answer 1000 aa ;;
    flips) [ "$runs" -lt 4 ] && answer 1000 aa || answer 1000 ab ;;
    loud) head -c 3000000 /dev/zero | tr '\0' e >&2; echo THE END >&2; answer 1000 aa; way=quits ;;
    quits) exit 9 ;;
    closes-stdout) exec 1>&-; sleep 1000 ;;
    leaves-a-child) sleep 1000 & echo $! > "$argument"; exit 7 ;;
    answers-twice) answer 1000 aa; answer 1000 aa ;;
    adds-later) answer 1000 aa; sleep 0.02; echo "and another thing" ;;
    refuses) [ "$id" = a ] && echo '{"error":"needs a GPU"}' || echo '{"error":"off by 3","exit":3}' ;;
    *) answer 1000 aa ;;
    esac
}

while read -r line; do
    case $line in
    *'"hello"'*) hello ;;
    *'"run"'*)
        n=${line##*'"iterations":'}
        n=${n%%[!0-9]*}
        id=${line##*'"case":"'}
        id=${id%%'"'*}
        runs=$((runs + 1))
        run
        ;;
    *'"bye"'*)
        [ "$way" != says-goodbye ] || echo bye > "$argument"
        [ "$way" != stays ] || { echo $$ > "$argument"; sleep 1000; }
        exit 0
        ;;
    esac
done
