"""Where a name of a workflow leads: to a file, or to one that comes with the pack."""

from __future__ import annotations

from pathlib import Path

import pytest
from glidewire.interfaces.session import locate_workflow, shipped_workflows


def test_a_folder_does_not_stand_before_a_shipped_workflow_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "unclip").mkdir()
    assert locate_workflow("unclip") == shipped_workflows()["unclip"]
    (tmp_path / "paella").write_text("{}")
    assert locate_workflow("paella") == Path("paella")
    (tmp_path / "mine").mkdir()
    assert locate_workflow("mine") == Path("mine")
