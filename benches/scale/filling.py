"""Memory of Prometheus while its head block fills: two hours of scrapes every 10 s, shortened to twelve minutes by scraping
every second."""

import argparse
import tempfile
from pathlib import Path

from measure import table
from server import MIB, Prometheus, Targets, await_that

CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: pstree
    file_sd_configs: [{{files: ["{sd}"]}}]
"""
SCRAPES = (30, 60, 180, 360, 720)


def main():
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--hosts", type=int, default=10)
    flags = flags.parse_args()
    rows = [("minutes of scrapes every 10 s", "series", "resident MiB", "resident bytes a series", "Go heap in use, MiB")]
    # Ten times the churn: as many containers are replaced as in two hours.
    with tempfile.TemporaryDirectory(prefix="pstree-scale-") as directory, \
            Targets(Path(directory), f"--hosts={flags.hosts}", "--churn=1") as targets, \
            Prometheus(Path(directory), CONFIG.format(sd=targets.sd)) as prometheus:
        for scrapes in SCRAPES:
            await_that(lambda: prometheus.number("min(count_over_time(up[1h]))") >= scrapes, f"{scrapes} scrapes", 900)
            metrics, resident = prometheus.own_metrics(), prometheus.resident()
            series = metrics["prometheus_tsdb_head_series"]
            rows.append((scrapes // 6, f"{series:,.0f}", f"{resident / MIB:,.0f}", f"{resident / series:,.0f}",
                         f"{metrics['go_memstats_heap_inuse_bytes'] / MIB:,.0f}"))
    table(*rows)


if __name__ == "__main__":
    main()
