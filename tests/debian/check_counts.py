"""Waits until the exporter reports the same numbers as /proc: all processes, and seven known processes.

    check_counts.py TIMEOUT_SECONDS
"""

import os
import re
import sys
import time
import urllib.request

SAMPLE = re.compile(r"^(\w+)(\{.*\})? (\S+)$")


def scraped():
    with urllib.request.urlopen("http://127.0.0.1:10073/metrics", timeout=5) as answer:
        matches = map(SAMPLE.match, answer.read().decode().splitlines())
    return [(match[1], match[2] or "", float(match[3])) for match in matches if match]


def total(samples, families, label=""):
    return sum(value for family, labels, value in samples if family in families and label in labels)


def listed():
    names = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as file:
                names.append(file.read().strip())
        except OSError:
            pass
    return len(names), names.count("counted")


deadline = time.monotonic() + float(sys.argv[1])
while True:
    try:
        samples = scraped()
        seen = (
            total(samples, {"pstree_container_processes", "pstree_host_processes"}),
            total(samples, {"pstree_container_tree_node_processes"}, 'comm="counted"'),
        )
    except OSError as error:
        seen = error
    there = listed()
    if seen == there and there[1] == 7:
        print(f"ok: {there[0]} processes, including the {there[1]} known ones")
        break
    if time.monotonic() > deadline:
        sys.exit(f"FAILED: timed out: /proc has {there}, the exporter reports {seen}")
    time.sleep(0.2)
