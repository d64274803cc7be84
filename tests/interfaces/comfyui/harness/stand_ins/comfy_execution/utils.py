"""Stand-in for what the host tells of the node that runs."""

from typing import NamedTuple


class ExecutionContext(NamedTuple):
    prompt_id: str
    node_id: str
    list_index: int | None


current = None


def get_executing_context():
    return current
