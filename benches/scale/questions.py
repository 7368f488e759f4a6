"""The queries of the fleet dashboard, and the same queries on raw series: each recorded name replaced by its definition."""

import json
import re
from pathlib import Path

from server import ROOT, RULES

DASHBOARD = ROOT / "dashboards" / "fleet.json"


def read_records():
    """Expressions by recorded name, from a file with plain `record:` and `expr:` lines."""
    records, name, block = {}, None, None
    for line in (RULES / "recording.yaml").read_text().splitlines():
        indent = len(line) - len(line.lstrip())
        if block is not None and line.strip() and indent > block:
            records[name] += " " + line.strip()
            continue
        block = None
        if found := re.match(r"\s*- record: (\S+)", line):
            name = found[1]
        elif found := re.match(r"(\s*)expr: (.*)", line):
            records[name] = "" if found[2] == "|" else found[2]
            block = len(found[1])
    return records


def raw(expr, records):
    """Removes matchers after a recorded name: with all variables set to All they match everything."""
    pattern = re.compile("(" + "|".join(map(re.escape, records)) + r")\b(?:\{[^}]*\})?")
    while pattern.search(expr):
        expr = pattern.sub(lambda found: f"({records[found[1]]})", expr)
    return expr


def plain(expr, seconds, step):
    """The expression of a panel with all variables set to All, for the given time range."""
    for name, value in (("__interval_ms", 1000 * step), ("__interval", f"{step}s"), ("__range", f"{seconds}s")):
        expr = re.sub(rf"\${name}\b", str(value), expr)
    expr = re.sub(r'=~"\$\w+"', '=~".*"', expr)
    assert "$" not in expr, expr
    return expr


def panels(panel):
    yield panel
    for child in panel.get("panels", []):
        yield from panels(child)


def fleet_questions(seconds, step):
    """Title, expression, and whether it is an instant query, for each target of the fleet dashboard."""
    questions = []
    for top in json.loads(DASHBOARD.read_text())["panels"]:
        for panel in panels(top):
            targets = [target for target in panel.get("targets", []) if target.get("expr")]
            for target in targets:
                title = panel["title"] + (f" ({target['refId']})" if len(targets) > 1 else "")
                questions.append((title, plain(target["expr"], seconds, step), bool(target.get("instant"))))
    return questions


def users_of(family):
    """The files of rules and dashboards that use a family, other than in the texts of alerts, which do without."""
    word = re.compile(rf"^(?!\s*description:).*\b{family}\b", re.MULTILINE)
    files = sorted([*RULES.glob("*.yaml"), *(ROOT / "dashboards").glob("*.json")])
    return [path.name for path in files if word.search(path.read_text())]
