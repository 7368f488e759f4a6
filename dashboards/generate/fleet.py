"""The fleet dashboard: firing alerts, the worst containers, the hosts. It queries only recorded series and series that
exist once per host, so that a thousand hosts with a hundred containers each are only a few thousand series."""

from grafana_foundation_sdk.builders.common import TableSortByFieldState

from .common import (FIRING, HOST, ORANGE, RED, TEXT, frame, latest, link_to_container, link_to_exporter, prop, rows,
                     series, severities, steps, transform)
from .panels import HIDDEN, alerts_over_time, cells, column, lines, number, paged, row

NO_RULES = "no recorded series: load alerts/recording.yaml"
TASKS_OF_LIMIT = f"instance:pstree_tasks:sum{{{HOST}}} / instance:pstree_tasks:limit{{{HOST}}}"

JOB, INSTANCE, NAME = "${__data.fields.job}", "${__data.fields.instance}", "${__data.fields.name}"
TO_CONTAINER = link_to_container(INSTANCE, NAME, JOB, "Container ${__data.fields.name}")
TO_HOST = link_to_container(INSTANCE, "All", JOB, f"All containers of {INSTANCE}")
TO_EXPORTER = link_to_exporter(INSTANCE, JOB)
HOST_LABELS = {
    "Time": HIDDEN,
    "job": HIDDEN,
    "instance": column(displayName="Host", links=[TO_HOST, TO_EXPORTER]),
}
LABELS = HOST_LABELS | {"name": column(displayName="Container", links=[TO_CONTAINER])}


def firing_now():
    labels = "severity, alertname, job, instance, name"
    queries = [
        rows("state", severities(labels)),
        rows("firing", f"count_over_time(group by ({labels}) (ALERTS{{{FIRING}}})[$__range:$__interval])"
                       f" * $__interval_ms / 1000 and group by ({labels}) (ALERTS{{{FIRING}}})"),
    ]
    order = ["severity", "alertname", "name", "instance", "Value #firing"]
    transformations = [
        transform("merge", {}),
        transform("sortBy", {"sort": [{"field": "Value #state", "desc": True}]}),
        transform("organize", {"indexByName": {name: place for place, name in enumerate(order)}}),
    ]
    severity = column(displayName="Severity", width=90)
    severity += column(mappings=[{"type": "value", "options": {
        "critical": {"text": "critical", "color": RED, "index": 0},
        "warning": {"text": "warning", "color": ORANGE, "index": 1},
    }}], **{"custom.cellOptions": {"type": "color-background", "mode": "basic"}})
    columns = LABELS | {
        "alertname": column(displayName="Alert", links=[TO_CONTAINER, TO_EXPORTER]),
        "severity": severity,
        "Value #state": HIDDEN,
        "Value #firing": column("s", 110, displayName="Firing for", decimals=0),
    }
    return paged(cells(
        "Firing alerts",
        "Critical alerts first. Click an alert to open its container in this time range; a row without a container is "
        "about the host or its exporter. The duration counts only the selected time range.",
        queries, transformations, columns, none="No alert is firing.", width=12, height=13))


def fired():
    labels = {name: f"${{__field.labels.{name}}}" for name in ["instance", "name", "job"]}
    link = link_to_container(**labels, title=f"Container {labels['name']}")
    each = severities("alertname, job, instance, name")
    # The same rows for the whole time range, as many as Grafana shows on one page.
    longest = f"topk(20, sum_over_time(({each})[$__range:$__interval] @ end()))"
    panel = alerts_over_time(
        "Alert history: the 20 longest",
        "When each alert was firing; red is critical, which counts twice. The alert that fired first is often closest to "
        "the cause. Many alerts that start together have one cause, such as a host or a release.",
        series(f"{each} and {longest}", "{{alertname}} · {{name}} {{instance}}"),
        none="No alert fired in this time range.", width=12, height=13)
    return panel.override_by_regexp("/.*/", [prop("links", [link])])


