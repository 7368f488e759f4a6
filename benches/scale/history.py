"""Writes the history that alerts and baselines query, as OpenMetrics for `promtool tsdb create-blocks-from`.

Without it, a new Prometheus evaluates windows of three hours and of one day over minutes of data, and appears too fast.
"""

# family, required label, seconds of history
LOOKED_BACK_ON = (
    ("pstree_container_processes{", "", 3.6 * 3600),
    ("pstree_container_root_processes{", 'kind="exec"', 3600),
    ("pstree_container_pids_headroom{", "", 1800),
)
BASELINE = "workload:pstree_starts:max5m"
BASELINE_SECONDS, BASELINE_STEP = 25 * 3600, 300


def with_labels(line, host):
    """The series as Prometheus stores it."""
    series = line.rpartition(" ")[0]
    return series.replace("{", f'{{instance="{host.name}:10073",job="pstree",', 1)


def write_history(hosts, path, now, interval):
    with open(path, "w") as file:
        for host in hosts:
            write_host(host, file, now, interval)
        file.write("# EOF\n")


def write_host(host, file, now, interval):
    for container in host.containers:
        series = f'{BASELINE}{{instance="{host.name}:10073",job="pstree",workload="{container.name}"}}'
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
