"""One container, or the containers of one service: its alerts, its tree, and how both came about. Series are summed
without their id, so that a container that was made anew under its name goes on as the same line."""

from grafana_foundation_sdk.models.dashboard import FieldColorModeId

from .common import (BLUE, CONTAINER, FIRING, GREEN, GREY, HOST, ORANGE, RED, TEXT, annotation, color, frame, latest,
                     prop, rows, series, severities, steps, transform, variable)
from .panels import alerts_over_time, graph, legend_table, lines, number, paint, row, shape, stacked

LEGEND = "{{name}} · {{instance}}"
EXEC, INIT, WITH_PARENT = ',kind="exec"', ',kind="init"', ',parent!=""'
NO_KERNEL = "The kernel does not count here (see the exporter's dashboard)."
KERNEL_ONLY = " Without the kernel's counts (see the exporter's dashboard) only starts are known, as a lower bound."


def metric(name: str, more: str = "") -> str:
    return f"pstree_container_{name}{{{CONTAINER}{more}}}"


def rate(name: str) -> str:
    return f"rate(pstree_container_{name}_total{{{CONTAINER}}}[$__rate_interval])"


# Exact where the kernel counts, else a lower bound.
STARTS = f"{rate('forks')} or {rate('observed_starts')}"
# When the init process was started, and so the container.
STARTED = metric("oldest_root_start_time_seconds", INIT)


def each(operation: str, expr: str) -> str:
    """One series for each name on each host, whatever its containers' ids were."""
    return f"{operation} by (instance, name) ({expr})"


def alerts():
    return alerts_over_time(
        "Alerts of this container",
        "Since when each alert fires, red where it is critical. Its runbook (docs/runbooks) says what to do; what "
        "began first is mostly the cause. The graphs below share this time.",
        series(severities("alertname, instance, name", f'{FIRING},name=~"$name"'), "{{alertname}} · {{name}}"),
        none="No alert fired for this container in this time.", height=5)


def numbers():
    return [
        number("Runs for", "Since the youngest init process was started. A few minutes, again and again: it crashes "
               "and is restarted; the grey lines in the graphs are its starts.",
               "dtdurations", latest(f"time() - max({STARTED})"),
               steps(ORANGE, (600, TEXT)), none="not running"),
        number("Processes", "Processes, zombies included. Compare with the graph by command path: what grows there "
               "is what leaks or runs away.", "short", latest(f"sum({metric('processes')})"), none="not running"),
        number("Threads", "Threads of all processes. Thousands in few processes: a pool without a bound.",
               "short", latest(f"sum({metric('threads')})"), none="not running"),
        number("Depth", "Processes on the longest path from a root to a leaf. More than 50: a script that calls "
               "itself, or a supervisor that starts supervisors.",
               "short", latest(f"max({metric('tree_depth')})"), steps(TEXT, (30, ORANGE), (51, RED)),
               none="not running"),
        number("Zombies", "Exited processes that nobody reaps. If they stay, look at the guilty parent below, and "
               "run the container with --init.",
               "short", latest(f"sum({metric('zombie_processes')})"), steps(TEXT, (5, ORANGE), (100, RED)),
               none="not running"),
        number("Left by exec", "Root processes that came in by exec and are still there. One may be a colleague; "
               "five or more are leaked shells or health checks that hang.",
               "short", latest(f"sum({metric('root_processes', EXEC)})"), steps(TEXT, (5, ORANGE)), none="not running"),
        number("Of pids limit", "Tasks as a part of the limit. At 100 % forks fail: raise --pids-limit, or stop what "
               "forks.", "percentunit",
               latest(f"max({each('sum', metric('pids_current'))} / {each('sum', metric('pids_limit'))})"),
               steps(TEXT, (0.8, ORANGE), (0.95, RED)), none="no limit").decimals(0),
        number("Starts a second", "Processes started, just now. Far above what is usual for this container: a "
               "runaway; the tree shows below which command.",
               "short", latest(f"sum({STARTS})"), steps(TEXT, (50, ORANGE)), none="not known yet").decimals(1),
    ]


