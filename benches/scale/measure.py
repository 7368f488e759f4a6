"""Measures the cost of a fleet for a real Prometheus with the shipped rules, as Markdown tables with one column per size.

Starts synthetic targets (targets.py) and Prometheus, waits until both are stable, and measures series, memory, CPU, rule
evaluation, and the queries of the fleet dashboard compared to the same queries on raw series. Requires prometheus and
promtool.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from questions import fleet_questions, raw, read_records, users_of
from server import MIB, RULES, Prometheus, Targets, await_that


def table(*rows):
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows[1:]:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def say(what):
    print(time.strftime("%H:%M:%S"), what, file=sys.stderr, flush=True)


def config(sd, flags):
    relabel = textwrap.indent(flags.relabel.read_text(), "    ") if flags.relabel else ""
    return f"""
global: {{scrape_interval: {flags.interval}s, evaluation_interval: {flags.interval}s}}
rule_files: ["{RULES}/*.yaml"]
scrape_configs:
  - job_name: pstree
    file_sd_configs: [{{files: ["{sd}"]}}]
{relabel}"""


def load_history(directory, history):
    """Uses few blocks, because promtool reads the whole file once per block."""
    say(f"loading {history.stat().st_size / MIB:.0f} MiB of history")
    subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=24h",
                    history, directory / "data"], check=True, stdout=subprocess.DEVNULL)
    history.unlink()


def watch(prometheus, seconds):
    """Measures rates over an idle period without queries."""
    begun, cpu, first = time.monotonic(), prometheus.cpu_seconds(), prometheus.own_metrics()
    groups, resident = {}, []
    while time.monotonic() - begun < seconds:
        time.sleep(5)
        metrics = prometheus.own_metrics()
        resident.append(prometheus.resident())
        for group, took in prometheus.rule_groups(metrics).items():
            groups.setdefault(group, []).extend([took] if took else [])  # 0 until its first evaluation
    span = time.monotonic() - begun

    def total(part):
        return sum(value for name, value in metrics.items() if part in name)
    return {
        "series": int(metrics["prometheus_tsdb_head_series"]),
        "appended": sum(metrics[name] - first[name] for name in metrics if "head_samples_appended_total" in name) / span,
        "cpu": (prometheus.cpu_seconds() - cpu) / span, "resident": statistics.median(resident),
        "heap": metrics["go_memstats_heap_inuse_bytes"], "groups": groups,
        "failures": total("rule_evaluation_failures_total"), "missed": total("group_iterations_missed_total"),
    }


def cost(prometheus, seen, hosts, flags):
    number = prometheus.number
    recorded = number('count({__name__=~".+:pstree_.+"})')
    for_dashboards = number('count({__name__=~"instance:pstree_.+|container:pstree_.+:worst3"})')
    scraped = number('count({job="pstree",__name__!~".+:pstree_.+|ALERTS.*"})')
    return {
        "series in the head": f"{seen['series']:,}",
        "scraped per host": f"{scraped / hosts:,.0f}",
        "recorded per container": f"{recorded / hosts / flags.containers:.2f}",
        "recorded for the fleet dashboard per host": f"{for_dashboards / hosts:.0f}",
        "samples per second": f"{seen['appended']:,.0f}",
        "resident memory, MiB": f"{seen['resident'] / MIB:,.0f}",
        "peak resident memory, including rules and startup, MiB": f"{prometheus.resident('VmHWM') / MIB:,.0f}",
        "resident bytes per series": f"{seen['resident'] / seen['series']:,.0f}",
        "Go heap in use, MiB": f"{seen['heap'] / MIB:,.0f}",
        "CPU, cores": f"{seen['cpu']:.2f}",
        "slowest scrape, ms": f"{1000 * number('max(scrape_duration_seconds)'):.0f}",
        "rule evaluations failed, missed": f"{seen['failures']:.0f}, {seen['missed']:.0f}",
    }


def rules(seen):
    return {group: f"{1000 * statistics.median(took):,.0f} ({1000 * max(took):,.0f})"
            for group, took in sorted(seen["groups"].items()) if took}


def show_families(prometheus, containers):
    result = prometheus.instant('sort_desc(count by (__name__) ({__name__=~"pstree_.+|process_.+"}))')["result"]
    total = sum(int(each["value"][1]) for each in result)
    rows = [("family", "series per container", "share", "used by")]
    for each in result:
        name, count = each["metric"]["__name__"], int(each["value"][1])
        if count < total / 500:
            break
        rows.append((f"`{name}`", f"{count / containers:.2f}", f"{100 * count / total:.1f} %",
                     ", ".join(users_of(name)) or "nothing"))
    table(*rows)


def questions(prometheus, flags):
    """Milliseconds of each query of the fleet dashboard, and of the same query on raw series."""
    records, rows = read_records(), {}
    sums, others = [0, 0, 0, 0], []
    for title, expr, instant in fleet_questions(flags.range, flags.interval):
        seconds = 0 if instant else flags.range
        ours, ours_read = prometheus.time_query(expr, seconds, flags.interval, flags.times)
        twin = raw(expr, records)
        if twin == expr:
            others.append(ours)
            continue
        theirs, theirs_read = prometheus.time_query(twin, seconds, flags.interval, flags.times)
        sums = [a + b for a, b in zip(sums, (ours, theirs, ours_read, theirs_read))]
        rows[title + ("" if instant else f", over {seconds} s")] = f"{ours:.1f}, {theirs:,.1f}"
    rows["all of these queries"] = f"{sums[0]:.0f}, {sums[1]:,.0f}"
    rows["samples read by these queries"] = f"{sums[2]:,}, {sums[3]:,}"
    rows[f"the other {len(others)} queries, without recorded series"] = f"{sum(others):.0f}"
    return rows


def measure(hosts, flags, is_last):
    with tempfile.TemporaryDirectory(prefix="pstree-scale-") as directory:
        directory = Path(directory)
        history = directory / "history.om"
        say(f"creating {hosts} hosts")
        with Targets(directory, f"--hosts={hosts}", f"--containers={flags.containers}", f"--churn={flags.churn}",
                     f"--interval={flags.interval}", f"--history={history}") as targets:
            load_history(directory, history)
            with Prometheus(directory, config(targets.sd, flags)) as prometheus:
                say("waiting for scrapes")
                await_that(lambda: prometheus.number("sum(up)") == hosts, "every target is up")
                enough = flags.settle // flags.interval
                await_that(lambda: prometheus.number("min(count_over_time(up[1h]))") >= enough, "scrapes",
                           2 * flags.settle + 60, every=3)
                say("measuring")
                seen = watch(prometheus, flags.watch)
                result = cost(prometheus, seen, hosts, flags), rules(seen)
                say("running queries")
                result += (questions(prometheus, flags),)
                if is_last:
                    table((f"slowest rules, {hosts} hosts", "ms"),
                          *((rule, f"{1000 * took:,.0f}") for took, rule in prometheus.costliest_rules(6)))
                    show_families(prometheus, hosts * flags.containers)
    return result


def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--hosts", type=int, nargs="+", default=[10, 30, 100])
    flags.add_argument("--containers", type=int, default=100, help="containers per host")
    flags.add_argument("--churn", type=float, default=0.1, help="share of the containers that are replaced per hour")
    flags.add_argument("--interval", type=int, default=10, help="seconds between scrapes, and between evaluations")
    flags.add_argument("--settle", type=int, default=240, help="seconds of scrapes before the measurement; all rules run within five minutes")
    flags.add_argument("--watch", type=int, default=60, help="seconds of the measurement")
    flags.add_argument("--range", type=int, default=240, help="time range of range queries in seconds")
    flags.add_argument("--times", type=int, default=3, help="repetitions of each query; the median is reported")
    flags.add_argument("--relabel", type=Path, help="a file with metric_relabel_configs")
    flags = flags.parse_args()
    results = [measure(hosts, flags, hosts == flags.hosts[-1]) for hosts in flags.hosts]
    sizes = [f"{hosts} × {flags.containers}" for hosts in flags.hosts]
    titles = (f"Prometheus, scrape interval {flags.interval} s", "rule group, ms: median (worst)", "query, ms: recorded, raw")
    for title, columns in zip(titles, zip(*results)):
        table((title, *sizes), *((row, *(column.get(row, "") for column in columns)) for row in columns[-1]))
    say("done")


if __name__ == "__main__":
    main()
