"""The exporter dashboard: whether the other dashboards are complete and current, and the cost of the exporter."""

from .common import (FIRING, GREY, HOST, ORANGE, RED, TEXT, annotation, frame, latest, rows, series, severities,
                     steps, transform)
from .panels import HIDDEN, alerts_over_time, cells, column, legend_table, lines, number, paint, row

# Alerts about an exporter have no container, and are not about the host's pids.
OF_EXPORTERS = f'{FIRING},name="",alertname!="PstreeHostPidsExhausted"'
# Other exporters have process_* metrics with the same names; this join excludes them if all jobs are selected.
OURS = f"and on (job, instance) pstree_build_info{{{HOST}}}"
# Relative to the scrape: the time since the scrape does not depend on the exporter.
TAKEN = f"pstree_last_collection_timestamp_seconds{{{HOST}}}"
AGE = f"timestamp({TAKEN}) - {TAKEN}"
NOT_COUNTED = "BPF event counters are not available on these hosts: see Source and Reason."


def rate(name: str) -> str:
    return f"rate({name}{{{HOST}}}[$__rate_interval])"


def alerts():
    return alerts_over_time(
        "Alerts about exporters",
        "When an exporter was down, stale, saw only some processes or lost events. While an alert is red, the other "
        "dashboards are wrong for that host. The runbook of the alert (docs/runbooks) says what to do.",
        series(severities("alertname, instance", OF_EXPORTERS), "{{alertname}} · {{instance}}"),
        none="No alert about an exporter fired in this time range.", height=4)


def numbers():
    def hosts_where(condition: str):
        return latest(f"count({condition})")

    intervals = f"({AGE}) / on (job, instance) pstree_collection_interval_seconds{{{HOST}}}"
    return [
        number("Oldest snapshot", "Age of the oldest snapshot when it was scraped, in collection intervals. Above 3 the "
               "exporter hangs or lacks CPU: read its log, and check the collection time below.",
               "suffix: intervals", latest(f"max({intervals})"), steps(TEXT, (2, ORANGE), (3, RED)),
               none="no exporter").decimals(1),
        number("Not scraped", "Exporters that Prometheus cannot scrape. Their hosts are not monitored: check that the "
               "exporters run, and check the network.",
               "short", hosts_where(f'up{{{HOST},job=~"pstree.*"}} == 0'), steps(TEXT, (1, RED))),
        number("Failing collectors", "Collectors whose last run failed; the table shows the host. processes: all data is "
               "stale. docker and cri: names are not updated. pids and events: their metrics are not updated.",
               "short", hosts_where(f"pstree_collector_success{{{HOST}}} == 0"), steps(TEXT, (1, RED))),
        number("Partial view", "Hosts on which the exporter sees only some of the processes, because of hidepid or its "
               "own pid namespace. The log of the exporter names the fix.",
               "short", hosts_where(f"max by (job, instance) (pstree_source_partial{{{HOST}}}) == 1"),
               steps(TEXT, (1, ORANGE))),
        number("Docker down", "Hosts with a Docker API that does not respond any more. Only names depend on it: known names remain, new "
               "containers are shown with the first digits of their id.",
               "short", hosts_where(f"min by (job, instance) (pstree_docker_up{{{HOST}}}) == 0"), steps(TEXT, (1, ORANGE))),
        number("Fallback to /proc", "Hosts without the requirements of BPF: process starts are an estimate (a lower "
               "bound), execs and exits are not available. The reason is in the table, the fix in "
               "docs/kernel-counters.md. Exporters "
               "that read /proc because of a flag are not counted.",
               "short", hosts_where(f'pstree_source_info{{{HOST},source!="bpf",reason!="flag"}}'),
               steps(TEXT, (1, ORANGE))),
        number("Events lost", "Forks, execs and exits that BPF could not count in the time range, usually because a map "
               "was full: raise --bounds.event-cgroups. The rates are too low by this amount.",
               "short", latest(f"sum(increase(pstree_events_lost_total{{{HOST}}}[$__range]))"), steps(TEXT, (1, RED)),
               none="not counted").decimals(0),
        number("Trees truncated", "Hosts on which a limit currently merges tree nodes into other. This is not an error: "
               "the trees have less detail, all sums are exact. Raise --bounds.nodes-per-container for more detail.",
               "short", hosts_where(f"{rate('pstree_tree_nodes_folded_total')} > 0")),
    ]


