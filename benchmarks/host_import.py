"""Start-up in a node host: what loading the pack costs it, beyond the torch that it has imported already.

    python -m glidewire.benchmarks.host_import [--rounds 5]

Each round is a fresh process that loads the folder by path, as the host does, and asks for the nodes. "of torch" is
our share of the processor time that importing torch took just before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_PACK = Path(__file__).resolve().parent.parent
_PROGRAM = """
import importlib.util, json, sys, time
processor = time.process_time()
import numpy, PIL.Image, torch, aiohttp
torch_processor = time.process_time() - processor

pack = sys.argv[1]
before, wall, processor = set(sys.modules), time.perf_counter(), time.process_time()
spec = importlib.util.spec_from_file_location("pack", pack + "/__init__.py", submodule_search_locations=[pack])
module = importlib.util.module_from_spec(spec)
sys.modules["pack"] = module
spec.loader.exec_module(module)
nodes = len(module.NODE_CLASS_MAPPINGS)
taken = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
taken["of torch"] = taken["processor"] / torch_processor
described, wall = {}, time.perf_counter()
for name, cls in module.NODE_CLASS_MAPPINGS.items():
    described[name] = cls.INPUT_TYPES()
new = set(sys.modules) - before
slow = {"networkx", "diffusers", "transformers", "open_clip", "torchvision", "scipy"}
heavy = sorted({name.partition(".")[0] for name in new} & slow)
networks = sorted(name for name in new if name.endswith(".network"))
print(json.dumps({**taken, "descriptions": time.perf_counter() - wall, "nodes": nodes, "modules": len(new),
                  "heavy": heavy, "networks": networks}))
"""


def main() -> None:
    """Print the median of each figure, and what was imported that should not be."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    rounds, command = [], [sys.executable, "-c", _PROGRAM, str(_PACK)]
    with tempfile.TemporaryDirectory() as empty:  # outside of a host, inputs are looked for where we stand
        for _ in range(options.parse_args().rounds):
            done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=empty)
            rounds.append(json.loads(done.stdout.splitlines()[-1]))
    for name in ("wall", "processor", "of torch", "descriptions"):
        taken = [one[name] for one in rounds]
        unit = "x" if name == "of torch" else "s"
        print(f"{name:<14}{statistics.median(taken):>8.3f} {unit}   {' '.join(f'{one:.3f}' for one in taken)}")
    last = rounds[-1]
    print(f"{last['nodes']} nodes, {last['modules']} modules; slow libraries: {last['heavy'] or 'none'}; ", end="")
    print(f"networks: {last['networks'] or 'none'}")


if __name__ == "__main__":
    main()
