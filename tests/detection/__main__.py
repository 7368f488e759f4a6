"""How fast the shipped rules detect incidents, and how often they fire on ordinary days: make detection.

    python3 -m detection RULES [--intervals 10 15 30 60] [--evaluations 10 30 60] [--days 30] [--family TEXT] [--half HALF]
        [--verbose]

RULES is the directory of the rule files for scrapes every 10 s; those for other intervals are in rendered/. Evaluations are
seconds, `same` as the scrapes, or `none` for no incidents; --days 0 is for no ordinary days. Prints the tables of
docs/detection.md. Fails if an incident is detected too late, or if there are more false alarms than allowed.
"""

import argparse
import collections
import itertools
import os
import statistics
import sys
import tempfile

from . import incidents, ordinary
from .container import outages, series_of, series_of_exporter
from .prometheus import START, play

# Before the onset of an incident.
CALM = 1200
# Longer incidents are played separately, so that the short ones do not take as long.
SHORT = 1320
HALVES = ["tuning", "held back"]
# Alerts about no container, and about replicas in which nothing happens.
OTHERS = "host, exporter, other containers"


def rules_for(root, interval):
    return root if interval == 10 else os.path.join(root, "rendered", f"{interval}s")


def play_traces(traces, is_down, rules, interval, evaluation, before, after):
    """{name of the trace, or OTHERS: [(alert, severity, begin, end)]}, in seconds after the onset."""
    count = (before + after) // interval + 1
    down = outages(is_down, interval, count, before)
    owners = {}

    def series():
        yield from series_of_exporter(down, interval)
        for number, trace in enumerate(traces):
            # Each host collects at its own moments.
            for metric, labels, values in series_of(trace, down, interval, before, START, (number * 1.7) % 5):
                if "replica" not in labels.get("id", ""):
                    owners[labels.get("name") or labels.get("pod_uid")] = trace.name
                yield metric, labels, values

    fired = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        for labels, (begin, end) in play(series(), rules, interval, evaluation, before + after, scratch):
            owner = owners.get(labels.get("name") or labels.get("pod_uid"), OTHERS)
            fired[owner].append((labels["alertname"], labels["severity"], begin - before, end - before))
    return fired


def play_incidents(traces, rules, interval, evaluation):
    """[(trace, alert or None, seconds or None)]: the first of the trace's alerts after the onset."""
    rows = []
    for is_short in (True, False):
        some = [trace for trace in traces if (trace.duration <= SHORT) == is_short]
        if not some:
            continue
        after = int(max(trace.duration for trace in some))
        fired = play_traces(some, None, rules, interval, evaluation, CALM, after)
        assert not fired[OTHERS], fired[OTHERS]
        for trace in some:
            early = [it for it in fired[trace.name] if it[2] < 0]
            assert not early, f"{trace.title}: {early} before the onset"
            own = [it for it in fired[trace.name] if it[0] in trace.alerts]
            alert, _, at, _ = min(own, key=lambda it: it[2], default=(None, None, None, None))
            rows.append((trace, alert, at))
    return rows


def is_late(row, interval):
    trace, _, at = row
    return at is None or at > trace.deadline(interval)


def print_incidents(results):
    """`results` is {(interval, evaluation): rows}."""
    families = dict.fromkeys(trace.family for rows in results.values() for trace, _, _ in rows)
    print("\n| incident | " + " | ".join(f"{interval} s / {evaluation} s" for interval, evaluation in results) + " |")
    print("|---|" + "--:|" * len(results))
    for family in families:
        cells = []
        for (interval, _), rows in results.items():
            own = [row for row in rows if row[0].family == family]
            detected = [at for _, _, at in own if at is not None]
            in_time = sum(not is_late(row, interval) for row in own)
            median = f"{statistics.median(detected):.0f} s" if detected else "none detected"
            cells.append(f"{in_time} of {len(own)}, {median}")
        print(f"| {family} | {' | '.join(cells)} |")
    for half in HALVES:
        cells = []
        for (interval, _), rows in results.items():
            own = [row for row in rows if row[0].held_back == (half == "held back")]
            cells.append(f"{sum(not is_late(row, interval) for row in own)} of {len(own)}")
        print(f"| **{half}** | {' | '.join(cells)} |")