def table():
    def per_host(ref: str, expr: str, labels: str = ""):
        return rows(ref, f"max by (job, instance{labels}) ({expr})")

    queries = [
        per_host("up", f'up{{{HOST},job=~"pstree.*"}}'),
        per_host("source", f"pstree_source_info{{{HOST}}}", ", source, cgroup, reason"),
        per_host("version", f"pstree_build_info{{{HOST}}}", ", version"),
        per_host("age", AGE),
        per_host("interval", f"pstree_collection_interval_seconds{{{HOST}}}"),
        per_host("took", f'pstree_collector_duration_seconds{{{HOST},collector="processes"}}'),
        rows("failing", f"sum by (job, instance) (pstree_collector_success{{{HOST}}} == bool 0)"),
        rows("docker", f"min by (job, instance) (pstree_docker_up{{{HOST}}})"),
        per_host("partial", f"pstree_source_partial{{{HOST}}}"),
        per_host("cpu", f"{rate('process_cpu_seconds_total')} {OURS}"),
        per_host("memory", f"process_resident_memory_bytes{{{HOST}}} {OURS}"),
    ]

    def words(zero: tuple, one: tuple):
        options = {str(value): {"text": text, "index": value} | ({"color": shade} if shade else {})
                   for value, (text, shade) in enumerate([zero, one])}
        return [{"type": "value", "options": options}]

    colored = {"custom.cellOptions": {"type": "color-text"}}
    # All reasons except that BPF is available, and that a flag disables it.
    reasons = [{"type": "regex", "options": {
        "pattern": "/^(?!available$|flag$)(.+)$/", "result": {"text": "$1", "color": ORANGE, "index": 0}}}]
    columns = {
        "Time": HIDDEN, "job": HIDDEN, "Value #source": HIDDEN, "Value #version": HIDDEN,
        "instance": column(displayName="Host"),
        "Value #up": column(displayName="Scraped", mappings=words(("no", RED), ("yes", None)), **colored),
        "source": column(displayName="Source"),
        "reason": column(displayName="Reason", mappings=reasons, **colored),
        "cgroup": column(displayName="Cgroups"),
        "version": column(displayName="Version"),
        "Value #age": column("s", displayName="Snapshot age", decimals=1),
        "Value #interval": column("s", displayName="Interval"),
        "Value #took": column("s", displayName="Duration"),
        "Value #failing": column(displayName="Failing", limits=steps(TEXT, (1, RED))),
        "Value #docker": column(displayName="Docker", mappings=words(("down", ORANGE), ("up", None)), **colored),
        "Value #partial": column(displayName="View", mappings=words(("complete", None), ("partial", ORANGE)), **colored),
        "Value #cpu": column("percentunit", displayName="CPU"),
        "Value #memory": column("bytes", displayName="Memory"),
    }
    order = ["instance", "Value #up", "source", "reason", "cgroup", "version"]
    order += [f"Value #{ref}" for ref in ["age", "interval", "took", "failing", "docker", "partial", "cpu", "memory"]]
    transformations = [
        transform("merge", {}),
        transform("sortBy", {"sort": [{"field": "Value #age", "desc": True}]}),
        transform("organize", {"indexByName": {name: place for place, name in enumerate(order)}}),
    ]
    return cells(
        "Exporters",
        "One row per exporter, the oldest snapshot first. Source bpf: event counters are exact. Source proc has a "
        "reason: rights (grant CAP_BPF and CAP_PERFMON), flag (configured), btf, kernel, hierarchy, procfs, memory, "
        "failed; see docs/kernel-counters.md.",
        queries, transformations, columns, none="No exporter is scraped: check the scrape configuration.", width=24,
        height=7)


