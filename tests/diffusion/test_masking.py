from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from glidewire.diffusion import masking, token_noise
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.token_run import TokenRecord
from glidewire.errors import GlidewireError
from torch import Tensor


class GivenLogits:
    """A network that says at step k what it was given for step k, "batch codes ..."."""

    prediction, learned_variance = "logits", False

    def __init__(self, logits: Tensor, total: int) -> None:
        self.logits, self.total = logits, total

    def digest(self) -> str:
        return "given"

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return conditioning

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        return self.logits[self.total - 1 - int(timesteps[0])]


def noise_of(case) -> token_noise.FixedTokenNoise:
    gumbels = {
        "token": list(token_noise.gumbel_of(case.inputs["token_uniform"])),
        "confidence": list(token_noise.gumbel_of(case.inputs["confidence_uniform"])),
    }
    return token_noise.FixedTokenNoise(gumbels)


def records_of(case, steps: tuple, start: Tensor, logits: Tensor) -> list[TokenRecord]:
    records: list[TokenRecord] = []
    leaf = Leaf(GivenLogits(logits, len(steps)))
    mask = case.config["mask_token_id"]
    result = masking.sample_masked(leaf, steps, start, mask, noise_of(case), on_step=records.append)
    assert torch.equal(result, records[-1].next) and not (result == mask).any()
    return records


def test_every_golden_amused_run(parity) -> None:
    case = parity("maskgit_step")
    for name, run in case.config["runs"].items():
        pair = run["temperature"] if isinstance(run["temperature"], list) else (run["temperature"], 0.01)
        steps = masking.amused_steps(
            run["T"],
            choice_temperatures=tuple(pair),
            schedule=run["schedule"],
            masked_at_start=run.get("starting_mask_ratio", 1.0),
        )
        logits = case.inputs["logits"]
        batch = logits.shape[1]
        empty = torch.full((batch, *case.config["size"]), case.config["mask_token_id"])
        start = case.inputs[run["start"]].long() if "start" in run else empty
        if run.get("flat"):
            logits, start = logits.flatten(3), start.flatten(1)
        records = records_of(case, steps, start, logits)
        for output in (f"{name}/pred_original_sample", f"{name}/prev_sample"):
            kept = [record.drawn if "pred" in output else record.next for record in records]
            case.assert_close(output, torch.stack(kept).view_as(case.outputs[output]))


def test_every_golden_decoding(parity) -> None:
    case = parity("maskgit_decode_original")
    for name, run in case.config["runs"].items():
        steps = masking.maskgit_steps(
            run["num_iter"], choice_temperature=run["choice_temperature"], schedule=run["mask_scheduling_method"]
        )
        empty = torch.full_like(case.inputs["x_partial"], case.config["mask_token_id"])
        start = (case.inputs[run["start"]] if "start" in run else empty).long()
        records = records_of(case, steps, start, case.inputs["logits"].movedim(-1, 2))
        case.assert_close(f"{name}/final_seqs", torch.stack([record.drawn for record in records], dim=1))


def test_every_golden_schedule(parity) -> None:
    case = parity("maskgit_decode_original")
    seen = 0
    for output in case.outputs:
        if output.startswith("schedule_"):
            _, name, count = output.split("_")
            shares = [masking.mask_share(name, ratio, int(count)) for ratio in case.inputs["ratio"].tolist()]
            case.assert_close(output, torch.tensor(shares, dtype=torch.float64))
            seen += 1
    assert seen


@pytest.mark.parametrize("make", [masking.maskgit_steps, masking.amused_steps])
def test_fewer_are_masked_every_step_and_none_is_revised(make: Callable) -> None:
    torch.manual_seed(0)
    records: list[TokenRecord] = []
    leaf = Leaf(GivenLogits(torch.randn(6, 2, 10, 5, 4), 6))
    start = torch.full((2, 5, 4), 10)
    noise = token_noise.SeededTokenNoise((0, 1))
    masking.sample_masked(leaf, make(6), start, 10, noise, on_step=records.append)
    masked = [int((record.next == 10).sum()) for record in records]
    assert masked == sorted(masked, reverse=True) and masked[-1] == 0 and len(set(masked)) == 6
    for record in records:
        known = record.tokens != 10
        assert torch.equal(record.next[known], record.tokens[known])


def test_nothing_to_make_stays() -> None:
    leaf = Leaf(GivenLogits(torch.randn(3, 1, 10, 2, 2), 3))
    start = torch.arange(4).view(1, 2, 2)
    noise = token_noise.SeededTokenNoise((0,))
    assert torch.equal(masking.sample_masked(leaf, masking.maskgit_steps(3), start, 10, noise), start)


def test_errors() -> None:
    with pytest.raises(GlidewireError, match=r"unknown schedule of masks; expected uniform, .*; got square"):
        masking.maskgit_steps(4, schedule="square")
    with pytest.raises(GlidewireError, match=r"unknown schedule of masks.*got pow-2"):
        masking.mask_share("pow-2", 0.5, 16)
    with pytest.raises(GlidewireError, match="expected 1 step or more"):
        masking.maskgit_steps(0)
    with pytest.raises(GlidewireError, match="expected cosine or linear"):
        masking.amused_steps(4, schedule="log")
    with pytest.raises(GlidewireError, match="temperatures from 0 up"):
        masking.amused_steps(4, choice_temperatures=(-1.0, 0.0))
