"""What alerts and baselines look back on for hours, as OpenMetrics for `promtool tsdb create-blocks-from`.

Without it a young Prometheus evaluates windows of three hours and of a day over minutes, and looks faster than it is.
"""

# family, label that must be there, how many seconds back
LOOKED_BACK_ON = (
    ("pstree_container_processes{", "", 3.6 * 3600),
    ("pstree_container_root_processes{", 'kind="exec"', 3600),
    ("pstree_container_pids_current{", "", 1800),
)
BASELINE = "name:pstree_starts:rate5m"
BASELINE_SECONDS, BASELINE_STEP = 25 * 3600, 300


def with_labels(line, host):
    """The series as Prometheus would store it."""
    series = line.rpartition(" ")[0]
    return series.replace("{", f'{{instance="{host.name}:10073",job="pstree",', 1)


def write_history(hosts, path, now, interval):
    with open(path, "w") as file:
        for host in hosts:
            write_host(host, file, now, interval)
        file.write("# EOF\n")


def write_host(host, file, now, interval):
    for container in host.containers:
        series = f'{BASELINE}{{instance="{host.name}:10073",job="pstree",name="{container.name}"}}'
        for back in range(BASELINE_SECONDS, 0, -BASELINE_STEP):
            file.write(f"{series} {container.starts_per_second} {int(now - back)}\n")
        chosen = []
        for index, (text, moves) in enumerate(container.families):
            for family, label, seconds in LOOKED_BACK_ON:
                if text.startswith(family):
                    chosen.append((index, label, seconds))
        for back in range(int(LOOKED_BACK_ON[0][2]), 0, -interval):
            container.step(interval)
            for index, label, seconds in chosen:
                if back > seconds:
                    continue
                for line in container.samples(index).splitlines():
                    if label in line:
                        value = line.rpartition(" ")[2]
                        file.write(f"{with_labels(line, host)} {value} {int(now - back)}\n")
