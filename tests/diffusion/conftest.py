"""Tiny real networks that sampling and guidance are tested on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import pytest
import torch
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.identity import tensors_digest
from glidewire.diffusion.token_alignment import Tokenization
from torch import Tensor, nn


class ToyNetwork(nn.Module):
    """Two convolutions whose first bias depends on a condition and the timestep."""

    def __init__(self, kind: Literal["eps", "x_0", "v"] = "eps", learned_variance: bool = True, seed: int = 0) -> None:
        super().__init__()
        self.prediction, self.learned_variance = kind, learned_variance
        self.prepared = 0
        self.digests = 0
        self.batches: list[int] = []
        self.first = nn.Conv2d(2, 8, 3, padding=1)
        self.bias = nn.Linear(3, 8)
        self.last = nn.Conv2d(8, 4 if learned_variance else 2, 3, padding=1)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.requires_grad_(False).parameters():
            parameter.normal_(0, 0.2, generator=generator)

    def digest(self) -> str:
        self.digests += 1
        digest = hashlib.sha256()
        for value in self.state_dict().values():
            digest.update(value.numpy().tobytes())
        return digest.hexdigest()

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        self.prepared += 1
        return {"bias": self.bias(conditioning["text"])}

    def forward(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        self.batches.append(len(x_t))
        bias = conditioning["bias"] + (timesteps / 1000)[:, None]
        return self.last(torch.tanh(self.first(x_t) + bias[..., None, None]))


@pytest.fixture(scope="session")
def toy() -> Callable[..., ToyNetwork]:
    return ToyNetwork


class GivenAnswers:
    """A network that says what it is told to: one named tensor for every condition.

    Args:
        kind: Its parametrisation.
        answers: By name, "batch ..." for every step or "steps batch ..." under ids that count down to 0.
        per_step: Which of the two.
    """

    learned_variance = False

    def __init__(
        self, answers: Mapping[str, Tensor], kind: Literal["eps", "x_0", "v"] = "eps", per_step: bool = False
    ) -> None:
        self.prediction, self.answers, self.per_step = kind, answers, per_step

    def leaf(self, name: str) -> Leaf:
        return Leaf(self, {"which": torch.tensor([list(self.answers).index(name)])})

    def digest(self) -> str:
        return tensors_digest(self.answers)

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return conditioning

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        tensors = list(self.answers.values())
        if self.per_step:
            tensors = [tensor[len(tensor) - 1 - int(timesteps[0])] for tensor in tensors]
        return torch.cat([tensors[which] for which in conditioning["which"][:: len(tensors[0])].tolist()])


@pytest.fixture(scope="session")
def given_answers() -> Callable[..., GivenAnswers]:
    return GivenAnswers


@pytest.fixture(scope="session")
def golden_tokens() -> Callable[[Any], Tokenization]:
    """The tokenizer that the golden case of prompt-to-prompt describes, over as many positions as its maps."""

    def tokenization(case: Any) -> Tokenization:
        ids, words = case.config["tokenizer"]["ids"], case.config["tokenizer"]["words"]
        return Tokenization(
            lambda text: [
                ids[piece]
                for run in re.findall(r"[a-z0-9]+|[^\sa-z0-9]", text.lower())
                for piece in words.get(run, [run])
            ],
            positions=len(case.outputs["replace_00/mapper"]),
        )

    return tokenization