def worst(title: str, description: str, expr: str, unit: str, header: str, none: str, limits=None, decimals=None,
          command: str | None = None):
    """`command` is an expression whose label of this name is another column."""
    queries = [rows("worst", f"sort_desc(topk(20, max by (job, instance, name) ({expr})))")]
    value = column(unit, 90, limits, displayName=header)
    if decimals is not None:
        value += column(decimals=decimals)
    order, transformations, columns = ["name", "Value", "instance"], [], LABELS | {"Value": value}
    if command:
        # With two queries, the name of a value has that of its query.
        queries.append(rows("command", f"max by (job, instance, name, command) ({command})"))
        order, transformations = ["name", "Value #worst", "command", "instance"], [transform("merge", {})]
        columns = LABELS | {"Value #worst": value, "command": column(displayName="Most by"), "Value #command": HIDDEN}
    places = {name: place for place, name in enumerate(order)}
    transformations.append(transform("organize", {"indexByName": places}))
    return cells(title, description, queries, transformations, columns, none=none, width=8, height=7)


def worst_containers():
    return [
        worst("Closest to the pids limit",
              "Share of the pids limit in use: of the container, or of a cgroup above it, such as a pod, that is closer "
              "to its limit. Above 80 % find out why it grows. At 100 % forks fail and even docker exec fails: raise that "
              "limit or stop the process that forks. Containers without a limit are not shown.",
              f"container:pstree_pids_usage:worst3{{{HOST}}}", "percentunit", "Limit used",
              "No container has a pids limit.", steps(TEXT, (0.8, ORANGE), (0.95, RED)), decimals=0),
        worst("Highest start rate",
              "Processes started per second; without BPF an estimate (a lower bound). Builds and shell scripts start "
              "many processes; a container that is new in this table and remains is a runaway. With BPF, the command that "
              "starts most of them.",
              f"container:pstree_starts:worst3{{{HOST}}}", "short", "Per second", NO_RULES,
              steps(TEXT, (50, ORANGE)), decimals=1,
              command=f"container:pstree_command_starts:worst3{{{HOST}}}"),
        worst("Most zombies",
              "Exited processes that their parent has not reaped. Each one uses a pid. If they remain or grow, the "
              "parent on the Container dashboard has a bug: fix it, or run the container with --init.",
              f"container:pstree_zombies:worst3{{{HOST}}}", "short", "Zombies",
              "No zombies.", steps(TEXT, (5, ORANGE), (100, RED))),
        worst("Most exec processes",
              "Processes that docker exec or kubectl exec started and that have run for a minute: forgotten shells, "
              "health checks that hang. Five or more: kill them, and fix the script that starts them.",
              f"container:pstree_execs:worst3{{{HOST}}}", "short", "Exec",
              "No exec processes.", steps(TEXT, (5, ORANGE))),
        worst("Highest growth in 10 minutes",
              "Increase of the number of processes over the minimum of the last ten minutes. A container that starts is "
              "shown for ten minutes; a container that remains leaks processes.",
              f"container:pstree_growth10m:worst3{{{HOST}}}", "short", "Increase",
              "No container grew.", steps(TEXT, (20, ORANGE))),
    ]


def counts():
    alerts = "count(max by (alertname, job, instance, name) (ALERTS{%s,severity=\"%s\"}))"
    return [
        number("Critical alerts", "Firing alerts that require immediate action. They are first in the table above.",
               "short", latest(alerts % (FIRING, "critical")), steps(TEXT, (1, RED))),
        number("Warnings", "Firing alerts that can wait until working hours if no critical alert is firing.",
               "short", latest(alerts % (FIRING, "warning")), steps(TEXT, (1, ORANGE))),
        number("Hosts not scraped", "Exporters that Prometheus cannot scrape: their containers are not monitored. Check "
               "that the host and its exporter run.",
               "short", latest(f'count(up{{{HOST},job=~"pstree.*"}} == 0)'), steps(TEXT, (1, RED))),
        number("Hosts scraped", "Hosts whose exporter is scraped. If hosts are missing, check the scrape "
               "configuration.",
               "short", latest(f'count(up{{{HOST},job=~"pstree.*"}} == 1)'), none="none"),
        number("Containers", "Containers with at least one process. A sudden drop means that many stopped; a steady rise "
               "means that something starts containers without limit.",
               "short", latest(f"sum(instance:pstree_containers:sum{{{HOST}}})"), none=NO_RULES),
        number("Processes", "Processes in all containers. Continuous growth is a leak or a runaway: see the tables of "
               "the worst containers.",
               "short", latest(f"sum(instance:pstree_processes:sum{{{HOST}}})"), none=NO_RULES),
        number("Starts per second", "Processes started in all containers; without BPF an estimate (a lower bound). If it "
               "is far above the normal rate, see the table with the highest start rate.",
               "short", latest(f"sum(instance:pstree_starts:sum_rate{{{HOST}}})"), none=NO_RULES),
        number("Zombies", "Zombies in all containers. A few short-lived zombies are normal; hundreds that remain use up "
               "pids: see the table with the most zombies.",
               "short", latest(f"sum(instance:pstree_zombies:sum{{{HOST}}})"), steps(TEXT, (100, ORANGE)),
               none=NO_RULES),
    ]


