"""Workflow files: the editor's saved form and the API form, as JSON or inside pictures, read and written."""

from .api import Reading, to_api
from .front_door import examine, read, write
from .picture import embed
from .write_saved import to_saved

__all__ = ["Reading", "embed", "examine", "read", "to_api", "to_saved", "write"]
