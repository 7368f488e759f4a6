"""The container dashboard: one container, or the containers of one service, with alerts, process tree and history.
Series are aggregated without their id, so that a container that is recreated with the same name continues its line."""

from grafana_foundation_sdk.models.dashboard import FieldColorModeId

from .common import (BLUE, CONTAINER, FIRING, GREEN, GREY, HOST, ORANGE, RED, TEXT, annotation, color, frame, latest,
                     prop, rows, series, severities, steps, transform, variable)
from .panels import alerts_over_time, buckets, graph, legend_table, lines, number, paint, row, shape, stacked

LEGEND = "{{name}} · {{instance}}"
EXEC, INIT, WITH_PARENT = ',kind="exec"', ',kind="init"', ',parent!=""'
NO_KERNEL = "BPF event counters are not available on this host (see the Exporter dashboard)."
NONE_STARTED = "No process was started in this time range, or BPF is not available."
KERNEL_ONLY = (" Without BPF (see the Exporter dashboard) only process starts are available, as an estimate: a lower "
               "bound based on what collections saw.")


def metric(name: str, more: str = "") -> str:
    return f"pstree_container_{name}{{{CONTAINER}{more}}}"


def rate(name: str) -> str:
    return f"rate(pstree_container_{name}_total{{{CONTAINER}}}[$__rate_interval])"


# Exact with BPF. Without BPF an estimate: a lower bound, based on what collections saw.
STARTS = f"{rate('forks')} or {rate('observed_starts')}"
# The start time of the init process, and so of the container.
STARTED = metric("oldest_root_start_time_seconds", INIT)


KILLS = f"increase({metric('oom_kills_total')}[$__rate_interval])"


def each(operation: str, expr: str) -> str:
    """One series per name and host, whatever the ids of the containers were."""
    return f"{operation} by (job, instance, name) ({expr})"


def alerts():
    return alerts_over_time(
        "Alerts of this container",
        "When each alert was firing; red is critical. The runbook of the alert (docs/runbooks) says what to do. The "
        "alert that fired first is often closest to the cause. The graphs below show the same time range.",
        series(severities("alertname, instance, name", f'{FIRING},name=~"$name"'), "{{alertname}} · {{name}}"),
        none="No alert fired for this container in this time range.", height=5)


def numbers():
    return [
        number("Uptime", "Time since the start of the youngest init process. If it is always a few minutes, the "
               "container crashes and restarts; the grey lines in the graphs mark the starts.",
               "dtdurations", latest(f"time() - max({STARTED})"),
               steps(ORANGE, (600, TEXT)), none="not running"),
        number("Processes", "Number of processes, including zombies. If it grows, the graph by command path shows which "
               "command leaks.", "short", latest(f"sum({metric('processes')})"), none="not running"),
        number("Threads", "Threads of all processes. Thousands of threads in a few processes indicate a thread pool "
               "without a limit.",
               "short", latest(f"sum({metric('threads')})"), none="not running"),
        number("Tree depth", "Number of processes on the longest path from a root to a leaf. More than 50 indicate a "
               "script that calls itself, or a supervisor that starts supervisors.",
               "short", latest(f"max({metric('tree_depth')})"), steps(TEXT, (30, ORANGE), (51, RED)),
               none="not running"),
        number("Zombies", "Exited processes that their parent has not reaped. If they remain, find the parent in the "
               "panel below, and run the container with --init.",
               "short", latest(f"sum({metric('zombie_processes')})"), steps(TEXT, (5, ORANGE), (100, RED)),
               none="not running"),
        number("Exec processes", "Root processes that were started by exec and are still running. One may be a user "
               "session; five or more are leaked shells or health checks that hang.",
               "short", latest(f"sum({metric('root_processes', EXEC)})"), steps(TEXT, (5, ORANGE)), none="not running"),
        number("Pids limit used", "Share of the pids limit in use: of the container, or of a cgroup above it, such as a "
               "pod, that is closer to its limit. At 100 % forks fail: raise that limit, or stop the process that "
               "forks.", "percentunit", latest(f"max({metric('pids_limit_used_ratio')})"),
               steps(TEXT, (0.8, ORANGE), (0.95, RED)), none="no limit").decimals(0),
        number("Starts per second", "Current rate of process starts; an estimated lower bound without BPF. A rate far "
               "above the normal rate of this container is a runaway; the tree below shows the command.",
               "short", latest(f"sum({STARTS})"), steps(TEXT, (50, ORANGE)), none="no data yet").decimals(1),
    ]


