"""An ordinary CLIP before clean pictures: as a critic, through random cutouts of them, and as what scores each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusion.cutouts import cutout_boxes, cutouts, spherical_distance
from ...diffusion.identity import call_text, tensor_digest
from ...diffusion.noise import item_generator
from ...diffusion.prediction import Prediction, Step
from ...errors import GlidewireError
from .network import Clip, fitted


@dataclass(frozen=True, eq=False)
class CutoutCritic:
    """log p = -mean over cutouts of 2 arcsin(|z_i - z_t| / 2)^2.

    All pictures of a batch are looked at through the same cutouts, a function of (seed, step).

    Args:
        network: Both towers; their weights need no gradient.
        text_embedding: z_t, "1 width" or "batch width".
        count: Cutouts of each step.
        power: See `cutouts.cutout_boxes`.
        seed: Of the cutouts.

    Source: Crowson et al. 2022 (VQGAN-CLIP, 2204.08583), sections 3.2 and 3.3.
    """

    network: Clip = field(repr=False)
    text_embedding: Tensor = field(repr=False)
    count: int
    power: float
    seed: int

    def digest(self) -> str:
        """Identity of all that decides it."""
        parameters = {
            "network": self.network.digest(),
            "text": tensor_digest(self.text_embedding),
            "count": self.count,
            "power": float(self.power),
            "seed": self.seed,
        }
        return call_text("cutouts", parameters)

    def __call__(self, x_0: Tensor, step: Step) -> Tensor:
        """ "batch" for pictures "batch 3 height width" about [-1, 1]; raises GlidewireError for other channels."""
        if x_0.ndim != 4 or x_0.shape[1] != 3:
            raise GlidewireError(
                "CLIP looks at pictures", expected="batch x 3 x height x width", got=" x ".join(map(str, x_0.shape))
            )
        side = self.network.spec.image.image_size
        rng = item_generator(self.seed, 0, step.index, "cutouts")
        boxes = cutout_boxes((x_0.shape[2], x_0.shape[3]), self.count, side, self.power, rng)
        weight = next(self.network.parameters())
        seen = cutouts(x_0, boxes, side).to(weight.device, weight.dtype)
        image = self.network.encode_image(seen).float().unflatten(0, (len(boxes), len(x_0)))
        with torch.inference_mode(False):
            text = self.text_embedding.clone().to(image)
        return -spherical_distance(image, text).mean(dim=0)

    def measure(self, made: Prediction, x_t: Tensor, step: Step) -> Mapping[str, Tensor]:
        """The score of the predicted picture as a whole; see `ClipScore`."""
        return ClipScore(self.network, self.text_embedding).measure(made, x_t, step)


@dataclass(frozen=True, eq=False)
class ClipScore:
    """cos(z_image(x_0), z_text) of the x_0 that a step predicts: a `Measure` for pictures.

    Args:
        network: Both towers.
        text_embedding: z_text, "1 width" or "batch width".

    Source: Hessel et al. 2021 (CLIPScore, 2104.08718), section 3, without its weight and its bound at 0.
    """

    network: Clip = field(repr=False)
    text_embedding: Tensor = field(repr=False)

    def digest(self) -> str:
        """Identity of all that decides it."""
        return call_text("clip_score", {"network": self.network.digest(), "text": tensor_digest(self.text_embedding)})

    def measure(self, made: Prediction, x_t: Tensor, step: Step) -> Mapping[str, Tensor]:
        """ "batch" by the name "CLIP score", for x_t "batch 3 height width" in pixel space."""
        weight = next(self.network.parameters())
        picture = made.x_0(x_t, step).clamp(-1, 1).float()
        image = self.network.encode_image(fitted(picture, self.network.spec.image.image_size).to(weight.device)).float()
        return {"CLIP score": F.cosine_similarity(image, self.text_embedding.to(image), dim=-1)}
