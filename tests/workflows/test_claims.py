"""Claims: each is a workflow whose metrics are nodes, and the page says what its runs measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from glidewire.errors import GlidewireError
from glidewire.workflows.claims import CLAIMS
from glidewire.workflows.claims.__main__ import DOCS, main, opened, read
from glidewire.workflows.claims.findings import Difference, Finding, measured, page
from glidewire.workflows.claims.study import ITEMS, Expected, metrics_of

EXPECTED = Expected("judge", "a", "b")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLIDEWIRE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", CLAIMS)
def test_it_expects_only_what_it_measures(name: str) -> None:
    metrics = metrics_of(CLAIMS[name])
    assert CLAIMS[name].expected
    for one in CLAIMS[name].expected:
        assert {one.more, one.less} <= set(metrics[one.metric]) and one.more != one.less


@pytest.mark.parametrize(
    ("mean", "error", "verdict"),
    [(0.1, 0.04, "holds"), (0.1, 0.06, "undecided"), (-0.1, 0.04, "reversed"), (0.0, 0.0, "undecided")],
)
def test_a_difference_counts_beyond_two_of_its_errors(mean: float, error: float, verdict: str) -> None:
    assert Difference(EXPECTED, mean, error).verdict == verdict


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [((0.5, 0.5), "holds"), ((0.5, 0.0), "holds in part"), ((0.5, -0.5), "holds in part"), ((0.0, 0.0), "not shown"),
     ((0.0, -0.5), "does not hold")],
)  # fmt: skip
def test_the_verdict_says_how_much_of_a_claim_holds(differences: tuple[float, ...], verdict: str) -> None:
    finding = Finding(4, 2, {"judge": {"a": 1, "b": 0.5}}, tuple(Difference(EXPECTED, one, 0.1) for one in differences))
    assert finding.verdict == verdict
    assert Finding.from_json(finding.as_json()) == finding


def test_a_run_measures_every_way_at_any_size(tmp_path: Path) -> None:
    name = "replacement-or-repaint"
    flow = opened(name, items=2)
    flow.set(**{"Steps.spacing": "2", "RePaint: sampler.resamples": 1})
    claim = CLAIMS[name]
    finding = measured(flow, claim, metrics_of(claim))
    assert finding.items == 2 and set(finding.means) == {"judge", "edge"}
    assert [difference.expected for difference in finding.differences] == list(claim.expected)
    edge = finding.means["edge"]
    assert finding.differences[0].mean == pytest.approx(edge["replacement"] - edge["RePaint"])


def test_unknown_claims_are_refused() -> None:
    with pytest.raises(GlidewireError, match="there is no claim nothing; expected classifier-free-or-clip"):
        opened("nothing")
    assert any(
        call.title == ITEMS and call.inputs["value"] == 3 for call in opened("thresholds", 3).graph.calls.values()
    )


def test_the_page_is_written_of_what_was_found(tmp_path: Path) -> None:
    name = "guidance-scale"
    told = Difference(CLAIMS[name].expected[0], -0.25, 0.01)
    finding = Finding(7, 3, {"diversity": {"scale 1": 0.25, "scale 4": 0.5}}, (told,))
    written = page(CLAIMS, {name: finding}, [name])
    assert "diversity: scale 1 > scale 4: -0.25 ± 0.01, reversed | 7 × 3 | **does not hold** |" in written
    assert "| scale 1 | 0.25 |" in written and f"pictures/claims/{name}.webp" in written


def test_the_shipped_page_is_current(tmp_path: Path) -> None:
    found = read(DOCS)
    assert found and set(found) <= set(CLAIMS)
    shown = {path.stem for path in (DOCS / "pictures" / "claims").glob("*.webp")}
    assert (DOCS / "claims.md").read_text() == page(CLAIMS, found, shown), "run: ... workflows.claims --page-only"
    for finding in found.values():
        assert finding.items >= 8


def test_the_page_can_be_written_anew_without_a_run(tmp_path: Path) -> None:
    main([], docs=tmp_path, page_only=True)
    assert read(tmp_path) == {} and (tmp_path / "claims.md").read_text().startswith("# Claims")
