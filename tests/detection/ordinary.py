"""Ordinary days: what containers do when nothing is wrong. Each trace has its own seed, so that seeds that were not used to
tune the rules show how well they generalise."""

import bisect
import math
import random

from .container import State, Trace

DAY = 86_400
HOUR = 3600


def moments(seed, days, per_day, begin=0, end=24):
    """Random moments, `per_day` on average, between two hours of the day."""
    chance = random.Random(seed)
    all = []
    for day in range(days):
        number = int(per_day) + (chance.random() < per_day % 1)
        all += [day * DAY + chance.uniform(begin, end) * HOUR for _ in range(number)]
    return sorted(all)


def last(moments, t):
    """Seconds since the last moment, or None before the first, and its number."""
    number = bisect.bisect_right(moments, t)
    return (t - moments[number - 1] if number else None), number


def wobble(seed, every=30):
    """From -1 to 1, another value every some seconds."""
    return lambda t: random.Random(f"{seed} {t // every}").uniform(-1, 1)


def day_of(t):
    """From 0 at night to 1 in the afternoon."""
    return (1 - math.cos(2 * math.pi * (t / DAY - 0.08))) / 2


def counted(rate, t):
    return rate * t


def simple(processes, threads=None, forks=0.2, **more):
    def state(t):
        count = processes(t)
        return State(processes=count, threads=threads(t) if threads else count, forks=counted(forks, t),
                     **{key: value(t) for key, value in more.items()})

    return state


def daily(seed, days, low=20, high=120):
    n = wobble(seed)
    return simple(lambda t: low + (high - low) * day_of(t) * (1 + 0.08 * n(t)))


