"""Writes the dashboards next to this package; --check compares the existing files with the output instead."""

import argparse
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from . import container, exporter, fleet
from .finish import finish

DIRECTORY = Path(__file__).resolve().parent.parent
DASHBOARDS = {"fleet.json": fleet, "container.json": container, "exporter.json": exporter}


def text_of(dashboard) -> str:
    plain = json.loads(json.dumps(dashboard.build(), cls=JSONEncoder))
    return json.dumps(finish(plain), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with status 1 if a file differs")
    is_check = parser.parse_args().check
    stale = []
    for file, module in DASHBOARDS.items():
        path, text = DIRECTORY / file, text_of(module.dashboard())
        if is_check:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                stale.append(file)
        else:
            path.write_text(text, encoding="utf-8")
    if stale:
        print(f"dashboards/: {', '.join(stale)} out of date; run python -m generate in that directory", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