def tree():
    """Node graphs read fields by their own names, which `organize` does not change: labels are made in the queries,
    numbers by calculations with an alias. Counts are labels, because node graphs show numbers with two decimals.
    All that belongs to a node is joined into one frame by its id."""
    def labelled(expr: str, **labels: str) -> str:
        for new, old in labels.items():
            expr = f'label_replace({expr}, "{new}", "$1", "{old}", "(.+)")'
        return expr

    processes = f"sum by (node) ({metric('tree_node_processes')})"
    dead = f"sum by (node) ({metric('tree_node_zombies')})"
    nodes = f'count_values by (node, comm) ("mainstat", sum by (node, comm) ({metric("tree_node_processes")}))'
    zombies = f"({dead} or 0 * {processes}) / {processes}"
    marks = labelled(f'count_values by (node) ("zombies", {dead})', id="node")
    in_edges = f"sum by (node, parent) ({metric('tree_node_processes', WITH_PARENT)})"
    edges = f'count_values by (node, parent) ("mainstat", {in_edges})'
    queries = [
        rows("nodes", labelled(nodes, id="node", title="comm")),
        rows("zombies", labelled(zombies, id="node")),
        rows("marks", f'label_replace({marks}, "secondarystat", "zombies: $1", "zombies", "(.+)")'),
        rows("edges", labelled(edges, id="node", source="parent", target="node")),
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
        "The tree, at the end of the chosen time",
        "Processes with the same commands on the way from their root are one node with their number; the red part of "
        "its ring are zombies. A root beside the main one came in by exec. A node that grows from look to look is "
        "what forks; a long chain is something that starts itself.",
        queries, transformations, none="No process at that time.", arcs={"arc__zombies": RED, "arc__alive": BLUE})


def shape_over_time():
    padded = f'label_replace(sum by (depth) ({metric("processes_by_depth")}), "depth", "0$1", "depth", "([0-9])")'
    return shape(
        "Its shape: processes by depth",
        "Rows are distances from a root, on top the roots; the scale at the foot says which colour is how many. A row "
        "that moves up the scale: one process has more and more children. Rows added below: a chain that grows.",
        series(padded, "{{depth}}"), none="No process in this time.")


def paths():
    panel = lines(
        "Processes by command path",
        "The fifteen largest, with their depth and at most their last three commands. What grows without end leaks "
        "or runs away; the path says who started it. Saw teeth are batch jobs.",
        "short", [series(f"topk(15, sum by (node, depth) ({metric('tree_node_processes')}))", "{{depth}} · {{node}}")],
        none="No process in this time.", width=16, height=8)
    last_three = {"regex": "^([^;]+) · .+;([^;]+;[^;]+;[^;]+)$", "renamePattern": "$1 · … › $2"}
    panel.with_transformation(transform("renameByRegex", last_three))
    panel.with_transformation(transform("renameByRegex", {"regex": "/;/g", "renamePattern": " › "}))
    # The higher the more purple: what grows stands out.
    panel.color_scheme(color(FieldColorModeId.CONTINUOUS_BL_PU))
    return legend_table(stacked(panel).line_width(1))


def roots():
    panel = lines(
        "Roots by kind",
        "Processes whose parent is outside. Init: one for each container. Exec: came in from outside; a staircase is "
        "a leak of shells or health checks. Adopted: orphans whose parent died and whose new one is outside.",
        "short", [series(f"sum by (kind) ({metric('root_processes')}) > 0", "{{kind}}")],
        none="No process in this time.", width=8, height=8)
    paint(stacked(panel).axis_soft_max(4), "init", GREY)
    paint(panel, "exec", ORANGE)
    return paint(panel, "adopted", "purple")


def form():
    depth = lines(
        "Depth and fan-out",
        "Depth: the longest path from a root to a leaf; above 50 an alert fires. Most children: those of one "
        "process, in hundreds a pool or a fork storm.",
        "short",
        [series(f"max({metric('tree_depth')})", "depth"),
         series(f"max({metric('tree_max_children')})", "most children", "B")], width=6)
    paint(depth, "depth", BLUE)
    paint(depth, "most children", GREY)
    threads = lines(
        "Processes and threads",
        "Threads that grow while processes do not: a thread pool without a bound, or threads that hang. Both count "
        "against the pids limit.",
        "short",
        [series(f"sum({metric('processes')})", "processes"),
         series(f"sum({metric('threads')})", "threads", "B")], width=6)
    paint(threads, "processes", BLUE)
    paint(threads, "threads", GREY)
    states = lines(
        "States",
        "Disk sleep: waits in the kernel, mostly for storage, and cannot be killed; some for minutes means a disk or "
        "network file system that hangs, or a paused container. Zombies: see the guilty parent. Many running: it is "
        "short of CPU.",
        "short", [series(f"sum by (state) ({metric('processes_by_state')}) > 0", "{{state}}")], width=6)
    stacked(states)
    for state, shade in {"sleeping": BLUE, "running": GREEN, "idle": GREY, "disk_sleep": RED, "zombie": ORANGE,
                         "stopped": "purple", "tracing_stop": "purple", "dead": GREY}.items():
        paint(states, state, shade)
    containers = lines(
        "Processes by container",
        "The ten largest of those that are chosen. One that leaves the others of its service behind has a problem of "
        "its own; all together, look at what they have in common.",
        "short", [series(f"topk(10, {each('sum', metric('processes'))})", LEGEND)], width=6)
    return [depth, threads, states, containers]


