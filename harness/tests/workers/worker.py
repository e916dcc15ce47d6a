"""A worker in Python, written from the protocol's description alone."""

import json
import os
import sys
import time
import zlib

NUMBERS = list(range(2000))
CASES = {
    "sum": lambda: sum(NUMBERS),
    "reverse": lambda: NUMBERS[::-1],
    "padding": lambda: len(os.environ.get("BITGAUGE_PADDING", "")),
    "processors": lambda: sorted(os.sched_getaffinity(0)),
}

for line in sys.stdin:
    request = json.loads(line)
    if request["op"] == "hello":
        answer = {"name": "python", "cases": [{"id": case} for case in CASES]}
    elif request["op"] == "run":
        work = CASES[request["case"]]
        start = time.perf_counter_ns()
        for _ in range(request["iterations"]):
            result = work()
        ns = time.perf_counter_ns() - start
        answer = {"ns": ns, "check": f"{zlib.crc32(repr(result).encode()):08X}"}
    else:
        break
    print(json.dumps(answer), flush=True)