def tree():
    """A node graph finds its fields by their real names, and `organize` only changes display names. So the queries
    create the labels, and calculations with an alias create the numeric fields. Counts are labels, because a node graph
    shows numbers with two decimals. All fields of a node are joined by its id into one frame."""
    def labelled(expr: str, **labels: str) -> str:
        for new, old in labels.items():
            expr = f'label_replace({expr}, "{new}", "$1", "{old}", "(.+)")'
        return expr

    key = "path, parent, comm"
    processes = f"sum by (path) ({metric('tree_node_processes')})"
    dead = f"sum by (path) ({metric('tree_node_zombies')})"
    nodes = f'count_values by ({key}) ("mainstat", sum by ({key}) ({metric("tree_node_processes")}))'
    zombies = f"({dead} or 0 * {processes}) / {processes}"
    marks = labelled(f'count_values by (path) ("zombies", {dead})', id="path")
    in_edges = f"sum by (path, parent) ({metric('tree_node_processes', WITH_PARENT)})"
    edges = f'count_values by (path, parent) ("mainstat", {in_edges})'
    queries = [
        rows("nodes", labelled(nodes, id="path", title="comm")),
        rows("zombies", labelled(zombies, id="path")),
        rows("marks", f'label_replace({marks}, "secondarystat", "zombies: $1", "zombies", "(.+)")'),
        rows("edges", labelled(edges, id="path", source="parent", target="path")),
    ]

    def calculate(alias: str, left: str, operator: str, right: str):
        return transform("calculateField", {
            "mode": "binary", "alias": alias, "timeSeries": False,
            "binary": {"left": left, "operator": operator, "right": right},
        })

    transformations = [
        transform("joinByField", {"byField": "id", "mode": "outer"}, only_refs="/^(nodes|zombies|marks)$/"),
        calculate("arc__zombies", "Value #zombies", "*", "1"),
        calculate("arc__alive", "1", "-", "arc__zombies"),
    ]
    return graph(
        "Process tree at the end of the time range",
        "Each node is a path of commands from a root process, with the number of processes; the red part of the ring "
        "shows zombies. An additional root was started by exec. A node that grows with every refresh forks without "
        "limit; a long chain is a process that starts itself.",
        queries, transformations, none="No process at that time.", arcs={"arc__zombies": RED, "arc__alive": BLUE})


def shape_over_time():
    padded = f'label_replace(sum by (depth) ({metric("processes_by_depth")}), "depth", "0$1", "depth", "([0-9])")'
    return shape(
        "Processes by tree depth",
        "Each row is a depth of the tree, with the roots at the top; the color shows the number of processes. If the "
        "number in a row rises, a process has more and more children. If rows appear at the bottom, a chain grows.",
        series(padded, "{{depth}}"), none="No process in this time range.")


def paths():
    panel = lines(
        "Processes by command path",
        "The fifteen largest paths, with their depth and their last three commands. A path that grows without limit is "
        "a leak or a runaway; the path shows what started it. A sawtooth pattern is a batch job.",
        "short", [series(f"topk(15, sum by (path, depth) ({metric('tree_node_processes')}))", "{{depth}} · {{path}}")],
        none="No process in this time range.", width=16, height=8)
    last_three = {"regex": "^([^;]+) · .+;([^;]+;[^;]+;[^;]+)$", "renamePattern": "$1 · … › $2"}
    panel.with_transformation(transform("renameByRegex", last_three))
    panel.with_transformation(transform("renameByRegex", {"regex": "/;/g", "renamePattern": " › "}))
    # Higher values are more purple, so growth is easy to see.
    panel.color_scheme(color(FieldColorModeId.CONTINUOUS_BL_PU))
    return legend_table(stacked(panel).line_width(1))


def roots():
    others = metric("root_processes", ',kind!="exec"')
    execs, terminals = f"sum({metric('root_processes', EXEC)})", metric("terminal_sessions")
    panel = lines(
        "Root processes by kind",
        "Processes whose parent is outside the container. init: one per container. exec: started from outside; a "
        "staircase is a leak of shells or health checks; with a terminal, it is the shell of a person. adopted: orphans "
        "that now have a parent outside.",
        "short",
        [series(f"sum by (kind) ({others}) > 0", "{{kind}}"),
         series(f"({execs} - (sum({terminals}) or {execs} * 0)) > 0", "exec", "B"),
         series(f"sum({terminals}) > 0", "exec with a terminal", "C")],
        none="No process in this time range.", width=8, height=8)
    paint(stacked(panel).axis_soft_max(4), "init", GREY)
    paint(panel, "exec", ORANGE)
    paint(panel, "exec with a terminal", RED)
    return paint(panel, "adopted", "purple")


