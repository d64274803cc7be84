"""Noised CLIP before clean pictures: a critic that noises them anew to the level of the step, as it was trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusion.identity import call_text, tensor_digest
from ...diffusion.noise import SeededNoise
from ...diffusion.prediction import Prediction, Step
from ...diffusion.schedules import NoiseSchedule, squared_cosine
from ..clip.network import fitted
from .network import NoisedImageEncoder
from .spec import LOGIT_SCALE


@dataclass(frozen=True, eq=False)
class RenoisedCritic:
    """log p = s cos(z_image(x_u, u), z_text) with x_u = sqrt(alpha_bar_u) x_0 + sqrt(1 - alpha_bar_u) noise.

    u is the timestep of the schedule that noised CLIP was trained on whose alpha_bar is nearest the step's: another
    system's timesteps have other levels. The noise is a function of (seed, item, step).

    Args:
        encoder: The image tower; its weights need no gradient.
        text_embedding: z_text, "1 width" or "batch width".
        seed: Of the noise.
        logit_scale: s, the inverse temperature.

    Source: GLIDE (Nichol et al. 2022), eq. 8 and section 2.4, with a single draw of q(x_u | x_0) for x_u.
    """

    encoder: NoisedImageEncoder = field(repr=False)
    text_embedding: Tensor = field(repr=False)
    seed: int
    logit_scale: float = LOGIT_SCALE

    def digest(self) -> str:
        """Identity of all that decides it."""
        parameters = {
            "encoder": self.encoder.digest(),
            "text": tensor_digest(self.text_embedding),
            "seed": self.seed,
            "logit_scale": float(self.logit_scale),
        }
        return call_text("renoised", parameters)

    @cached_property
    def schedule(self) -> NoiseSchedule:
        """What the image tower's timesteps mean: GLIDE's squared cosine."""
        return squared_cosine(self.encoder.spec.timesteps)

    def __call__(self, x_0: Tensor, step: Step) -> Tensor:
        """ "batch" for pictures "batch 3 height width" about [-1, 1], fitted to the tower's size."""
        return self.logit_scale * self._cosines(x_0, step)

    def measure(self, made: Prediction, x_t: Tensor, step: Step) -> Mapping[str, Tensor]:
        """The cosine that the predicted picture has, "batch", by the name "CLIP score"."""
        return {"CLIP score": self._cosines(made.x_0(x_t, step), step)}

    def _cosines(self, x_0: Tensor, step: Step) -> Tensor:
        u = int((self.schedule.alpha_bar - step.alpha_bar).abs().argmin())
        alpha_bar = self.schedule.alpha_bar[u].item()
        clean = fitted(x_0, self.encoder.spec.image_size).clamp(-1, 1).float()
        with torch.inference_mode(False):
            noise = SeededNoise((self.seed,) * len(clean))(step.index, clean, "renoise")
            timesteps = torch.full((len(clean),), u, device=clean.device)
            text = self.text_embedding.clone().to(clean)
        image = self.encoder(math.sqrt(alpha_bar) * clean + math.sqrt(1 - alpha_bar) * noise, timesteps)
        return F.cosine_similarity(image.to(clean), text, dim=-1)
