"""The exporter: whether what the other dashboards show is true and fresh, and what it costs."""

from .common import (FIRING, GREY, HOST, ORANGE, RED, TEXT, annotation, frame, latest, rows, series, severities,
                     steps, transform)
from .panels import HIDDEN, alerts_over_time, cells, column, legend_table, lines, number, paint, row

# Alerts about an exporter are about no container, and not about the host's pids.
OF_EXPORTERS = f'{FIRING},name="",alertname!="PstreeHostPidsExhausted"'
# The process_* of other exporters have the same names; with "All" jobs they must stay out.
OURS = f"and on (job, instance) pstree_build_info{{{HOST}}}"
# Without the time since the scrape, which says nothing about the exporter.
TAKEN = f"pstree_last_collection_timestamp_seconds{{{HOST}}}"
AGE = f"timestamp({TAKEN}) - {TAKEN}"
NOT_COUNTED = "The kernel does not count events on these hosts: see Source and Reason."


def rate(name: str) -> str:
    return f"rate({name}{{{HOST}}}[$__rate_interval])"


def alerts():
    return alerts_over_time(
        "Alerts about exporters",
        "Since when an exporter is down, stale, blind or losing events. While one is red, do not believe what the "
        "other dashboards show of that host; its runbook (docs/runbooks) says what to do.",
        series(severities("alertname, instance", OF_EXPORTERS), "{{alertname}} · {{instance}}"),
        none="No alert about an exporter fired in this time.", height=4)


def numbers():
    def hosts_where(condition: str):
        return latest(f"count({condition})")

    intervals = f"({AGE}) / on (job, instance) pstree_collection_interval_seconds{{{HOST}}}"
    return [
        number("Oldest snapshot", "Age of the oldest numbers when scraped, in intervals between collections. Above 3 "
               "that exporter is stuck or starved of CPU: read its log, and look at the collection time below.",
               "suffix: intervals", latest(f"max({intervals})"), steps(TEXT, (2, ORANGE), (3, RED)),
               none="no exporter").decimals(1),
        number("Not scraped", "Exporters that Prometheus cannot reach. Nothing is known of their hosts: check that "
               "they run, and the network between.",
               "short", hosts_where(f'up{{{HOST},job=~"pstree.*"}} == 0'), steps(TEXT, (1, RED))),
        number("Collectors failing", "Parts of exporters whose last run failed; the table says where. Processes: "
               "nothing is fresh. Docker: names stay as they were. Pids and events: their metrics stand still.",
               "short", hosts_where(f"pstree_collector_success{{{HOST}}} == 0"), steps(TEXT, (1, RED))),
        number("Seen in part", "Hosts where only some of the processes can be seen, by hidepid or a pid namespace "
               "around the exporter. Its log names the remedy.",
               "short", hosts_where(f"max by (job, instance) (pstree_source_partial{{{HOST}}}) == 1"),
               steps(TEXT, (1, ORANGE))),
        number("Docker away", "Hosts whose Docker does not answer. Only names depend on it: known ones stay, new "
               "containers show the first digits of their id.",
               "short", hosts_where(f"pstree_docker_up{{{HOST}}} == 0"), steps(TEXT, (1, ORANGE))),
        number("Fell back to /proc", "Hosts that lack what BPF needs: forks are a lower bound there, execs and exits "
               "are not known. The table's reason says what, and the README how to grant it. Those that were told to "
               "read /proc by a flag are not counted.",
               "short", hosts_where(f'pstree_source_info{{{HOST},source!="bpf",reason!="flag"}}'),
               steps(TEXT, (1, ORANGE))),
        number("Events lost", "Forks, execs and exits that a kernel could not count in the chosen time, mostly for "
               "want of room: raise --bounds.event-cgroups there. Rates are too low by as much.",
               "short", latest(f"sum(increase(pstree_events_lost_total{{{HOST}}}[$__range]))"), steps(TEXT, (1, RED)),
               none="not counted").decimals(0),
        number("Trees simplified", "Hosts where a cap puts tree nodes under other just now. No fault: trees are "
               "coarser there, and every sum stays exact. Raise --bounds.nodes-per-container if you need the detail.",
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
        per_host("docker", f"pstree_docker_up{{{HOST}}}"),
        per_host("partial", f"pstree_source_partial{{{HOST}}}"),
        per_host("cpu", f"{rate('process_cpu_seconds_total')} {OURS}"),
        per_host("memory", f"process_resident_memory_bytes{{{HOST}}} {OURS}"),
    ]

    def words(zero: tuple, one: tuple):
        options = {str(value): {"text": text, "index": value} | ({"color": shade} if shade else {})
                   for value, (text, shade) in enumerate([zero, one])}
        return [{"type": "value", "options": options}]

    colored = {"custom.cellOptions": {"type": "color-text"}}
    # Every reason but that all is there, and that somebody wanted it so.
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
        "Value #took": column("s", displayName="Took"),
        "Value #failing": column(displayName="Failing", limits=steps(TEXT, (1, RED))),
        "Value #docker": column(displayName="Docker", mappings=words(("away", ORANGE), ("answers", None)), **colored),
        "Value #partial": column(displayName="Sees", mappings=words(("all", None), ("a part", ORANGE)), **colored),
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
        "One row for each, the oldest snapshot first. Source bpf: the kernel counts. Source proc, with the reason: "
        "rights (grant CAP_BPF and CAP_PERFMON), flag (asked for), btf, kernel, hierarchy, procfs, memory, failed; "
        "see the README.",
        queries, transformations, columns, none="No exporter is scraped: look at the scrape config.", width=24,
        height=7)


