"""Incidents: shapes, speeds and sizes. Each begins in a container that was calm for days, some also in one that is new."""

import dataclasses
import math

from .container import State, Trace, noise, usual_of

HOUR = 3600
PIDS = 30_000

LEAK_SPEEDS = [1 / 300, 1 / 200, 1 / 120, 1 / 60, 1 / 30, 1 / 20, 1 / 10, 1 / 5, 1 / 2, 1, 2, 5, 20, 100, 300, 1000]
STORMS = [(20, 1.0), (30, 0.3), (50, 0.05), (50, 0.001), (100, 0.2), (200, 0.004), (300, 0.03), (700, 0.01), (2000, 0.001)]
RESTARTS = [2, 5, 10, 30, 60, 120, 200, 300]
RESPAWNS = [0.1, 0.5, 1, 3, 10, 30, 45, 60]


def leak(what, speed, size, fresh=False):
    # What is usual is the maximum.
    usual = size * 1.04 if size >= 100 else size
    more = 300 + 3 * (usual - size) if what == "threads" else 60 + usual - size

    def state(t):
        leaked = min(PIDS, max(0, t) * speed)
        base = size + noise(f"{what}{speed}{size}")(t) * (usual - size)
        it = State(processes=base, threads=base * 3, forks=(t + 10 * HOUR) * 0.2)
        if what == "processes":
            it.processes += leaked
            it.threads += leaked
        elif what == "execs":
            it.processes += leaked
            it.threads += leaked
            it.execs = leaked
            it.oldest_exec = 1 / speed
        elif what == "zombies":
            it.processes += leaked
            it.zombies = leaked
            it.oldest_zombie = 1 / speed
        else:
            it.threads += leaked
        if what != "threads":
            it.forks += leaked
        return it

    def deadline(interval):
        return min(4 * HOUR, max(more / speed, 3 * interval + 120))

    recorded = usual_of(state(-1)) | {"pstree_processes": usual, "pstree_threads": usual * 3}
    return Trace(f"leak of {what}", f"{what} {speed:.4g}/s on {size}" + (", new" if fresh else ""), state, deadline,
                 deadline(60) + 120, None if fresh else recorded,
                 alerts=("PstreeRunawayForks",) if speed >= BOMB and what != "threads" else ())


def in_one_replica(speed):
    """The others are what is usual for the workload."""
    trace = leak("processes", speed, 10)
    trace.family, trace.title = "leak in one of 50 replicas", f"processes {speed:.4g}/s"
    trace.is_pod, trace.replicas = True, 49
    return trace


def storm(rate, life, fresh=False):
    def state(t):
        active = t > 0
        alive = min(rate * life, rate * max(t, 0))
        return State(processes=10 + alive, threads=10 + alive, forks=(t + 10 * HOUR) * 0.2 + rate * max(0, t))

    return Trace("storm of short lives", f"{rate}/s, each {life:g} s" + (", new" if fresh else ""), state,
                 lambda interval: 180 + interval, 600, None if fresh else usual_of(State()))


def filling(title, count, depth=lambda n: 3):
    """A container that fills with count(t) processes."""

    def state(t):
        more = min(PIDS, count(t)) if t > 0 else 0
        return State(processes=10 + more, threads=10 + more, forks=(t + 10 * HOUR) * 0.2 + more, depth=depth(more))

    return Trace("bomb, explosion, recursion", title, state, lambda interval: 3 * interval + 45, 600, usual_of(State()))


def refused(title, hits):
    def state(t):
        return State(processes=40, threads=40, limit_hits=hits(t) if t > 0 else 0, headroom=0 if t > 0 else 60,
                     used_ratio=1 if t > 0 else 0.4)

    return Trace("refused forks", title, state, lambda interval: 3 * interval + 45, 600, usual_of(State(processes=40, threads=40)))


def refused_in_pod(title, hits):
    """Linux 6.11 or later counts at the pod whose limit rejected the fork."""
    trace = refused(title, lambda t: 0)
    trace.is_pod = True
    of_container = trace.state
    trace.state = lambda t: dataclasses.replace(of_container(t), pod_limit_hits=hits(t) if t > 0 else 0)
    return trace


def restarting(period, recreated, pauses=False):
    """The first restart is the onset. Or the engine pauses before each start, for half of the time."""

    def state(t):
        number = 0 if t < 0 else 1 + math.floor(t / period)
        start = -86400 if t < 0 else (number - 1) * period
        if pauses and t >= 0 and t % period > period / 2:
            return None
        return State(processes=3, threads=3, init_start=start, generation=number if recreated else 0)

    kind = ("recreated" if recreated else "restarted") + (" after a pause" if pauses else "")
    return Trace("restart loop", f"{kind} every {period} s", state, lambda interval: 900, 1200, usual_of(State(processes=3, threads=3)))


