"""Tests a setup with several servers: two agents share the targets by hashmod and write to a server with the rules, and
another server federates the series of the fleet dashboard. Fails if a target, or a result of the dashboard, is missing.
"""

import argparse
import tempfile
import time
from pathlib import Path

from measure import say, table
from questions import fleet_questions
from server import MIB, RULES, Prometheus, Targets, await_that

SHARD = """
global: {{scrape_interval: 10s}}
scrape_configs:
  - job_name: pstree
    file_sd_configs: [{{files: ["{sd}"]}}]
    relabel_configs:
      - {{source_labels: [instance], modulus: 2, target_label: __tmp_shard, action: hashmod}}
      - {{source_labels: [__tmp_shard], regex: "{shard}", action: keep}}
remote_write: [{{url: "{receiver}/api/v1/write"}}]
"""
RECEIVER = f"""
global: {{evaluation_interval: 10s}}
rule_files: ["{RULES}/*.yaml", alert.yaml]
"""
# The fleet is healthy, so an additional alert fires and must appear in the federating server.
ALERT = """
groups:
  - name: one-more
    rules: [{alert: PstreeHostSeen, expr: 'up{job="pstree"} == 1', labels: {severity: warning}}]
"""
# Exactly the series that the fleet dashboard and its variables use.
FEDERATED = ('{job=~"pstree.*",__name__=~"instance:pstree_.+|container:pstree_.+:worst3|ALERTS|up|pstree_build_info'
             '|pstree_host_processes|pstree_host_kernel_threads"}')
ABOVE = f"""
scrape_configs:
  - job_name: federate
    scrape_interval: 10s
    honor_labels: true
    metrics_path: /federate
    params: {{{{"match[]": ['{FEDERATED.replace("{", "{{").replace("}", "}}")}']}}}}
    static_configs: [{{{{targets: ["127.0.0.1:{{port}}"]}}}}]
"""


def rows(prometheus):
    """Number of result rows of each query of the fleet dashboard."""
    return {expr: len(prometheus.instant(expr)["result"]) for _, expr, _ in fleet_questions(300, 10)}


def main():
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--hosts", type=int, default=10)
    flags.add_argument("--watch", type=int, default=60)
    flags = flags.parse_args()
    with tempfile.TemporaryDirectory(prefix="pstree-scale-") as directory:
        directory = Path(directory)
        (directory / "receiver").mkdir()
        (directory / "receiver" / "alert.yaml").write_text(ALERT)
        with Targets(directory, f"--hosts={flags.hosts}") as targets, \
                Prometheus(directory / "receiver", RECEIVER, "--web.enable-remote-write-receiver") as receiver, \
                agent(directory, targets.sd, 0, receiver) as first, agent(directory, targets.sd, 1, receiver) as second, \
                Prometheus(directory / "above", ABOVE.format(port=receiver.port)) as above:
            servers = {"agent 0": first, "agent 1": second, "receiver, with the rules": receiver, "federates": above}
            say("waiting for all targets in the receiver, and for all results in the federating server")
            await_that(lambda: receiver.number("sum(up)") == flags.hosts, "all targets")
            await_that(lambda: receiver.number("min(count_over_time(up[1h]))") >= 9, "scrapes", 200)
            await_that(lambda: receiver.number("count(ALERTS)") == flags.hosts, "the alert fires")
            await_that(lambda: rows(above) == rows(receiver), "identical results of the dashboard")
            begun, cpu = time.monotonic(), {name: each.cpu_seconds() for name, each in servers.items()}
            time.sleep(flags.watch)  # the duration of the measurement
            span = time.monotonic() - begun
            result = [("server", "series", "resident MiB", "CPU cores")]
            for name, each in servers.items():
                metrics = each.own_metrics()
                series = metrics.get("prometheus_agent_active_series") or metrics["prometheus_tsdb_head_series"]
                assert series > 0, f"{name} has no series"
                result.append((name, f"{series:,.0f}", f"{each.resident() / MIB:,.0f}",
                               f"{(each.cpu_seconds() - cpu[name]) / span:.3f}"))
            table(*result)


def agent(directory, sd, shard, receiver):
    return Prometheus(directory / f"agent-{shard}", SHARD.format(sd=sd, shard=shard, receiver=receiver.url), agent=True)


if __name__ == "__main__":
    main()