def truth():
    skipped = lines(
        "Processes skipped per second",
        "Listed, but not read. Vanished is usual: they ended in between, and many of them mean a fork storm. Denied: "
        "rights are missing. Malformed: a bug, or a procfs of something else.",
        "short", [series(f"sum by (instance, reason) ({rate('pstree_collection_skipped_processes_total')})",
                         "{{reason}} · {{instance}}")]).axis_soft_max(1)
    paint(skipped, "/^vanished/", GREY)
    paint(skipped, "/^denied/", ORANGE)
    paint(skipped, "/^malformed/", RED)
    events = lines(
        "Events lost and unattributed per second",
        "Lost: the kernel had no room, raise --bounds.event-cgroups. Unattributed: in cgroups that came and went "
        "between two collections, as short-lived containers do; a shorter interval finds more of them.",
        "short",
        [series(f"sum by (instance) ({rate('pstree_events_lost_total')})", "lost · {{instance}}"),
         series(f"sum by (instance) ({rate('pstree_events_unattributed_total')})", "unattributed · {{instance}}",
                "B")],
        none=NOT_COUNTED).axis_soft_max(1)
    paint(events, "/^lost/", RED)
    paint(events, "/^unattributed/", GREY)
    folded = lines(
        "Tree nodes folded per second",
        "Nodes that a cap put under other. Steadily above 0: a container with more kinds of processes than "
        "--bounds.nodes-per-container, or one that renames its processes.",
        "short", [series(f"sum by (instance) ({rate('pstree_tree_nodes_folded_total')})", "{{instance}}")])
    return [skipped, events, folded.axis_soft_max(1)]


def freshness():
    age = lines(
        "Age of the snapshot",
        "How old the numbers were when they were scraped. Saw teeth below the interval are right; a line that climbs "
        "is an exporter that is stuck, and every graph of that host is flat from there on.",
        "s", [series(f"max by (instance) ({AGE})", "{{instance}}")], width=12)
    took = lines(
        "Collection time, as a part of the interval",
        "How long the last run of each part took. From one half on the exporter collects less often and says so in "
        "its log: too many processes, too little CPU, or /proc where BPF could be used.",
        "percentunit",
        [series(f"max by (instance, collector) (pstree_collector_duration_seconds{{{HOST}}})"
                " / on (instance) group_left ()"
                f" max by (instance) (pstree_collection_interval_seconds{{{HOST}}})", "{{collector}} · {{instance}}")],
        width=12, limits=steps("transparent", (0.5, ORANGE)))
    return [age, legend_table(took)]


def cost():
    cpu = lines(
        "CPU of the exporter",
        "Part of one CPU. It grows with the processes of the host and with a shorter interval, not with scrapes. "
        "Above a tenth: lengthen --collection.interval, or grant what BPF needs.",
        "percentunit", [series(f"sum by (instance) ({rate('process_cpu_seconds_total')} {OURS})", "{{instance}}")])
    memory = lines(
        "Memory of the exporter",
        "Resident memory. It follows the number of processes and containers and comes down again only in part; "
        "growth without end is a bug.",
        "bytes", [series(f"max by (instance) (process_resident_memory_bytes{{{HOST}}} {OURS})", "{{instance}}")])
    fds = lines(
        "File descriptors of the exporter",
        "Open ones: one for each connection, and a few more. Hundreds: somebody connects without end; at "
        "process_max_fds scrapes wait and Docker is not reached.",
        "short",
        [series(f"max by (instance) (process_open_fds{{{HOST}}} {OURS})", "{{instance}}")])
    return [cpu, memory, fds]


def dashboard():
    board = frame("pstree-exporter", "Whether what the other dashboards show is true and fresh, and what it costs.")
    start = f"max by (instance) (process_start_time_seconds{{{HOST}}} {OURS}) * 1000"
    board.annotation(annotation("Exporter started", start, GREY))
    board.annotation(annotation("Alerts", f"ALERTS{{{OF_EXPORTERS}}}", RED))
    for panel in [alerts(), *numbers(), table()]:
        board.with_panel(panel)
    board.with_row(row("Fresh"))
    for panel in freshness():
        board.with_panel(panel)
    board.with_row(row("True"))
    for panel in truth():
        board.with_panel(panel)
    board.with_row(row("Cheap"))
    for panel in cost():
        board.with_panel(panel)
    return board