def form():
    depth = lines(
        "Tree depth and fan-out",
        "Depth: the longest path from a root to a leaf; an alert fires above 50. Most children: the maximum for one "
        "process; hundreds indicate a worker pool or a fork storm.",
        "short",
        [series(f"max({metric('tree_depth')})", "depth"),
         series(f"max({metric('tree_max_children')})", "most children", "B")], width=6)
    paint(depth, "depth", BLUE)
    paint(depth, "most children", GREY)
    threads = lines(
        "Processes and threads",
        "If threads grow while processes do not, a thread pool has no limit, or threads hang. Both count against the "
        "pids limit.",
        "short",
        [series(f"sum({metric('processes')})", "processes"),
         series(f"sum({metric('threads')})", "threads", "B")], width=6)
    paint(threads, "processes", BLUE)
    paint(threads, "threads", GREY)
    states = lines(
        "Processes by state",
        "disk_sleep: blocked in the kernel, usually on storage, and cannot be killed; if it lasts for minutes, a disk or "
        "network file system hangs, or the container is paused. zombie: see the panel by parent. Many in running: the "
        "container is short of CPU.",
        "short", [series(f"sum by (state) ({metric('processes_by_state')}) > 0", "{{state}}")], width=6)
    stacked(states)
    for state, shade in {"sleeping": BLUE, "running": GREEN, "idle": GREY, "disk_sleep": RED, "zombie": ORANGE,
                         "stopped": "purple", "tracing_stop": "purple", "dead": GREY}.items():
        paint(states, state, shade)
    containers = lines(
        "Processes by container",
        "The ten largest of the selected containers. If one differs from the others of its service, the cause is in that "
        "container; if all grow, the cause is something they share.",
        "short", [series(f"topk(10, {each('sum', metric('processes'))})", LEGEND)], width=6)
    return [depth, threads, states, containers]


