"""What is thought of latents: a critic of pictures behind an autoencoder's decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ...diffusion.guidance import Critic
from ...diffusion.identity import call_text
from ...diffusion.prediction import Prediction, Step
from .model import Autoencoder


@dataclass(frozen=True, eq=False)
class DecodedCritic:
    """log p(y | D(z_0)) of clean latents z_0, differentiable through the decoder D.

    Args:
        autoencoder: Whose decoder; a VQ model's latents are decoded as they are, without taking the nearest codes.
        critic: Of pictures "batch 3 height width" about [-1, 1].

    Source: Bansal et al. 2023 (Universal Guidance, 2302.07121), section 3.2, on latents.
    """

    autoencoder: Autoencoder = field(repr=False)
    critic: Critic = field(repr=False)

    def digest(self) -> str:
        """Identity of all that decides it."""
        return call_text("decoded", {"autoencoder": self.autoencoder.digest(), "critic": self.critic.digest()})

    def __call__(self, x_0: Tensor, step: Step) -> Tensor:
        """ "batch" for scaled latents "batch channels height width"."""
        return self.critic(self.autoencoder.decode_smoothly(x_0), step)

    def measure(self, made: Prediction, x_t: Tensor, step: Step) -> Mapping[str, Tensor]:
        """What the critic measures of the picture of the latents that a step ends with."""
        measure = getattr(self.critic, "measure", None)
        if measure is None:
            return {}
        picture = self.autoencoder.decode(made.x_0(x_t, step))
        return measure(Prediction(picture, "x_0"), picture, step)
