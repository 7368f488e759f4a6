"""A simulated container, as the exporter shows it.

A trace says what is true at a moment. The exporter collects every five seconds; a scrape reads the last collection.
"""

import dataclasses
import math
import random

COLLECTION = 5


@dataclasses.dataclass
class State:
    """What a collection finds. Counters are since the start of the exporter."""

    processes: float = 10
    threads: float = 10
    zombies: float = 0
    execs: float = 0
    depth: float = 3
    disk_sleep: float = 0
    forks: float = 0
    failures: float = 0
    signals: float = 0
    limit_hits: float = 0
    pod_limit_hits: float = None
    headroom: float = None
    used_ratio: float = None
    init_start: float = -86400
    # Both in seconds after the onset.
    oldest_zombie: float = 0
    oldest_exec: float = 0
    generation: int = 0


@dataclasses.dataclass
class Trace:
    """One container. `state(t)` is its state t seconds after the onset, negative before. A trace of ordinary days has no
    onset and no deadline: t counts from the start of the simulation."""

    family: str
    title: str
    state: object
    # Seconds after the onset by which an alert must fire, by the scrape interval. None: no alert may fire.
    deadline: object = None
    # Seconds to play after the onset.
    duration: float = 0
    # What was usual in the last week, by the name of the recorded series: None on a container's first day.
    usual: dict = None
    # Not looked at while rules were tuned.
    held_back: bool = False
    name: str = ""
    # A pod of a Deployment: its name changes with each generation.
    is_pod: bool = False
    # Other containers of the same workload that do nothing.
    replicas: int = 0
    # The alerts that detect it. One of them must fire.
    alerts: tuple = ()

    def container(self, generation):
        """The labels of its series."""
        if not self.is_pod:
            return {"id": f"/docker/{self.name}-{generation}", "name": self.name}
        return {"id": f"/kubepods/pod-{self.name}-{generation}/app", "name": f"shop/{self.pod(generation)['pod']}/app"}

    def pod(self, generation):
        """The labels of the pod, or none."""
        if not self.is_pod:
            return {"namespace": "", "pod": "", "pod_uid": ""}
        suffix = "".join(random.Random(f"{self.name} {generation}").choices("bcdfghjklmnpqrstvwxz2456789", k=5))
        return {"namespace": "shop", "pod": f"{self.name}-7d9f8c6b5-{suffix}", "pod_uid": f"{self.name}-{generation}"}


def usual_of(state):
    """The recorded series of a container that was always in this state."""
    return {
        "pstree_processes": state.processes,
        "pstree_threads": state.threads,
        "pstree_zombies": state.zombies,
        "pstree_execs": 0,
        "pstree_starts": 0.2,
        "pstree_failures": 0,
        "pstree_signals": 0,
    }


COUNTERS = ("forks", "failures", "signals")


def outages(is_down, interval, count, onset):
    """For each scrape, whether the exporter is down, and whether it started since the scrape before. `is_down` is a function of
    the seconds after the onset, or None."""
    if is_down is None:
        return [(False, False)] * count
    found = []
    was_down = False
    for index in range(count):
        scraped = index * interval - onset
        was_down |= any(is_down(scraped - before) for before in range(0, interval, COLLECTION))
        down = is_down(scraped)
        found.append((down, was_down and not down))
        was_down &= down
    return found


