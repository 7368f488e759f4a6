"""Synthetic hosts that multiply a real exposition.

exposition.om is the output of the exporter, with BPF, for two real containers: "healthy" has ten commands; "leaky" also has
zombies and a forgotten exec process. Each synthetic host exports many copies with their own ids and names. Their values
change as in practice: workers start and exit, counters grow, most other values are constant.
"""

import random
import re
from pathlib import Path

CAPTURE = Path(__file__).with_name("exposition.om")
SAMPLE = re.compile(r"(?P<family>[a-z_]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
CONTAINER = re.compile(r'name="(healthy|leaky)"')
LEAKY_EVERY = 50
# The tree node of the capture with the most processes: workers are added to it.
WORKERS = 'path="app;workload;workload"'
WORKERS_DEPTH = 'depth="3"'


def motion_of(family, labels):
    """How the value of a container's sample changes: a function of the container and the captured value, or None."""
    def grow(container, base): return base + container.workers
    def count(container, base): return base + container.starts
    if family in ("pstree_container_processes", "pstree_container_threads", "pstree_container_pids_current"):
        return grow
    if family == "pstree_container_processes_by_state":
        if 'state="running"' in labels:
            return lambda container, base: base + container.running
        if 'state="sleeping"' in labels:
            return lambda container, base: base + container.workers - container.running
    if family == "pstree_container_processes_by_depth" and WORKERS_DEPTH in labels:
        return grow
    if family == "pstree_container_tree_node_processes" and WORKERS in labels:
        return grow
    if family == "pstree_container_pids_headroom":
        return lambda container, base: base - container.workers
    if family == "pstree_container_pids_limit_used_ratio":
        return lambda container, base: round(base + container.workers / 200, 3)
    if family == "pstree_container_pids_peak":
        return lambda container, base: base + container.most_workers
    if family in ("pstree_container_observed_starts_total", "pstree_container_forks_total",
                  "pstree_container_execs_total"):
        return count
    if family == "pstree_container_thread_starts_total":
        return lambda container, base: base + container.starts * container.threads_each
    if family == "pstree_container_exits_total":
        if 'outcome="failure"' in labels:
            return lambda container, base: base + container.starts // 50
        if 'outcome="success"' in labels:
            return lambda container, base: base + container.starts - container.starts // 50
    if family == "pstree_container_oldest_root_start_time_seconds":
        return lambda container, base: container.born
    if family == "pstree_container_oldest_zombie_timestamp_seconds":
        return lambda container, base: container.born + 60
    return None


def host_motion_of(family):
    if family.endswith("_timestamp_seconds"):
        return lambda host, base: round(host.now, 3)
    if family == "pstree_containers":
        return lambda host, base: len(host.containers)
    if family == "pstree_collector_duration_seconds":
        return lambda host, base: round(base * host.rng.uniform(0.8, 1.3), 9)
    if family == "process_cpu_seconds_total":
        return lambda host, base: round(base + host.age * 0.004, 2)
    if family == "pstree_collections_total":
        return lambda host, base: base + int(host.age / 5)
    if family in ("pstree_host_processes", "pstree_host_threads", "process_resident_memory_bytes"):
        return lambda host, base: base + host.rng.randint(0, 3) * (4096 if "bytes" in family else 1)
    if family == "pstree_host_forks_total":
        return lambda host, base: base + int(host.age * 2)
    return None


class Family:
    """The samples of one family in the capture: text with a %s for each value that changes, and how it changes."""

    def __init__(self):
        self.header = ""
        self.host = ("", [])
        self.containers = {"healthy": ("", []), "leaky": ("", [])}

    def has_samples(self):
        return bool(self.host[0] or self.containers["healthy"][0] or self.containers["leaky"][0])


def read_capture():
    families = []
    for line in CAPTURE.read_text().splitlines():
        if line == "# EOF":
            break
        if line.startswith("#"):
            if not families or families[-1].has_samples():
                families.append(Family())
            families[-1].header += line + "\n"
            continue
        sample = SAMPLE.fullmatch(line)
        family, labels, value = sample["family"], sample["labels"] or "", sample["value"]
        kind = CONTAINER.search(labels)
        motion = motion_of(family, labels) if kind else host_motion_of(family)
        base = float(value) if "." in value else int(value)
        text = line.removesuffix(value) + ("%s" if motion else value) + "\n"
        moves = [(motion, base)] if motion else []
        if kind:
            old_text, old_moves = families[-1].containers[kind[1]]
            families[-1].containers[kind[1]] = (old_text + text, old_moves + moves)
        else:
            families[-1].host = (families[-1].host[0] + text, families[-1].host[1] + moves)
    return families


class Container:
    def __init__(self, rng, families, slot, born):
        self.rng = rng
        self.born = round(born, 2)
        self.workers = self.most_workers = rng.randint(0, 6)
        self.running = 0
        self.starts = 0
        self.starts_per_second = rng.choice((0.02, 0.1, 0.5, 0.5, 2))
        self.threads_each = rng.choice((0, 0, 2))
        kind = "leaky" if slot % LEAKY_EVERY == 0 else "healthy"
        cgroup, name = f"{rng.getrandbits(256):064x}", f"store-service{slot // 4}-{slot % 4}"
        self.name = name
        self.families = []
        for family in families:
            text, moves = family.containers[kind]
            self.families.append((text.replace("@", cgroup).replace(f'name="{kind}"', f'name="{name}"'), moves))

    def step(self, seconds):
        change = self.rng.random()
        if change < 0.3:
            self.workers = min(12, max(0, self.workers + (1 if change < 0.15 else -1)))
            self.most_workers = max(self.most_workers, self.workers)
        self.running = int(change * 10) % 3
        self.starts += int(self.starts_per_second * seconds + self.rng.random())

    def samples(self, index):
        text, moves = self.families[index]
        return text % tuple(motion(self, base) for motion, base in moves) if moves else text


class Host:
    def __init__(self, number, containers, churn_per_hour, now):
        self.name = f"host-{number:04}"
        self.rng = random.Random(number)
        self.families = read_capture()
        self.churn_per_hour = churn_per_hour
        self.now = self.begun = now
        self.containers = [Container(self.rng, self.families, slot, now) for slot in range(containers)]

    @property
    def age(self):
        return self.now - self.begun

    def step(self, now):
        seconds, self.now = now - self.now, now
        for slot, container in enumerate(self.containers):
            if self.rng.random() < self.churn_per_hour * seconds / 3600:
                self.containers[slot] = Container(self.rng, self.families, slot, now)
            else:
                container.step(seconds)

    def expose(self):
        parts = []
        for index, family in enumerate(self.families):
            parts.append(family.header)
            parts.extend(container.samples(index) for container in self.containers)
            text, moves = family.host
            parts.append(text % tuple(motion(self, base) for motion, base in moves))
        parts.append("# EOF\n")
        return "".join(parts)
