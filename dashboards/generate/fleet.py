"""The fleet: which alerts fire and where, the worst containers, the hosts. It asks for recorded series and for what
a host has but once, so that a thousand hosts with a hundred containers each are no more than a few thousand series."""

from grafana_foundation_sdk.builders.common import TableSortByFieldState

from .common import (FIRING, HOST, ORANGE, RED, TEXT, frame, latest, link_to_container, link_to_exporter, prop, rows,
                     series, severities, steps, transform)
from .panels import HIDDEN, alerts_over_time, cells, column, lines, number, paged, row

NO_RULES = "nothing recorded: load alerts/recording.yaml"
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
        "Value #firing": column("s", 110, displayName="Has fired for", decimals=0),
    }
    return paged(cells(
        "Alerts that fire now",
        "Critical ones first. Click one to see its container in this time; a row without a container is about the "
        "host or its exporter. How long it fired counts only the chosen time.",
        queries, transformations, columns, none="No alert fires.", width=12, height=13))


def fired():
    labels = {name: f"${{__field.labels.{name}}}" for name in ["instance", "name", "job"]}
    link = link_to_container(**labels, title=f"Container {labels['name']}")
    each = severities("alertname, job, instance, name")
    # The same rows for all of the time, as many as Grafana shows without turning a page.
    longest = f"topk(20, sum_over_time(({each})[$__range:$__interval] @ end()))"
    panel = alerts_over_time(
        "Alerts over the chosen time: the 20 longest",
        "Since when each alert fires, red where it is critical, which counts twice. What begins first is mostly the "
        "cause; many rows that begin at once have one cause, such as a host or a release.",
        series(f"{each} and {longest}", "{{alertname}} · {{name}} {{instance}}"),
        none="No alert fired in this time.", width=12, height=13)
    return panel.override_by_regexp("/.*/", [prop("links", [link])])


def worst(title: str, description: str, expr: str, unit: str, header: str, none: str, limits=None, decimals=None):
    query = rows("worst", f"sort_desc(topk(20, max by (job, instance, name) ({expr})))")
    value = column(unit, 90, limits, displayName=header)
    if decimals is not None:
        value += column(decimals=decimals)
    return cells(
        title, description, [query],
        [transform("organize", {"indexByName": {"name": 0, "Value": 1, "instance": 2}})],
        LABELS | {"Value": value}, none=none, width=8, height=7)


def worst_containers():
    return [
        worst("Closest to their pids limit",
              "Tasks as a part of the limit. From 80 % on look why it grows; at 100 % forks fail and the container "
              "cannot even be entered: raise --pids-limit or stop what forks. Those without a limit are not here.",
              f"container:pstree_pids_usage:worst3{{{HOST}}}", "percentunit", "Of limit",
              "No container has a pids limit.", steps(TEXT, (0.8, ORANGE), (0.95, RED)), decimals=0),
        worst("Most processes started",
              "Processes started per second; where the kernel does not count, a lower bound. Many are usual for "
              "builds and shell scripts; what is new here and stays is a runaway.",
              f"container:pstree_starts:worst3{{{HOST}}}", "short", "Per second", NO_RULES,
              steps(TEXT, (50, ORANGE)), decimals=1),
        worst("Most zombies",
              "Exited processes that nobody reaps. Each keeps a pid. If they stay or grow, the guilty parent on the "
              "container's page has a bug: fix it, or run the container with --init.",
              f"container:pstree_zombies:worst3{{{HOST}}}", "short", "Zombies",
              "No zombies.", steps(TEXT, (5, ORANGE), (100, RED))),
        worst("Most processes left by exec",
              "Processes that docker exec or kubectl exec brought in and that have stayed for a minute: forgotten "
              "shells, health checks that hang. Five or more: end them with kill, and mend what leaves them.",
              f"container:pstree_execs:worst3{{{HOST}}}", "short", "Execs",
              "Nothing was left behind by exec.", steps(TEXT, (5, ORANGE))),
        worst("Grown most in 10 minutes",
              "Processes more than ten minutes ago at the least. A container that starts is here for ten minutes; "
              "one that stays here leaks.",
              f"container:pstree_growth10m:worst3{{{HOST}}}", "short", "More",
              "No container grew.", steps(TEXT, (20, ORANGE))),
    ]