def series_of(trace, outages, interval, onset, start, phase):
    """The samples of a container at each scrape, the first at `start` in Unix time: (metric, labels, values), with None where
    there is no sample. The onset is in seconds after the first scrape."""
    count = len(outages)
    columns = {}
    generation = 0

    def put(metric, value, label="", of=""):
        column = columns.get((metric, generation, label, of))
        if column is None:
            column = columns[metric, generation, label, of] = [None] * count
        column[index] = value

    base = dict.fromkeys(COUNTERS, 0)
    for index, (is_down, has_started) in enumerate(outages):
        if is_down:
            continue
        scraped = index * interval - onset
        state = trace.state(math.floor((scraped - phase) / COLLECTION) * COLLECTION + phase)
        if state is None:
            continue
        if has_started:
            # The counters of an exporter begin at 0.
            base = {counter: getattr(state, counter) for counter in COUNTERS}
        counted = {counter: math.floor(max(0, getattr(state, counter) - base[counter])) for counter in COUNTERS}
        generation = state.generation
        put("pstree_container_info", 1)
        put("pstree_container_processes", round(state.processes))
        put("pstree_container_threads", round(max(state.threads, state.processes)))
        put("pstree_container_zombie_processes", round(state.zombies))
        put("pstree_container_tree_depth", round(state.depth))
        put("pstree_container_forks_total", counted["forks"])
        put("pstree_container_observed_starts_total", math.floor(counted["forks"] * 0.3))
        put("pstree_container_processes_by_state", round(state.disk_sleep), "state", "disk_sleep")
        put("pstree_container_pids_limit_hits_total", math.floor(state.limit_hits))
        put("pstree_container_root_processes", 1, "kind", "init")
        put("pstree_container_oldest_root_start_time_seconds", round(start + onset + state.init_start, 2), "kind", "init")
        put("pstree_container_root_processes", math.floor(state.execs), "kind", "exec")
        put("pstree_container_exits_total", counted["failures"], "outcome", "failure")
        put("pstree_container_exits_total", counted["signals"], "outcome", "signal")
        if state.zombies >= 1:
            put("pstree_container_zombie_processes_by_parent", round(state.zombies), "parent", "app")
            put("pstree_container_oldest_zombie_timestamp_seconds", round(start + onset + state.oldest_zombie))
        if state.execs >= 1:
            put("pstree_container_oldest_root_start_time_seconds", round(start + onset + state.oldest_exec), "kind", "exec")
        if state.pod_limit_hits is not None:
            put("pstree_pod_pids_limit_hits_total", math.floor(state.pod_limit_hits))
        if state.headroom is not None:
            put("pstree_container_pids_headroom", round(state.headroom))
            put("pstree_container_pids_limit_used_ratio", round(state.used_ratio, 4))
    series = []
    for (metric, generation, label, of), values in columns.items():
        labels = trace.container(generation) | ({label: of} if label else {})
        if metric == "pstree_container_info":
            labels |= trace.pod(generation) | {"container": "app" if trace.is_pod else ""}
        elif metric == "pstree_pod_pids_limit_hits_total":
            labels = trace.pod(generation)
        series.append((metric, labels, values))
    for replica in range(trace.replicas):
        calm = trace.state(-1)
        labels = trace.container(f"replica-{replica}")
        series.append(("pstree_container_processes", labels, [round(calm.processes)] * count))
        series.append(("pstree_container_threads", labels, [round(calm.threads)] * count))
    for family, value in (trace.usual or {}).items():
        if trace.is_pod:
            # The rules derive the value of each container.
            series.append((f"workload:{family}:usual", {"workload": f"shop/{trace.name}/app"}, [value] * count))
        else:
            series.append((f"container:{family}:usual", trace.container(0), [value] * count))
    return series


def series_of_exporter(outages, interval):
    """The samples of the exporter itself."""
    seen = lambda value: [None if is_down else value(index) for index, (is_down, _) in enumerate(outages)]
    return [
        ("up", {}, [0 if is_down else 1 for is_down, _ in outages]),
        ("pstree_collections_total", {}, seen(lambda index: index * interval // COLLECTION)),
        ("pstree_collection_interval_seconds", {}, seen(lambda index: COLLECTION)),
    ]


def noise(seed):
    """A reproducible function of time with values from -1 to 1 that changes every ten seconds."""
    return lambda t: random.Random(f"{seed} {math.floor(t / 10)}").uniform(-1, 1)
