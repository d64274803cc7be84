"""Claims about inpainting: without training for it in two ways, and by a model that was trained."""

from __future__ import annotations

from collections.abc import Mapping

from ...diffusion.denoiser import Denoiser
from ...nodes import glide_editing, images, masks, measures, replacement, samplers
from ...nodes.sockets import Image, Mask, Sample, Start
from .. import parts
from ..beside import GlideInpainter
from ..parts import Glide
from .pixels import drawn, same_noise
from .study import Claim, Expected, Study

_REPLACED, _REPAINTED, _TRAINED = "replacement", "RePaint", "fine-tuned"


def _known(study: Study, glide: Glide, image: Image, caption: str) -> tuple[Sample, Mask, Denoiser]:
    """What is known of fresh scenes, and the base model under their captions."""
    with study.page.group("What is known"):
        known = study.titled("As a sample", images.image_to_sample(image))
        mask = study.titled("Mask", masks.box_mask(32, 32, 12, 0, 32, 32))
        return known, mask, glide.guided(caption, "Its caption")


def _replaced(study: Study, glide: Glide, guided: Denoiser, known: Sample, mask: Mask, start: Start) -> Image:
    with study.page.group("Replacement in every predicted x_0"):
        kept = study.titled("Known region", glide_editing.known_region(guided, known, mask))
        return drawn(study, glide, _REPLACED, kept, start)


def _edges(study: Study, made: Mapping[str, Image], mask: Mask, caption: str) -> None:
    for way, image in made.items():
        study.judge(way, image, caption)
        with study.page.group(f"Metrics: {way}"):
            study.measure(way, "edge", measures.boundary_error(image, mask))


def replacement_or_repaint(study: Study) -> None:
    """A quarter-wide stripe of fresh scenes is painted anew under the scene's own caption."""
    image, caption, seed = study.scenes(16)
    glide = Glide.load(study.page, "20")
    known, mask, guided = _known(study, glide, image, caption)
    start = same_noise(study, guided, seed)
    made = {_REPLACED: _replaced(study, glide, guided, known, mask, start)}
    with study.page.group("RePaint: 4 walks over stretches of 5 steps"):
        walked = replacement.repaint_sampler(guided, glide.steps, start, known, mask, resamples=4, jump=5)
        made[_REPAINTED] = images.sample_to_image(study.titled("RePaint: sampler", walked))
    _edges(study, made, mask, caption)


def fine_tuned_or_replacement(study: Study) -> None:
    """The same hole filled by a model that sees what surrounds it, and by one that does not."""
    image, caption, seed = study.scenes(32)
    glide, trained = Glide.load(study.page, "20", "GLIDE's base model"), GlideInpainter.load(study.page, "20")
    known, mask, guided = _known(study, glide, image, caption)
    start = same_noise(study, guided, seed)
    with study.page.group("Fine-tuned: the masked picture and the mask beside x_t"):
        painted = trained.guided(caption, image, mask, scale=4.0)
        sample = study.titled("fine-tuned: sampler", samplers.ddim_sampler(painted, trained.steps, start, eta=1.0))
        made = {_TRAINED: images.sample_to_image(sample)}
    made[_REPLACED] = _replaced(study, glide, guided, known, mask, start)
    _edges(study, made, mask, caption)


CLAIMS: Mapping[str, Claim] = {
    "replacement-or-repaint": Claim(
        replacement_or_repaint,
        "Replacing what is known leaves an edge that is seen; going back and forth lets both sides agree.",
        "RePaint (Lugmayr et al. 2022), section 4.2; GLIDE (Nichol et al. 2021), section 4.3",
        (Expected("edge", "replacement", "RePaint"), Expected("judge", "RePaint", "replacement")),
        (parts.GLIDE,),
        "RePaint takes about four times as many evaluations here.",
    ),
    "fine-tuned-or-replacement": Claim(
        fine_tuned_or_replacement,
        "A model that was trained to inpaint fits what it paints to what surrounds it: replacement leaves edges.",
        "GLIDE (Nichol et al. 2021), section 4.3",
        (Expected("edge", _REPLACED, _TRAINED), Expected("judge", _TRAINED, _REPLACED)),
        (parts.GLIDE, parts.INPAINT),
        "Nothing is put back into the fine-tuned model's picture, which may thus differ where the mask keeps it; "
        "replacement keeps those pixels exactly. Both are guided with a scale of 4.",
    ),
}
