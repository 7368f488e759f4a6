"""Checks that pages require the password, and that they show the arguments of a process of root."""

import base64
import json
import sys
import time
import urllib.error
import urllib.request

ADDRESS = "http://localhost:10073"
USER = {"Authorization": "Basic " + base64.b64encode(b"prometheus:secret").decode()}


def get(path, headers):
    with urllib.request.urlopen(urllib.request.Request(ADDRESS + path, headers=headers), timeout=10) as answer:
        return answer.read().decode()


def processes(nodes):
    for node in nodes:
        yield node
        yield from processes(node["children"])


try:
    get("/metrics", {})
    sys.exit("FAILED: the exporter served a request without a password")
except urllib.error.HTTPError as error:
    if error.code != 401:
        sys.exit(f"FAILED: got {error}, want 401")

deadline = time.monotonic() + 30
while True:
    try:
        containers = json.loads(get("/api/v1/containers", USER))["containers"]
        break
    except urllib.error.HTTPError as error:
        # 503 until the first collection.
        if error.code != 503 or time.monotonic() > deadline:
            sys.exit(f"FAILED: {error}")
        time.sleep(0.2)
(machine,) = containers
tree = json.loads(get(f"/api/v1/containers/{machine['name']}/tree", USER))
arguments = [node["arguments"] for node in processes(tree["roots"]) if node["command"] == "counted"]
if arguments != [["counted", "1000"]] * 7:
    sys.exit(f"FAILED: got arguments {arguments}")
print("ok: arguments of root's processes are shown with the password")
