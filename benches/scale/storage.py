"""Bytes per sample on disk: hours of data of some containers, written into blocks by promtool."""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

from fleet import Host
from history import with_labels


def main():
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--containers", type=int, default=20)
    flags.add_argument("--hours", type=int, default=6)
    flags.add_argument("--interval", type=int, default=10)
    flags.add_argument("--churn", type=float, default=0.1, help="share of the containers that are replaced per hour")
    flags = flags.parse_args()
    span = flags.hours * 3600
    begin = int(time.time() - span) // span * span  # aligned, so that it fills one block
    with tempfile.TemporaryDirectory(prefix="pstree-scale-") as directory:
        text, blocks = Path(directory, "fleet.om"), Path(directory, "blocks")
        host = Host(1, flags.containers, flags.churn, begin)
        with text.open("w") as file:
            for now in range(begin, begin + span, flags.interval):
                host.step(now)
                for line in host.expose().splitlines():
                    # A host has one set of its own series per hundred containers; with few containers they would distort the result.
                    if "{" in line and line.startswith("pstree_container_"):
                        file.write(f"{with_labels(line, host)} {line.rpartition(' ')[2]} {now}\n")
            file.write("# EOF\n")
        subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", text, blocks],
                       check=True, stdout=subprocess.DEVNULL)
        samples = series = chunks = index = 0
        for block in blocks.iterdir():
            stats = json.loads((block / "meta.json").read_text())["stats"]
            samples, series = samples + stats["numSamples"], series + stats["numSeries"]
            chunks += sum(each.stat().st_size for each in (block / "chunks").iterdir())
            index += (block / "index").stat().st_size
    print("| blocks of two hours | bytes per sample |\n|---|---|")
    print(f"| chunks | {chunks / samples:.2f} |\n| index | {index / samples:.2f} |\n| both | {(chunks + index) / samples:.2f} |")
    print(f"\n{samples:,} samples of {series:,} series (counted again in each block), every {flags.interval} s.")


if __name__ == "__main__":
    main()
