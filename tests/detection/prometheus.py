"""Plays samples through rule files: a Prometheus that has these samples in its database evaluates the rules over all of the
time at once, in the order and at the interval of their groups. Weeks take minutes.

`promtool test rules` would evaluate every group at each tick, 60 ms at least, and limits a query to 10,000 samples.
"""

import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

# The largest block of Prometheus' database that begins here covers 60 days, so that it reads its input once.
START = 330 * 1458 * 3600
BLOCK = "1458h"
# The points that Prometheus returns of a series at most.
POINTS = 10_000
RECORDED = re.compile(r"\b(?:container|workload|name|instance):\w+:\w+")


def play(series, rules, interval, evaluation, seconds, scratch):
    """`series` are triples of metric, labels and the samples at each scrape. Returns when alerts fired: a list of pairs of
    labels, and (begin, end) in seconds after the first scrape."""
    database = os.path.join(scratch, "data")
    # They may be rendered again meanwhile.
    copy = os.path.join(scratch, "rules")
    os.mkdir(copy)
    for file in glob.glob(os.path.join(rules, "*.yaml")):
        shutil.copy(file, copy)
    rules = copy
    add(database, scratch, ((name, labels, at_scrapes(values, interval)) for name, labels, values in series))
    # Evaluations do not coincide with scrapes.
    grid = lambda step: (START + evaluation * 0.4, START + seconds, step)
    with Server(database, scratch, rules, interval) as server:
        groups = server.ask("rules")["groups"]
        steps = {group["name"]: evaluation if group["interval"] == SHORTEST else group["interval"] for group in groups}
        recordings, alerts = [], []
        for group in groups:
            for rule in group["rules"]:
                rule["step"] = steps[group["name"]]
                (recordings if rule["type"] == "recording" else alerts).append(rule)
        recordings = needed(recordings, alerts)
    while recordings:
        # Those that read no other that is not yet recorded. A rule that reads its own last value finds none here: in the
        # simulation, a start time is exact.
        missing = {rule["name"] for rule in recordings}
        ready = [rule for rule in recordings if not (missing - {rule["name"]}) & reads(rule)]
        assert ready, f"rules that read each other: {missing}"
        recordings = [rule for rule in recordings if rule not in ready]
        results = []
        with Server(database, scratch, rules, interval) as server:
            for rule in ready:
                for labels, points in server.range(rule["query"], *grid(rule["step"])):
                    labels = labels | rule.get("labels", {})
                    labels.pop("__name__", None)
                    results.append((rule["name"], labels, held(points, rule["step"], interval)))
        add(database, scratch, results)
    fired = []
    with Server(database, scratch, rules, interval) as server:
        for rule in alerts:
            for labels, points in server.range(rule["query"], *grid(rule["step"])):
                labels.pop("__name__", None)
                labels |= rule["labels"] | {"alertname": rule["name"]}
                times = [at for at, _ in points]
                for begin, end in firing(times, rule["step"], rule["duration"], rule.get("keepFiringFor", 0)):
                    fired.append((labels, (begin - START, end - START)))
    return fired


def reads(rule):
    return set(RECORDED.findall(rule["query"]))


def needed(recordings, alerts):
    """Those that the alerts read, also through others."""
    names = set().union(*map(reads, alerts))
    while True:
        more = set().union(*(reads(rule) for rule in recordings if rule["name"] in names)) - names
        if not more:
            return [rule for rule in recordings if rule["name"] in names]
        names |= more


def at_scrapes(values, interval):
    for index, value in enumerate(values):
        if value is not None:
            yield START + index * interval, value


def held(points, step, interval):
    """A recorded sample is visible until the next evaluation, so it is repeated."""
    for at, value in points:
        for repeated in range(0, step, interval):
            yield at + repeated, value


def firing(times, step, duration, keep):
    """When an alert fires that is active at these moments: pairs of begin and end."""
    intervals = []
    since = last = begin = None

    def end():
        nonlocal begin
        if begin is not None:
            intervals.append((begin, last + max(keep, step)))
            begin = None

    for at in times:
        if last is not None and at - last > (max(keep, step) if begin is not None else step) + 0.001:
            end()
            since = None
        if since is None:
            since = at
        last = at
        if begin is None and at - since >= duration:
            begin = at
    end()
    return intervals


def add(database, scratch, series):
    """Adds triples of metric, labels and pairs of time and value to the database."""
    path = os.path.join(scratch, "samples")
    with open(path, "w") as file:
        for name, labels, samples in series:
            text = ",".join(f'{key}="{value}"' for key, value in ({"job": "pstree", "instance": "h1"} | labels).items())
            prefix = f"{name}{{{text}}}"
            file.writelines(f"{prefix} {value} {at}\n" for at, value in samples)
        is_empty = file.tell() == 0
        file.write("# EOF\n")
    if not is_empty:
        command = ["promtool", "tsdb", "create-blocks-from", f"--max-block-duration={BLOCK}", "openmetrics", "--quiet", path, database]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    os.remove(path)


# The interval of groups that have none; they are evaluated here as often as is asked for.
SHORTEST = 3599


class Server:
    """A Prometheus with a database and rules. It scrapes nothing."""

    def __init__(self, database, scratch, rules, interval):
        config = os.path.join(scratch, "prometheus.yml")
        with open(config, "w") as file:
            files = os.path.join(rules, "*.yaml")
            json.dump({"global": {"evaluation_interval": f"{SHORTEST}s"}, "rule_files": [files]}, file)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % free.getsockname()[1]
        self.log = open(os.path.join(scratch, "prometheus.log"), "w")
        self.process = subprocess.Popen(
            [
                "prometheus", f"--config.file={config}", f"--storage.tsdb.path={database}", f"--web.listen-address={self.address}",
                "--storage.tsdb.retention.time=100y", "--query.max-samples=2000000000", "--query.timeout=1h",
                # A series that ends is not visible for longer: in reality it gets a stale marker.
                f"--query.lookback-delta={interval + 5}s",
            ],
            stdout=self.log, stderr=self.log,
        )

    def __enter__(self):
        while True:
            try:
                urllib.request.urlopen(f"http://{self.address}/-/ready").read()
                return self
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None:
                    raise RuntimeError(open(self.log.name).read()[-2000:])
                time.sleep(0.05)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.log.close()

    def ask(self, path, **parameters):
        body = urllib.parse.urlencode(parameters).encode() if parameters else None
        try:
            with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}", body) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{parameters}: {error.read().decode()[:500]}") from None

    def range(self, query, start, end, step):
        """[(labels, [(time, value)])] of a query at each step."""
        found = {}
        while start <= end:
            until = min(end, start + (POINTS - 1) * step)
            for series in self.ask("query_range", query=query, start=start, end=until, step=step)["result"]:
                key = json.dumps(series["metric"], sort_keys=True)
                found.setdefault(key, (series["metric"], []))[1].extend(series["values"])
            start = start + POINTS * step
        return list(found.values())