def hosts():
    def per_host(ref, expr):
        return rows(ref, f"max by (job, instance) ({expr})")

    queries = [
        per_host("up", f'up{{{HOST},job=~"pstree.*"}}'),
        per_host("usage", TASKS_OF_LIMIT),
        per_host("containers", f"instance:pstree_containers:sum{{{HOST}}}"),
        per_host("processes", f"instance:pstree_processes:sum{{{HOST}}}"),
        per_host("starts", f"instance:pstree_starts:sum_rate{{{HOST}}}"),
        per_host("zombies", f"instance:pstree_zombies:sum{{{HOST}}}"),
        per_host("outside", f"pstree_host_processes{{{HOST}}} - pstree_host_kernel_threads{{{HOST}}}"),
    ]
    scraped = [{"type": "value", "options": {"0": {"text": "no", "color": RED, "index": 0},
                                             "1": {"text": "yes", "index": 1}}}]
    columns = HOST_LABELS | {
        "Value #up": column(displayName="Scraped", mappings=scraped, **{"custom.cellOptions": {"type": "color-text"}}),
        "Value #usage": column("percentunit", limits=steps(TEXT, (0.6, ORANGE), (0.85, RED)),
                               displayName="Pids used", decimals=1),
        "Value #containers": column(displayName="Containers"),
        "Value #processes": column(displayName="Processes"),
        "Value #starts": column(displayName="Starts/s", decimals=1),
        "Value #zombies": column(displayName="Zombies", limits=steps(TEXT, (100, ORANGE))),
        "Value #outside": column(displayName="On the host"),
    }
    panel = cells(
        "Hosts",
        "One row per host: hosts that cannot be scraped first, then hosts with the fewest free pids. A host without free "
        "pids cannot start any process, including shells: stop its worst container before that.",
        queries, [transform("merge", {})], columns, none="No host is scraped: check the scrape configuration.",
        width=16, height=7)
    by = TableSortByFieldState
    return panel.sort_by([by().display_name("Scraped").desc(False), by().display_name("Pids used").desc(True)])


def fullest_hosts():
    return lines(
        "Hosts with the highest pid usage",
        "Tasks as a share of the kernel limit (pid_max or threads-max). At 85 % an alert fires; at 100 % the host cannot "
        "start any process. If a line climbs, open the host and check its worst container.",
        "percentunit",
        [series(f"topk(5, max by (instance) ({TASKS_OF_LIMIT}))", "{{instance}}")], none=NO_RULES)


def busiest_hosts():
    return lines(
        "Hosts with the highest start rate",
        "Processes started in containers per second; without BPF an estimate (a lower bound). A permanent step up is a "
        "runaway or a crash loop; compare with the table with the highest start rate.",
        "short", [series(f"topk(5, max by (instance) (instance:pstree_starts:sum_rate{{{HOST}}}))", "{{instance}}")],
        none=NO_RULES)


def dashboard():
    board = frame("pstree-fleet", "Firing alerts, and the worst containers of all hosts.")
    for panel in [firing_now(), fired(), *counts()]:
        board.with_panel(panel)
    board.with_row(row("Worst containers: three per host"))
    for panel in [*worst_containers(), busiest_hosts()]:
        board.with_panel(panel)
    board.with_row(row("Hosts"))
    for panel in [hosts(), fullest_hosts()]:
        board.with_panel(panel)
    return board
