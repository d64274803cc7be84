"""What a node call returns while a workflow is being written: a placeholder for a value that does not exist yet."""

from __future__ import annotations

from typing import Any, NoReturn

from ..errors import GlidewireError
from ..graph_runtime.graph import Wire


class PlaceholderError(GlidewireError, AttributeError, TypeError):
    """A placeholder was used as if it were the value that it stands for."""


class Output:
    """One output of a node call in a `Workflow`: wire it into other nodes; it has no value until the workflow runs.

    Args:
        workflow: The workflow that it belongs to.
        wire: Node id and output number.
        text: How messages call it: "node 2 (Glide sampler), output image".
    """

    __slots__ = ("text", "wire", "workflow")

    def __init__(self, workflow: object, wire: Wire, text: str) -> None:
        self.workflow, self.wire, self.text = workflow, wire, text

    def __repr__(self) -> str:
        return f"<{self.text}>"

    def __getattr__(self, name: str) -> NoReturn:
        # Names with an underscore are asked for by notebooks, copy and the like: the plain answer is right for them.
        if name.startswith("_"):
            raise AttributeError(name)
        raise self._refusal(f"its attribute {name} is not known")

    def _refusal(self, what: str) -> PlaceholderError:
        return PlaceholderError(
            f"{self.text} has no value while the workflow is being written: {what}",
            expected="an input of another node",
            hint="Compute with nodes, or fetch the value with flow.fetch(...) first.",
        )


def _refuse(name: str, what: str) -> None:
    def method(self: Output, *_: Any, **__: Any) -> NoReturn:
        raise self._refusal(what)

    method.__name__ = name
    setattr(Output, name, method)


for _name in ("iter", "len", "bool", "getitem", "contains", "call", "float", "int", "index", "array"):
    _refuse(f"__{_name}__", f"it cannot be used as a value (__{_name}__)")
for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"):
    _refuse(f"__{_name}__", "it cannot be computed with")
    _refuse(f"__r{_name}__", "it cannot be computed with")
for _name in ("lt", "le", "gt", "ge", "neg", "abs", "invert"):
    _refuse(f"__{_name}__", "it cannot be computed with")


def _torch_function(cls: type, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> NoReturn:
    name = getattr(function, "__name__", "a torch function")
    raise PlaceholderError(
        f"torch's {name} was called on an output of a node that has no value while the workflow is being written",
        expected="an input of another node",
        hint="Compute with nodes, or fetch the value with flow.fetch(...) first.",
    )


# torch asks the type, so that torch.cat([image]) explains itself as well.
Output.__torch_function__ = classmethod(_torch_function)  # type: ignore[attr-defined]
