"""Checks docs/scale.md: promtool accepts every YAML block, as an agent configuration if it only writes remotely. The page
contains lean.yaml unchanged, and no rule and no panel of the fleet and exporter dashboards uses what lean.yaml drops.
"""

import re
import subprocess
import tempfile
import textwrap

from fleet import Host
from questions import users_of
from server import ROOT

LEAN = ROOT / "benches" / "scale" / "lean.yaml"


def check_config(block):
    mode = ["--agent"] if "remote_write" in block and "rule_files" not in block else []
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(block)
        file.flush()
        subprocess.run(["promtool", "check", "config", *mode, file.name], check=True, stdout=subprocess.DEVNULL)


def dropped_families():
    """Families of a host that lean.yaml drops completely."""
    drops = re.findall(r"source_labels: \[(.*)\]\n\s*regex: (.*)\n", LEAN.read_text())
    kept, seen = set(), set()
    for line in Host(1, 1, 0, 0).expose().splitlines():
        if line.startswith("#"):
            continue
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line)) | {"__name__": re.match(r"\w+", line)[0]}
        seen.add(labels["__name__"])
        values = [";".join(labels.get(name, "") for name in names.split(", ")) for names, _ in drops]
        if not any(re.fullmatch(regex, value) for value, (_, regex) in zip(values, drops)):
            kept.add(labels["__name__"])
    return seen - kept


def main():
    page = (ROOT / "docs" / "scale.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert textwrap.indent(LEAN.read_text(), "    ") in page, "docs/scale.md does not contain the current lean.yaml"
    for block in blocks:
        check_config(block)
    dropped = dropped_families()
    assert len(dropped) >= 8, dropped
    for family in dropped:
        assert set(users_of(family)) <= {"container.json"}, f"{family}: {users_of(family)}"
    print(f"{len(blocks)} configurations are valid; {len(dropped)} families can be dropped")


if __name__ == "__main__":
    main()
