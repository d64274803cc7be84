"""A minimal executor of the host's V1 contract: what a class declares decides how it is called."""

from __future__ import annotations

import asyncio
from typing import Any

import comfy_execution.cache_provider as providers
import comfy_execution.utils as running
from server import PromptServer


class Executor:
    """Runs prompts in the API form, depth first; a fresh one has nothing cached."""

    def __init__(self, classes: dict[str, type]) -> None:
        self.classes = classes
        self.ran: list[str] = []

    def run(self, prompt: dict[str, Any], prompt_id: str = "1", extra: Any = None) -> dict[str, Any]:
        """Run every output node; what each showed, by id."""
        self.prompt, self.prompt_id, self.extra = prompt, prompt_id, extra
        self.made: dict[str, list[list[Any]]] = {}
        self.ran = []
        shown: dict[str, Any] = {}
        PromptServer.instance.prompt_queue.currently_running[0] = (0, prompt_id, prompt, {}, [])
        for provider in providers.PROVIDERS:
            provider.on_prompt_start(prompt_id)
        try:
            for node, entry in prompt.items():
                if self.classes[entry["class_type"]].OUTPUT_NODE:
                    shown[node] = self.outputs(node)
        finally:
            for provider in providers.PROVIDERS:
                provider.on_prompt_end(prompt_id)
            PromptServer.instance.prompt_queue.currently_running.clear()
            running.current = None
        return shown

    def outputs(self, node: str) -> Any:
        """The outputs of a node, a list for each; what it showed, for a node with an effect."""
        entry = self.prompt[node]
        cls = self.classes[entry["class_type"]]
        if node not in self.made:
            found = self._provided(node, entry["class_type"])
            if found is not None:
                self.made[node] = found
        if node in self.made:
            return self.made[node]
        if hasattr(cls, "IS_CHANGED"):
            literals = {name: value for name, value in entry["inputs"].items() if not isinstance(value, list)}
            assert isinstance(cls.IS_CHANGED(**literals), str)
        instance, inputs = cls(), self._inputs(cls, entry["inputs"])
        self.ran.append(node)
        results = self._call(instance, cls, inputs, node)
        if cls.OUTPUT_NODE:
            return results[0]["ui"]
        self.made[node] = [
            [item for result in results for item in result[slot]] if is_list else [result[slot] for result in results]
            for slot, is_list in enumerate(cls.OUTPUT_IS_LIST)
        ]
        return self.made[node]

    def _inputs(self, cls: type, given: dict[str, Any]) -> dict[str, list[Any]]:
        """Every input as a list, lazy ones only where they are asked for."""
        declared = cls.INPUT_TYPES()
        known = {name: info for part in ("required", "optional") for name, info in declared.get(part, {}).items()}
        assert set(given) <= set(known), f"unknown inputs {set(given) - set(known)}"
        lazy = {name for name, info in known.items() if len(info) > 1 and info[1].get("lazy")}
        inputs = {name: self._value(value) for name, value in given.items() if name not in lazy}
        if lazy:
            asked = {**{name: values[0] for name, values in inputs.items()}, **dict.fromkeys(lazy & set(given))}
            for name in cls().check_lazy_status(**asked):
                inputs[name] = self._value(given[name])
        offered = {"PROMPT": self.prompt, "EXTRA_PNGINFO": self.extra}
        return {**inputs, **{name: [offered[what]] for name, what in declared.get("hidden", {}).items()}}

    def _value(self, value: Any) -> list[Any]:
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
            return self.outputs(value[0])[value[1]]
        return [value["__value__"] if isinstance(value, dict) and "__value__" in value else value]

    def _call(self, instance: Any, cls: type, inputs: dict[str, list[Any]], node: str) -> list[Any]:
        """Once with lists, or once for each item of the longest list."""
        function = getattr(instance, cls.FUNCTION)
        if cls.INPUT_IS_LIST:
            running.current = running.ExecutionContext(self.prompt_id, node, None)
            result = function(**inputs)
            return [{"ui": result["ui"]}] if cls.OUTPUT_NODE else [result]
        results = []
        for index in range(max((len(values) for values in inputs.values()), default=1)):
            running.current = running.ExecutionContext(self.prompt_id, node, index)
            once = {name: values[min(index, len(values) - 1)] for name, values in inputs.items()}
            results.append(function(**once))
        return results

    def _provided(self, node: str, class_type: str) -> list[list[Any]] | None:
        """What a provider has for a node."""
        context = providers.CacheContext(node, class_type, "0" * 64)
        for provider in providers.PROVIDERS:
            if provider.should_cache(context):
                found = asyncio.run(provider.on_lookup(context))
                if found is not None:
                    return list(found.outputs)
        return None