def incidents():
    parents = lines(
        "Zombies by parent",
        "Zombies by the command that does not reap its children; the bug is in that command. Restarting it frees the "
        "pids. --init helps only if that command is the first process of the container.",
        "short", [series(f"sum by (job, instance, name, parent) ({metric('zombie_processes_by_parent')}) > 0",
                         "{{parent}} · {{name}}")], none="No zombies in this time range.")
    age = lines(
        "Age of the oldest exec process",
        "Age of the oldest process that was started by exec. A line that climbs for hours is a forgotten shell or a "
        "health check that hangs: find it with docker top, then kill it.",
        "s", [series(f"time() - {each('min', metric('oldest_root_start_time_seconds', EXEC))}", LEGEND)],
        none="No exec process in this time range.")
    refused = rate("pids_limit_hits")
    limit = lines(
        "Tasks and pids limit",
        "Tasks, and as a dashed line how many the container can have until a pids limit rejects forks: its own limit, "
        "or that of a cgroup above it, such as a pod. The line falls if other containers use the same limit. Red shows "
        "forks and threads per second that the limit rejected (right axis): programs in the container then fail. Raise "
        "that limit, or stop the process that forks.",
        "short",
        [series(each("sum", metric("pids_current")), f"tasks · {LEGEND}"),
         series(f"{each('sum', metric('pids_current'))} + {each('min', metric('pids_headroom'))}", f"limit · {LEGEND}", "B"),
         series(f"{each('sum', refused)} > 0", f"rejected · {LEGEND}", "C")])
    paint(limit, "/^tasks/", BLUE)
    paint(limit, "/^limit/", ORANGE, prop("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}))
    paint(limit, "/^rejected/", RED, prop("custom.fillOpacity", 25), prop("custom.axisPlacement", "right"),
          prop("custom.axisLabel", "rejected per second"))
    paint(parents, "/.*/", ORANGE)
    paint(age, "/.*/", ORANGE)
    return [limit, parents, age]


def events():
    kinds = lines(
        "Forks, execs and thread starts per second",
        "Processes started, programs executed, threads started. Forks without execs are workers that fork themselves. A "
        "high rate of thread starts indicates a thread pool that is recreated for each request." + KERNEL_ONLY,
        "short",
        [series(f"sum({STARTS})", "forks"),
         series(f"sum({rate('execs')})", "execs", "B"),
         series(f"sum({rate('thread_starts')})", "thread starts", "C")],
        none="No data yet.", width=12).axis_soft_max(1)
    paint(kinds, "forks", BLUE)
    paint(kinds, "execs", "purple")
    paint(kinds, "thread starts", GREY)
    exits = lines(
        "Exits per second by outcome",
        "Exits with status 0, with another status, or by a signal. Continuous failures indicate a program that fails and "
        "is restarted. Signals indicate crashes, timeouts or the OOM killer." + KERNEL_ONLY,
        "short", [series(f"sum by (outcome) ({rate('exits')})", "{{outcome}}")], none=NO_KERNEL, width=12)
    paint(stacked(exits).axis_soft_max(1), "success", GREY)
    paint(exits, "failure", ORANGE)
    paint(exits, "signal", RED)
    return [kinds, exits]


def commands():
    def by_command(name: str, labels: str = "command") -> str:
        return f"sum by ({labels}) ({rate(f'command_{name}')}) > 0"

    forks = lines(
        "Forks per second by the command that forks",
        "Processes started, by the command of the parent. A command far above the others is the cause of a storm. other: "
        "the sum of all commands that are less busy." + KERNEL_ONLY,
        "short", [series(by_command("forks"), "{{command}}")], none=NONE_STARTED, width=8, height=8)
    execs = lines(
        "Execs per second by program",
        "Programs executed, by the command that the process has afterwards. Together with the panel on the left: who "
        "starts what." + KERNEL_ONLY,
        "short", [series(by_command("execs"), "{{command}}")], none=NONE_STARTED, width=8, height=8)
    exits = lines(
        "Failures and kills per second by command",
        "Exits with a status other than 0, by a signal, or by the OOM killer. A line that continues for minutes is a "
        "worker that fails and is restarted: read its log. oom_kill: raise the memory limit, or start fewer workers.",
        "short", [series(by_command("exits", "command, outcome"), "{{command}} · {{outcome}}")],
        none="No failure in this time range, or BPF is not available.", width=8, height=8)
    for panel in [forks, execs, exits]:
        stacked(panel).axis_soft_max(1)
    paint(exits, "/oom_kill$/", RED)
    lifetimes = buckets(
        "How long processes live",
        "Exited processes per second by lifetime. Thousands below 10 ms are a storm: a script that calls small programs in "
        "a loop. A build has most between 10 ms and 1 s. A worker that should run for hours does not belong here.",
        series(f"sum by (le) (rate(pstree_container_process_lifetime_seconds_bucket{{{CONTAINER}}}[$__rate_interval]))",
               "{{le}}"), none="No process exited in this time range, or BPF is not available.")
    kills = lines(
        "OOM kills",
        "Processes that the OOM killer ended in each interval. The red lines in all graphs mark them. If the first process "
        "of the container survives, nothing else shows them.",
        "short", [series(f"{each('sum', KILLS)} > 0", LEGEND)],
        none="No OOM kill in this time range, or BPF is not available.", width=12, height=8)
    paint(kills, "/.*/", RED)
    return [forks, execs, exits, lifetimes, kills]


def variables(board):
    # These labels are empty for a container without Compose or without Kubernetes: `.*` matches it, too.
    selector = f"pstree_container_info{{{HOST}"
    for name, title, label in [
        ("project", "Compose project", "compose_project"),
        ("service", "Compose service", "compose_service"),
        ("namespace", "Namespace", "namespace"),
        ("pod", "Pod", "pod"),
    ]:
        board.with_variable(variable(name, title, f"label_values({selector}}}, {label})",
                                     "Filters the list of containers.", ".*"))
        selector += f',{label}=~"${name}"'
    board.with_variable(variable("name", "Container", f"label_values({selector}}}, name)",
                                 "All: every container of the selected hosts, independent of the other filters."))


def dashboard():
    board = frame("pstree-container", "One container: its alerts, its process tree, and their history.")
    variables(board)
    board.annotation(annotation("Restarts", f"{each('max', STARTED)} * 1000", GREY))
    board.annotation(annotation("OOM kills", f"{each('sum', KILLS)} > 0", RED))
    board.annotation(annotation("Alerts", f'ALERTS{{{FIRING},name=~"$name"}}', RED))
    for panel in [alerts(), *numbers(), tree(), shape_over_time(), paths(), roots()]:
        board.with_panel(panel)
    board.with_row(row("Problems"))
    for panel in [*incidents(), *events()]:
        board.with_panel(panel)
    board.with_row(row("Commands"))
    for panel in commands():
        board.with_panel(panel)
    board.with_row(row("Tree shape and states"))
    for panel in form():
        board.with_panel(panel)
    return board
