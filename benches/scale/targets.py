"""Serves a whole fleet on one port: /host-0001/metrics and so on. Writes a file_sd file with all targets."""

import argparse
import http.server
import json
import sys
import threading
import time
import zlib

from fleet import Host
from history import write_history


class Targets(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hosts = {}
    locks = {}

    def do_GET(self):
        name = self.path.split("/")[1]
        if name not in self.hosts:
            return self.send_error(404)
        with self.locks[name]:
            self.hosts[name].step(time.time())
            body = self.hosts[name].expose().encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            compressor = zlib.compressobj(1, wbits=31)
            body = compressor.compress(body) + compressor.flush()
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


def main():
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--hosts", type=int, default=10)
    flags.add_argument("--containers", type=int, default=100, help="containers per host")
    flags.add_argument("--churn", type=float, default=0.1, help="share of the containers that are replaced per hour")
    flags.add_argument("--port", type=int, default=0)
    flags.add_argument("--interval", type=int, default=10, help="scrape interval of the history in seconds")
    flags.add_argument("--sd", required=True, help="the file_sd file to write; it exists once the targets are ready")
    flags.add_argument("--history", help="first write the hours of history that the alerts query, as OpenMetrics")
    flags = flags.parse_args()

    hosts = [Host(number, flags.containers, flags.churn, time.time()) for number in range(1, flags.hosts + 1)]
    if flags.history:
        write_history(hosts, flags.history, time.time(), flags.interval)
    Targets.hosts = {host.name: host for host in hosts}
    Targets.locks = {host.name: threading.Lock() for host in hosts}
    server = Server(("127.0.0.1", flags.port), Targets)
    address = f"127.0.0.1:{server.server_address[1]}"
    groups = [
        {"targets": [address], "labels": {"__metrics_path__": f"/{host.name}/metrics", "instance": f"{host.name}:10073"}}
        for host in hosts
    ]
    with open(flags.sd, "w") as file:
        json.dump(groups, file)
    sys.setswitchinterval(0.05)
    server.serve_forever()


if __name__ == "__main__":
    main()