def weekly(seed, days):
    n = wobble(seed)
    return simple(lambda t: 15 + 60 * day_of(t) * (0.4 if int(t // DAY) % 7 >= 5 else 1) * (1 + 0.1 * n(t)))


def autoscaling(seed, days):
    n = wobble(seed, 300)
    return simple(lambda t: 8 + 4 * round(10 * day_of(t) * (1 + 0.25 * n(t))))


def batch(seed, days):
    starts = moments(seed, days, 1, 1, 3)

    def processes(t):
        since, _ = last(starts, t)
        return 4 + (200 if since is not None and since < HOUR else 0)

    return simple(processes)


def build_server(seed, days):
    """Jobs of 30 to 90 s that start 200 processes of 4 ms a second, and longer builds of 30 ms processes."""
    short, long = moments(seed, days, 30, 7, 20), moments(f"{seed}b", days, 6, 7, 20)
    length = 30 + random.Random(seed).random() * 60

    total = [0.0]
    at = [0.0]

    def rate(t):
        since, _ = last(short, t)
        if since is not None and since < length:
            return 200
        since, _ = last(long, t)
        return 60 if since is not None and since < 900 else 0.2

    def state(t):
        # Counters are integrated, in order of time.
        while at[0] < t:
            step = min(5, t - at[0])
            total[0] += rate(at[0]) * step
            at[0] += step
        busy = rate(t)
        return State(processes=6 + (2 if busy > 1 else 0), threads=30, forks=total[0], failures=1 + total[0] * 0.02)

    return state


def deploying(seed, days):
    """A database: a rolling deploy connects twelve clients each 10 s for a minute while the old ones leave later."""
    starts = moments(seed, days, 1.2, 9, 17)
    n = wobble(seed)

    def processes(t):
        since, _ = last(starts, t)
        more = 0
        if since is not None and since < 300:
            more = 12 * min(6, since // 10 + 1) if since < 120 else max(0, 72 * (1 - (since - 120) / 180))
        return 90 + more + 4 * n(t)

    return simple(processes)


def failover(seed, days):
    """A database to which hundreds of clients connect within seconds, and stay until the next failover."""
    starts = moments(seed, days, 0.15)
    chance = random.Random(seed)
    clients, tau = chance.randint(150, 450), chance.choice([3, 6, 12])
    n = wobble(seed)

    def processes(t):
        since, number = last(starts, t)
        share = 0 if since is None else 1 - math.exp(-since / tau)
        return 30 + 3 * n(t) + clients * (share if number % 2 else (1 - share if number else 0))

    return simple(processes)


def jvm(seed, days):
    """Restarts now and then, and makes hundreds or thousands of threads in 35 s."""
    starts = moments(seed, days, 0.3, 8, 18)
    n = wobble(seed)
    size = random.Random(seed).randint(500, 2500)

    def state(t):
        since, number = last(starts, t)
        since = t if since is None else since
        threads = 40 + size * min(1, since / 35) + 10 * n(t)
        return State(processes=2, threads=threads, forks=counted(0.01, t), init_start=t - since, signals=1 + number)

    return state


def go_server(seed, days):
    starts = moments(seed, days, 0.3)
    return simple(lambda t: 1, lambda t: 8 + min(30, (last(starts, t)[0] or 0) / 60) + 3 * wobble(seed)(t))


def cron(seed, days):
    """Twenty jobs each minute, 150 each hour."""

    def processes(t):
        return 3 + (20 if t % 60 < 7 else 0) + (150 if t % HOUR < 20 else 0)

    return simple(processes, forks=20 / 60 + 150 / HOUR, failures=lambda t: 1 + t / 3000)


def ci_execs(seed, days):
    """Parallel docker exec: up to twenty at once in working hours, each for minutes, and health checks."""
    starts = [moments(f"{seed}{i}", days, 14, 8, 19) for i in range(20)]
    lengths = [random.Random(f"{seed}{i}").randint(60, 900) for i in range(20)]

    def state(t):
        execs = sum(1 for own, length in zip(starts, lengths) if (last(own, t)[0] or length) < length)
        execs += t % 30 < 6
        return State(processes=5 + 3 * execs, threads=5 + 3 * execs, execs=execs, oldest_exec=t - 600, forks=counted(1, t))

    return state


def late_reaping(seed, days):
    """Children that are reaped every minute, a few at once."""

    def state(t):
        zombies = (t % 60) // 5 + (3 if wobble(seed)(t) > 0.5 else 0)
        return State(processes=12 + zombies, threads=12, zombies=zombies, oldest_zombie=t - t % 60, forks=counted(0.3, t))

    return state


def recreated(seed, days):
    """Another container with the same name, once or twice a day, as Compose and updates make it."""
    starts = moments(seed, days, 1.5, 8, 18)

    def state(t):
        since, number = last(starts, t)
        since = t if since is None else since
        count = 3 + min(12, since / 2)
        return State(processes=count, threads=count * 4, forks=counted(0.2, since) + count, init_start=t - since,
                     generation=number, signals=1)

    return state


def steady(seed, days):
    n = wobble(seed)
    return simple(lambda t: 40 + 5 * n(t), lambda t: 400 + 30 * n(t))


def clock_step(seed, days):
    """The clock of the host is set by minutes: start times move."""
    steps = moments(seed, days, 0.3)

    def state(t):
        _, number = last(steps, t)
        return State(processes=9, threads=9, forks=counted(0.1, t), init_start=-DAY + 180 * number)

    return state


def limited(seed, days):
    """A container that uses up to three quarters of its limit each day."""

    def state(t):
        count = 100 + 650 * day_of(t)
        return State(processes=count, threads=count, forks=counted(1, t), headroom=1000 - count, used_ratio=count / 1000)

    return state


def replaced_pods(seed, days):
    """A pod of a Deployment that is replaced once or twice a day, with another name, and fills its pool in minutes."""
    starts = moments(seed, days, 1.5, 8, 18)
    n = wobble(seed)

    def state(t):
        since, number = last(starts, t)
        since = t if since is None else since
        count = 5 + min(30, since / 20) + 40 * day_of(t) * min(1, since / 600) + 2 * n(t)
        return State(processes=count, threads=count * 3, forks=counted(0.5, since) + count, init_start=t - since,
                     generation=number)

    return state


KINDS = [
    ("daily cycle", daily), ("weekly cycle", weekly), ("autoscaling", autoscaling), ("nightly batch", batch),
    ("CI jobs and builds", build_server), ("rolling deploys", deploying), ("failover", failover), ("JVM", jvm),
    ("Go server", go_server), ("cron", cron), ("parallel docker exec", ci_execs), ("late reaping", late_reaping),
    ("recreated containers", recreated), ("steady", steady), ("clock of the host", clock_step), ("within a limit", limited),
    ("replaced pods", replaced_pods),
]


def all_ordinary(days):
    """Two containers of each kind; the second is held back."""
    return [
        Trace(
            family, "ordinary", make(f"{family} {seed}", days), name=f"{family.replace(' ', '-').lower()}-{seed}",
            is_pod=make is replaced_pods, held_back=seed == 2,
        )
        for seed in (1, 2)
        for family, make in KINDS
    ]


def exporter_restarts(days):
    """Whether the exporter is down: it is restarted and upgraded now and then."""
    restarts = moments("exporter", days, 0.4)

    def is_down(t):
        since, _ = last(restarts, t)
        return since is not None and since < 20

    return is_down
