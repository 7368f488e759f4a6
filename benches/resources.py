#!/usr/bin/env python3
"""Prints the CPU and memory that a running exporter uses, for the first table of docs/benchmarks.md.

Creates sleeping processes in cgroups named like those of Docker, runs the exporter with each source at its default
interval, and scrapes it. Requires root and cgroups. Usage: benches/resources.py EXPORTER PROCESSES CONTAINERS
"""

import gzip
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

SETTLE_SECONDS = 10
MEASURED_SECONDS = 20
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def hierarchies():
    """The cgroup hierarchies that the exporter reads."""
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        return ["/sys/fs/cgroup/docker"]
    both = ["/sys/fs/cgroup/pids/docker", "/sys/fs/cgroup/unified/docker"]
    return [root for root in both if os.path.isdir(os.path.dirname(root))]


def start_processes(processes, groups):
    """Forks the processes, each of which enters its cgroups and sleeps."""
    pids = []
    for number in range(processes):
        pid = os.fork()
        if pid == 0:
            for group in groups[number % len(groups)]:
                with open(f"{group}/cgroup.procs", "w") as file:
                    file.write("0")
            signal.pause()
        pids.append(pid)
    return pids


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) / 1024


def scrape(port):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request) as response:
        return gzip.decompress(response.read())


def measure(exporter, source):
    port = free_port()
    command = [exporter, "--no-docker", f"--collection.source={source}", f"--web.listen-address=127.0.0.1:{port}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            time.sleep(SETTLE_SECONDS)
            scrape(port)
            before = cpu_seconds(process.pid)
            time.sleep(MEASURED_SECONDS)
            scrape(port)
            cpu = 100 * (cpu_seconds(process.pid) - before) / MEASURED_SECONDS
            print(f"| {source} | {cpu:.2f} | {resident_mib(process.pid):.1f} |")
        finally:
            process.terminate()


def main():
    exporter, processes, containers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    roots = hierarchies()
    groups = [[f"{root}/{number:064x}" for root in roots] for number in range(containers)]
    for group in sum(groups, []):
        os.makedirs(group)
    pids = start_processes(processes, groups)
    try:
        print("| source | CPU, % of one core | resident memory, MiB |\n|---|--:|--:|")
        for source in ["proc", "bpf"]:
            measure(exporter, source)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for group in sum(groups, []):
            os.rmdir(group)


main()