def truth():
    skipped = lines(
        "Processes skipped per second",
        "Processes that were listed but could not be read. vanished: the process exited in between, which is normal; a "
        "high rate indicates a fork storm. denied: the exporter lacks permissions. malformed: a bug, or no procfs.",
        "short", [series(f"sum by (instance, reason) ({rate('pstree_collection_skipped_processes_total')})",
                         "{{reason}} · {{instance}}")]).axis_soft_max(1)
    paint(skipped, "/^vanished/", GREY)
    paint(skipped, "/^denied/", ORANGE)
    paint(skipped, "/^malformed/", RED)
    events = lines(
        "Events lost and unattributed per second",
        "lost: a BPF map was full; raise --bounds.event-cgroups. unattributed: events in cgroups that were created and "
        "removed between two collections, as with short-lived containers; a shorter interval attributes more of them.",
        "short",
        [series(f"sum by (instance) ({rate('pstree_events_lost_total')})", "lost · {{instance}}"),
         series(f"sum by (instance) ({rate('pstree_events_unattributed_total')})", "unattributed · {{instance}}",
                "B")],
        none=NOT_COUNTED).axis_soft_max(1)
    paint(events, "/^lost/", RED)
    paint(events, "/^unattributed/", GREY)
    folded = lines(
        "Tree nodes merged into other per second",
        "Nodes that a limit merged into other. If it stays above 0, a container has more different command paths than "
        "--bounds.nodes-per-container, or it renames its processes.",
        "short", [series(f"sum by (instance) ({rate('pstree_tree_nodes_folded_total')})", "{{instance}}")])
    return [skipped, events, folded.axis_soft_max(1)]


def freshness():
    age = lines(
        "Age of the snapshot",
        "Age of the snapshot when it was scraped. A sawtooth below the interval is normal. A line that climbs is an "
        "exporter that hangs, and all graphs of that host are flat from then on.",
        "s", [series(f"max by (instance) ({AGE})", "{{instance}}")], width=12)
    took = lines(
        "Collection time as a share of the interval",
        "Duration of the last run of each collector. Above one half the exporter increases its interval and logs it: too "
        "many processes, too little CPU, or /proc is read although BPF is available.",
        "percentunit",
        [series(f"max by (job, instance, collector) (pstree_collector_duration_seconds{{{HOST}}})"
                " / on (job, instance) group_left ()"
                f" max by (job, instance) (pstree_collection_interval_seconds{{{HOST}}})",
                "{{collector}} · {{instance}}")],
        width=12, limits=steps("transparent", (0.5, ORANGE)))
    return [age, legend_table(took)]


def cost():
    cpu = lines(
        "CPU of the exporter",
        "Share of one CPU. It depends on the number of processes on the host and on the interval, not on scrapes. Above "
        "10 %: increase --collection.interval, or grant the capabilities for BPF.",
        "percentunit", [series(f"sum by (instance) ({rate('process_cpu_seconds_total')} {OURS})", "{{instance}}")])
    memory = lines(
        "Memory of the exporter",
        "Resident memory. It depends on the number of processes and containers and shrinks only partly; unlimited growth "
        "is a bug.",
        "bytes", [series(f"max by (instance) (process_resident_memory_bytes{{{HOST}}} {OURS})", "{{instance}}")])
    fds = lines(
        "File descriptors of the exporter",
        "Open file descriptors: one per connection, and a few more. Hundreds indicate a client that opens too many "
        "connections; at process_max_fds scrapes wait and the Docker API cannot be reached.",
        "short",
        [series(f"max by (instance) (process_open_fds{{{HOST}}} {OURS})", "{{instance}}")])
    return [cpu, memory, fds]


def dashboard():
    board = frame("pstree-exporter",
                  "Whether the other dashboards are complete and current, and the cost of the exporter.")
    start = f"max by (instance) (process_start_time_seconds{{{HOST}}} {OURS}) * 1000"
    board.annotation(annotation("Exporter started", start, GREY))
    board.annotation(annotation("Alerts", f"ALERTS{{{OF_EXPORTERS}}}", RED))
    for panel in [alerts(), *numbers(), table()]:
        board.with_panel(panel)
    board.with_row(row("Freshness"))
    for panel in freshness():
        board.with_panel(panel)
    board.with_row(row("Completeness"))
    for panel in truth():
        board.with_panel(panel)
    board.with_row(row("Resource usage"))
    for panel in cost():
        board.with_panel(panel)
    return board