def counted(alarms):
    """On the first day of a container, slow growth may warn."""
    return [it for it in alarms if it[3] >= ordinary.DAY]


def print_ordinary(results, days):
    """`results` is {(interval, half): [(family, alert, severity, begin, end)]}."""
    print("\n| ordinary container | " + " | ".join(f"{interval} s, {half}" for interval, half in results) + " |")
    print("|---|" + "--:|" * len(results))
    for family in [family for family, _ in ordinary.KINDS] + [OTHERS]:
        cells = []
        for alarms in results.values():
            number = collections.Counter(
                f"{alert}{'' if begin >= ordinary.DAY else ', first day'}" for of, alert, _, begin, _ in alarms if of == family
            )
            cells.append("; ".join(f"{count} {alert}" for alert, count in sorted(number.items())) or "none")
        print(f"| {family} | {' | '.join(cells)} |")
    cells = [f"{len(counted(alarms))} in {len(ordinary.KINDS) * (days - 1)} days" for alarms in results.values()]
    print(f"| **from the second day on** | {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("rules")
    parser.add_argument("--intervals", type=int, nargs="+", default=[10, 15, 30, 60])
    parser.add_argument("--evaluations", nargs="+", default=["10", "30", "60"])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--family", default="", help="only families whose name contains this")
    parser.add_argument("--half", choices=HALVES, help="only this half of the ordinary containers")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    failures = []
    traces = [it for it in incidents.all_incidents() if arguments.family in it.family]
    results = {}
    for interval, evaluation in itertools.product(arguments.intervals, arguments.evaluations):
        if evaluation == "none":
            continue
        evaluation = interval if evaluation == "same" else int(evaluation)
        rows = play_incidents(traces, rules_for(arguments.rules, interval), interval, evaluation)
        results[interval, evaluation] = rows
        for trace, alert, at in rows:
            late = is_late((trace, alert, at), interval)
            line = (
                f"scrapes every {interval} s, evaluation every {evaluation} s: {trace.family}, {trace.title}: "
                f"{alert} after {at} s, deadline {trace.deadline(interval):.0f} s"
            )
            if late:
                failures.append(line)
            if late or arguments.verbose:
                print(line, file=sys.stderr, flush=True)
    if results:
        print_incidents(results)
    quiet = {}
    for interval in arguments.intervals if arguments.days else []:
        halves = [arguments.half] if arguments.half else HALVES
        traces = [
            it for it in ordinary.all_ordinary(arguments.days)
            if arguments.family in it.family and HALVES[it.held_back] in halves
        ]
        seconds = arguments.days * ordinary.DAY
        is_down = ordinary.exporter_restarts(arguments.days)
        alarms = play_traces(traces, is_down, rules_for(arguments.rules, interval), interval, interval, 0, seconds)
        number = 0
        for half in halves:
            false = [
                (trace.family, *alarm)
                for trace in traces if trace.held_back == (half == "held back")
                for alarm in alarms[trace.name]
            ]
            if half == halves[0]:
                false += [(OTHERS, *alarm) for alarm in alarms[OTHERS]]
            quiet[interval, half] = false
            critical = [it for it in false if it[2] == "critical"]
            warnings = [it for it in counted(false) if it[2] == "warning"]
            for it in critical + warnings:
                print(f"scrapes every {interval} s, {half}: {it}", file=sys.stderr, flush=True)
            if critical:
                failures.append(f"scrapes every {interval} s, {half}: {len(critical)} false critical alerts")
            number += len(warnings)
        # One in thirty days, over all containers.
        if number > arguments.days // 30:
            failures.append(f"scrapes every {interval} s: {number} false warnings")
    if quiet:
        print_ordinary(quiet, arguments.days)
    for failure in failures:
        print(f"FAILED: {failure}")
    sys.exit(bool(failures))


main()