def respawning(period, outcome):
    def state(t):
        count = max(0, t) / period
        it = State(forks=(t + 10 * HOUR) * 0.2 + count, failures=1, signals=1)
        setattr(it, outcome, 1 + count)
        return it

    return Trace("respawn loop", f"{outcome} every {period:g} s", state, lambda interval: 900, 1200, usual_of(State()))


def piling_up(count):
    return Trace("uninterruptible sleep", f"{count} processes",
                 lambda t: State(processes=30, threads=30, disk_sleep=count if t > 0 else 0), lambda interval: 240 + 3 * interval, 600,
                 usual_of(State(processes=30, threads=30)))


def near_limit(title, headroom, speed):
    def state(t):
        left = max(0, headroom - max(0, t) * speed)
        return State(headroom=left, used_ratio=1 - left / 1000)

    return Trace("pids limit", title, state, lambda interval: 900 / speed / 1.05 if speed < 1 else 900 / speed + 300, 4 * HOUR,
                 usual_of(State()))


def kinds():
    """Lists of cases. A case is a list of traces of which all or none are held back: the same speed or period."""
    for what in ("processes", "zombies", "execs", "threads"):
        yield [
            [leak(what, speed, (10, 300, 50)[index % 3]), leak(what, speed, 10, True)]
            for index, speed in enumerate(LEAK_SPEEDS)
        ]
    yield [[storm(*it)] for it in STORMS]
    yield [[storm(200, 0.004, True)], [storm(1000, 0.001, True)]]
    yield [
        [filling("doubles every 0.5 s, up to 4,000", lambda t: min(4000, 2 ** min(40, t * 2)))],
        [filling("doubles every 5 s", lambda t: 2 ** min(40, t / 5))],
        [filling("20 a second", lambda t: 20 * t)],
        [filling("50 a second", lambda t: 50 * t)],
        [filling("200 a second", lambda t: 200 * t)],
        [filling("3,000 at once", lambda t: 3000)],
    ]
    yield [
        [filling("recursion, 20 levels a second", lambda t: min(200, 20 * t), lambda n: 3 + n)],
        [filling("recursion, 5 levels a second", lambda t: min(2000, 5 * t), lambda n: 3 + n)],
    ]
    yield [[refused("one", lambda t: 1)], [refused("one a minute", lambda t: 1 + t / 60)], [refused("100 a second", lambda t: 100 * t)]]
    yield [[refused_in_pod("one, by the pod", lambda t: 1)], [refused_in_pod("ten a second, by the pod", lambda t: 10 * t)]]
    yield [[in_one_replica(speed)] for speed in (1 / 60, 1 / 5, 1, 20)]
    yield [
        [restarting(period, recreated, pauses) for recreated in (False, True) for pauses in (False, True) if not pauses or period >= 120]
        for period in RESTARTS
    ]
    yield [[respawning(period, "failures")] for period in RESPAWNS]
    yield [[respawning(period, "signals")] for period in (1, 10, 30, 60, 90)]
    yield [[piling_up(8)], [piling_up(100)]]
    yield [[near_limit("container, fast", 500, 5)], [near_limit("slice, slow", 900, 0.08)]]


# A leak of processes, of any kind, is so fast that it may be reported as a fork bomb.
BOMB = 20

# What detects an incident.
DETECTED_BY = {
    "leak of processes": ("PstreeProcessGrowth", "PstreeProcessLeak"),
    "leak of zombies": ("PstreeZombiesGrowing", "PstreeZombies"),
    "leak of execs": ("PstreeExecLeak",),
    "leak of threads": ("PstreeThreadGrowth", "PstreeThreadLeak"),
    "storm of short lives": ("PstreeRunawayForks",),
    "bomb, explosion, recursion": ("PstreeRunawayForks", "PstreeTreeTooDeep"),
    "refused forks": ("PstreeForksRefused",),
    "leak in one of 50 replicas": ("PstreeProcessGrowth", "PstreeProcessLeak"),
    "restart loop": ("PstreeRestartLoop",),
    "respawn loop": ("PstreeRespawnLoop",),
    "uninterruptible sleep": ("PstreeUninterruptiblePileUp",),
    "pids limit": ("PstreePidsNearLimit", "PstreePidsLimitPredicted"),
}


def all_incidents():
    traces = []
    for cases in kinds():
        for index, case in enumerate(cases):
            for trace in case:
                trace.name = f"incident-{len(traces)}"
                trace.alerts += DETECTED_BY[trace.family]
                trace.held_back = index % 2 == 1
                traces.append(trace)
    return traces