def incidents():
    parents = lines(
        "Zombies by guilty parent",
        "The command that does not reap its children: it has the bug. Restarting it frees their pids; --init helps "
        "only where the guilty parent is the container's first process.",
        "short", [series(f"sum by (instance, name, parent) ({metric('zombie_processes_by_parent')}) > 0",
                         "{{parent}} · {{name}}")], none="No zombies in this time.")
    age = lines(
        "Age of the oldest exec",
        "How long the oldest process that exec brought in has been there. A line that climbs for hours is a "
        "forgotten shell or a health check that hangs: find it with docker top, then end it.",
        "s", [series(f"time() - {each('min', metric('oldest_root_start_time_seconds', EXEC))}", LEGEND)],
        none="Nothing came in by exec in this time.")
    refused = rate("pids_limit_hits")
    limit = lines(
        "Pids against the limit",
        "Tasks, and dashed the limit. Red are forks and threads that it refused, per second (right scale): from then "
        "on the container fails in odd ways. Raise --pids-limit, or stop what forks.",
        "short",
        [series(each("sum", metric("pids_current")), f"tasks · {LEGEND}"),
         series(each("sum", metric("pids_limit")), f"limit · {LEGEND}", "B"),
         series(f"{each('sum', refused)} > 0", f"refused · {LEGEND}", "C")])
    paint(limit, "/^tasks/", BLUE)
    paint(limit, "/^limit/", ORANGE, prop("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}))
    paint(limit, "/^refused/", RED, prop("custom.fillOpacity", 25), prop("custom.axisPlacement", "right"),
          prop("custom.axisLabel", "refused a second"))
    paint(parents, "/.*/", ORANGE)
    paint(age, "/.*/", ORANGE)
    return [limit, parents, age]


def events():
    kinds = lines(
        "Forks, execs and thread starts per second",
        "Processes started, programs executed, threads started. Forks without execs: workers that fork themselves. "
        "Threads without end: a pool that is made anew for each request." + KERNEL_ONLY,
        "short",
        [series(f"sum({STARTS})", "forks"),
         series(f"sum({rate('execs')})", "execs", "B"),
         series(f"sum({rate('thread_starts')})", "thread starts", "C")],
        none="Not known yet.", width=12).axis_soft_max(1)
    paint(kinds, "forks", BLUE)
    paint(kinds, "execs", "purple")
    paint(kinds, "thread starts", GREY)
    exits = lines(
        "Exits per second by outcome",
        "Ended with status 0, with another one, or by a signal. Failures that go on: something is started, fails and "
        "is started again. Signals: crashes, timeouts or the OOM killer." + KERNEL_ONLY,
        "short", [series(f"sum by (outcome) ({rate('exits')})", "{{outcome}}")], none=NO_KERNEL, width=12)
    paint(stacked(exits).axis_soft_max(1), "success", GREY)
    paint(exits, "failure", ORANGE)
    paint(exits, "signal", RED)
    return [kinds, exits]


def variables(board):
    # A container without Compose has these labels empty: `.*` finds it, too.
    info = f"pstree_container_info{{{HOST}"
    board.with_variable(variable("project", "Compose project", f"label_values({info}}}, compose_project)",
                                 "Shortens the list of containers.", ".*"))
    in_project = f'{info},compose_project=~"$project"'
    board.with_variable(variable("service", "Compose service", f"label_values({in_project}}}, compose_service)",
                                 "Shortens the list of containers.", ".*"))
    board.with_variable(variable("name", "Container",
                                 f'label_values({in_project},compose_service=~"$service"}}, name)',
                                 "All: every container of the chosen hosts, whatever project and service say."))


def dashboard():
    board = frame("pstree-container", "One container: its alerts, its tree of processes, and how it came to look so.")
    variables(board)
    board.annotation(annotation("Restarts", f"{each('max', STARTED)} * 1000", GREY))
    board.annotation(annotation("Alerts", f'ALERTS{{{FIRING},name=~"$name"}}', RED))
    for panel in [alerts(), *numbers(), tree(), shape_over_time(), paths(), roots()]:
        board.with_panel(panel)
    board.with_row(row("What goes wrong"))
    for panel in [*incidents(), *events()]:
        board.with_panel(panel)
    board.with_row(row("Shape"))
    for panel in form():
        board.with_panel(panel)
    return board
