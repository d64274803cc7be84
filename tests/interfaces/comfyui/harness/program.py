"""Loads the pack as a host does and runs prompts in it: `program.py <pack> <prompts.json>`; prints one JSON line.

By path, under a name made of the path, beside a foreign module `nodes`, with stand-ins for the host's modules, inside
of inference mode. Without --provider the host has no hook behind its cache.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "stand_ins"), str(HERE)]
pack, prompts, *options = sys.argv[1:]

import aiohttp  # noqa: E402, F401 - as a host has, like torch, before it loads packs
import torch  # noqa: E402

import nodes  # noqa: E402

if "--provider" not in options:
    sys.modules["comfy_execution.cache_provider"] = None  # type: ignore[assignment]
name = pack.replace(".", "_x_")
spec = importlib.util.spec_from_file_location(name, f"{pack}/__init__.py", submodule_search_locations=[pack])
assert spec and spec.loader
module = importlib.util.module_from_spec(spec)
sys.modules[name] = module
already = set(sys.modules)
spec.loader.exec_module(module)
classes, titles = module.NODE_CLASS_MAPPINGS, module.NODE_DISPLAY_NAME_MAPPINGS
started = set(sys.modules) - already
sys.modules.pop("comfy_execution.cache_provider", None) if "--provider" not in options else None

from comfy import model_management, utils  # noqa: E402
from executor import Executor  # noqa: E402
from server import PromptServer  # noqa: E402

torch.set_num_threads(1)
runs = []
with torch.inference_mode():
    for job in json.loads(Path(prompts).read_text()):
        utils.TOLD.clear()
        model_management.interrupt_after = job.get("interrupt_after")
        executor, ended = Executor(classes), "success"
        shown = {}
        try:
            shown = executor.run(job["prompt"], job["id"], {"workflow": {"named": job["id"]}})
        except model_management.InterruptProcessingException:
            ended = "interrupted"
        runs.append({"shown": shown, "ran": executor.ran, "told": list(utils.TOLD), "ended": ended})
print(
    json.dumps(
        {
            "runs": runs,
            "classes": list(classes),
            "routes": [route.path for route in PromptServer.instance.routes],
            # The host repeats each route below /api, and cannot where one has options.
            "options": [route.kwargs for route in PromptServer.instance.routes if route.kwargs],
            "whose": nodes.WHOSE,
            "installed": "glidewire" in sys.modules,
            "networks": sorted(found for found in started if found.startswith(name) and found.endswith(".network")),
            "libraries": sorted({found.partition(".")[0] for found in started}),
        }
    )
)
