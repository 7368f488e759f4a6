"""Runs a real Prometheus with the shipped rules in its own directory, and reads its own metrics."""

import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "alerts"
TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


def await_that(condition, what, seconds=120, every=0.5):
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"timed out after {seconds} s waiting for: {what}")
        time.sleep(every)
    return result


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Targets:
    """The synthetic fleet in its own process; it stops with the block."""

    def __init__(self, directory, *flags):
        self.sd, self.arguments = directory / "targets.json", flags

    def __enter__(self):
        script = Path(__file__).with_name("targets.py")
        self.process = subprocess.Popen([sys.executable, script, f"--sd={self.sd}", *self.arguments])
        await_that(lambda: self.sd.exists() or self.process.poll() is not None, "targets", 600)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class Prometheus:
    def __init__(self, directory, config, *flags, agent=False):
        directory.mkdir(exist_ok=True)
        self.directory, self.port = directory, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config_file = directory / "prometheus.yaml"
        config_file.write_text(config)
        subprocess.run(["promtool", "check", "config", *(["--agent"] if agent else []), config_file],
                       check=True, stdout=subprocess.DEVNULL)
        mode = ["--enable-feature=agent", f"--storage.agent.path={directory / 'data'}"]
        self.arguments = ["prometheus", f"--config.file={config_file}", f"--web.listen-address=127.0.0.1:{self.port}",
                          *(mode if agent else [f"--storage.tsdb.path={directory / 'data'}"]), *flags]

    def __enter__(self):
        self.log = open(self.directory / "prometheus.log", "w")
        self.process = subprocess.Popen(self.arguments, stdout=self.log, stderr=self.log)
        await_that(self.is_ready, "Prometheus is ready")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()

    def is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"Prometheus exited, see {self.log.name}")
        try:
            return urllib.request.urlopen(self.url + "/-/ready").status == 200
        except OSError:
            return False

    def get(self, path, **query):
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(query)}", timeout=300) as answer:
            return answer.read()

    def instant(self, expr, **more):
        return json.loads(self.get("/api/v1/query", query=expr, **more))["data"]

    def number(self, expr):
        result = self.instant(expr)["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def own_metrics(self):
        """Its own metrics by name and labels. They are not scraped, so the head contains only the fleet."""
        pairs = (line.rpartition(" ") for line in self.get("/metrics").decode().splitlines() if line[:1] != "#")
        return {series: float(value) for series, _, value in pairs}

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident(self, which="VmRSS"):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{which}:\s+(\d+) kB", status)[1]) * 1024

    def rule_groups(self, metrics):
        """Duration of the last evaluation in seconds, by group."""
        pattern = re.compile(r'prometheus_rule_group_last_duration_seconds\{rule_group=".*;(.*)"\}')
        return {found[1]: value for series, value in metrics.items() if (found := pattern.match(series))}

    def costliest_rules(self, how_many):
        """Duration of the last evaluation in seconds, and name, of the slowest rules."""
        groups = json.loads(self.get("/api/v1/rules"))["data"]["groups"]
        rules = [(rule["evaluationTime"], rule["name"]) for group in groups for rule in group["rules"]]
        return sorted(rules, reverse=True)[:how_many]

    def time_query(self, expr, seconds, step, times):
        """Milliseconds until the complete response arrives, and samples read; a range query if `seconds` is given."""
        took = []
        for _ in range(times):
            end = time.time()
            span = {"start": end - seconds, "end": end, "step": step} if seconds else {"time": end}
            begun = time.monotonic()
            body = self.get("/api/v1/query_range" if seconds else "/api/v1/query", query=expr, stats="all", **span)
            took.append(1000 * (time.monotonic() - begun))
        data = json.loads(body)["data"]
        return statistics.median(took), data["stats"]["samples"]["totalQueryableSamples"]