def counts():
    alerts = "count(max by (alertname, job, instance, name) (ALERTS{%s,severity=\"%s\"}))"
    return [
        number("Critical alerts", "Alerts that fire and want somebody now. They are first in the table above.",
               "short", latest(alerts % (FIRING, "critical")), steps(TEXT, (1, RED))),
        number("Warnings", "Alerts that fire and can wait for the morning, if nothing critical is beside them.",
               "short", latest(alerts % (FIRING, "warning")), steps(TEXT, (1, ORANGE))),
        number("Hosts not scraped", "Exporters that Prometheus cannot reach: nothing is known of their containers. "
               "Check that the host and the exporter on it run.",
               "short", latest(f'count(up{{{HOST},job=~"pstree.*"}} == 0)'), steps(TEXT, (1, RED))),
        number("Hosts scraped", "Hosts whose exporter is scraped. Fewer than there should be: look at the scrape "
               "config.",
               "short", latest(f'count(up{{{HOST},job=~"pstree.*"}} == 1)'), none="none"),
        number("Containers", "Containers that have a process. A sudden drop means that many stopped, a steady rise "
               "that something starts them without end.",
               "short", latest(f"sum(instance:pstree_containers:sum{{{HOST}}})"), none=NO_RULES),
        number("Processes", "Processes in all containers. Growth without a plateau is a leak or a runaway: see the "
               "tables of the worst.",
               "short", latest(f"sum(instance:pstree_processes:sum{{{HOST}}})"), none=NO_RULES),
        number("Starts a second", "Processes started in all containers. Far above what is usual for the fleet: the "
               "table of most processes started names who.",
               "short", latest(f"sum(instance:pstree_starts:sum_rate1m{{{HOST}}})"), none=NO_RULES),
        number("Zombies", "Zombies in all containers. A few come and go; hundreds that stay take pids from all: the "
               "table of most zombies names who.",
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
        per_host("starts", f"instance:pstree_starts:sum_rate1m{{{HOST}}}"),
        per_host("zombies", f"instance:pstree_zombies:sum{{{HOST}}}"),
        per_host("outside", f"pstree_host_processes{{{HOST}}} - pstree_host_kernel_threads{{{HOST}}}"),
    ]
    scraped = [{"type": "value", "options": {"0": {"text": "no", "color": RED, "index": 0},
                                             "1": {"text": "yes", "index": 1}}}]
    columns = HOST_LABELS | {
        "Value #up": column(displayName="Scraped", mappings=scraped, **{"custom.cellOptions": {"type": "color-text"}}),
        "Value #usage": column("percentunit", limits=steps(TEXT, (0.6, ORANGE), (0.85, RED)),
                               displayName="Pids in use", decimals=1),
        "Value #containers": column(displayName="Containers"),
        "Value #processes": column(displayName="Processes"),
        "Value #starts": column(displayName="Starts a second", decimals=1),
        "Value #zombies": column(displayName="Zombies", limits=steps(TEXT, (100, ORANGE))),
        "Value #outside": column(displayName="Outside"),
    }
    panel = cells(
        "Hosts",
        "One row for each host, those that cannot be scraped first, then those with the fewest free pids. When a "
        "host's pids are used up nothing can be started on it, no shell either: stop its worst container while you "
        "can.",
        queries, [transform("merge", {})], columns, none="No host is scraped: look at the scrape config.",
        width=16, height=7)
    by = TableSortByFieldState
    return panel.sort_by([by().display_name("Scraped").desc(False), by().display_name("Pids in use").desc(True)])


def fullest_hosts():
    return lines(
        "Pids in use, fullest hosts",
        "Tasks as a part of what the kernel allows (pid_max or threads-max). At 85 % an alert fires; at 100 % "
        "nothing can be started there. A line that climbs: open the host and look at its worst container.",
        "percentunit",
        [series(f"topk(5, max by (instance) ({TASKS_OF_LIMIT}))", "{{instance}}")], none=NO_RULES)


def busiest_hosts():
    return lines(
        "Starts a second, busiest hosts",
        "Processes started in containers. A step up that stays is a runaway or a crash loop; compare with the table "
        "of most processes started.",
        "short", [series(f"topk(5, max by (instance) (instance:pstree_starts:sum_rate1m{{{HOST}}}))", "{{instance}}")],
        none=NO_RULES)


def dashboard():
    board = frame("pstree-fleet", "Which alerts fire and where, and the worst containers of all hosts.")
    for panel in [firing_now(), fired(), *counts()]:
        board.with_panel(panel)
    board.with_row(row("Worst containers: three of each host"))
    for panel in [*worst_containers(), busiest_hosts()]:
        board.with_panel(panel)
    board.with_row(row("Hosts"))
    for panel in [hosts(), fullest_hosts()]:
        board.with_panel(panel)
    return board
