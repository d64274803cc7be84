"""Claims about unCLIP: what the prior adds, reranking, guidance of the decoder, and what components hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ...models.clip.model import ClipModel
from ...nodes import batches, clip, components, embeddings, images, measures, scene_world, values
from ...nodes.sockets import Image
from ...nodes.token_sockets import Embedding
from .. import parts
from ..parts import AutoregressivePrior, Prior, Unclip
from .study import Claim, Expected, Study

_PRIOR, _TEXT, _NONE = "prior", "text as a picture", "no embedding"
_DIFFUSION, _CODES = "diffusion", "autoregressive"


def rerank_of_two(study: Study) -> None:
    """Two embeddings of each caption: the first one, and the one that fits its text better."""
    image, caption, seed = study.scenes(48)
    model, text = study.ruler(caption)
    prior = Prior.load(study.page, model)
    with study.page.group("Two candidates of each caption"):
        both = prior.sample(caption, candidates=2, scale=1.0, seed=seed)
        ways = {
            "the first": study.titled("The first", batches.select_embeddings(both, "0")),
            "the better fit": study.titled("The better fit", embeddings.rerank_embeddings(both, text, 2)),
        }
    _nearness(study, model, image, ways)


def prior_or_text(study: Study) -> None:
    """How near an embedding comes to that of the scene itself."""
    image, caption, seed = study.scenes(48)
    model, text = study.ruler(caption)
    prior = Prior.load(study.page, model)
    with study.page.group("Two ways to a picture's embedding"):
        made = prior.sample(caption, scale=1.0, seed=seed)
    _nearness(study, model, image, {_PRIOR: made, _TEXT: text})


def diffusion_or_autoregressive(study: Study) -> None:
    """Two priors under the same captions, and the same decoder behind both."""
    image, caption, seed = study.scenes(32)
    decoder = Unclip.load(study.page, "20")
    prior, coded = Prior.load(study.page, decoder.clip), AutoregressivePrior.load(study.page, decoder.clip)
    with study.page.group("Two ways to a picture's embedding"):
        made = {
            _DIFFUSION: prior.sample(caption, scale=1.0, seed=seed),
            _CODES: coded.sample(caption, scale=1.0, seed=seed),
        }
    _nearness(study, decoder.clip, image, made)
    for way, embedding in made.items():
        study.judge(way, _decoded(study, decoder, way, embedding, seed), caption)


def _nearness(study: Study, model: ClipModel, image: Image, ways: Mapping[str, Embedding]) -> None:
    with study.page.group("How near they come to the scene's own embedding"):
        own = study.titled("The scene's own", clip.clip_image_embedding(model, image))
        for way, embedding in ways.items():
            study.measure(way, "cosine", measures.clip_score(embedding, own, 1.0))


def _decoded(study: Study, decoder: Unclip, way: str, embedding: Embedding, seed: int, scale: float = 3.0) -> Image:
    """Pictures of an embedding; `scale` 0 is the decoder under nothing."""
    with study.page.group(f"Pictures: {way}"):
        plain = decoder.denoiser(embedding, f"{way}: denoiser")
        denoiser = plain if scale == 1 else decoder.towards(plain, f"{way}: guidance", scale)
        return decoder.drawn(denoiser, study.pictures, seed, f"{way}: sampler")


def prior_or_none(study: Study) -> None:
    """The decoder under what the prior makes of a text, under the text's own embedding, and under nothing."""
    prompt, seed = study.prompts(12)
    decoder = Unclip.load(study.page, "20")
    prior = Prior.load(study.page, decoder.clip)
    with study.page.group("Prior: from text to a picture's embedding (section 2.2)"):
        made = prior.sample(prompt, scale=1.0, seed=seed)
        text = study.titled("The text's own", clip.clip_text_embedding(decoder.clip, prompt)).embedding
    for way, embedding, scale in ((_PRIOR, made, 3.0), (_TEXT, text, 3.0), (_NONE, made, 0.0)):
        study.judge(way, _decoded(study, decoder, way, embedding, seed, scale), prompt)


def decoder_guidance(study: Study) -> None:
    """The decoder's guidance scale, with one embedding of each prompt."""
    prompt, seed = study.prompts(12)
    decoder = Unclip.load(study.page, "20")
    ruler = study.ruler(prompt)
    prior = Prior.load(study.page, decoder.clip)
    with study.page.group("Prior"):
        made = prior.sample(prompt, scale=1.0, seed=seed)
    for scale in (1.0, 2.0, 4.0, 8.0):
        way = f"scale {scale:g}"
        study.judge(way, _decoded(study, decoder, way, made, seed, scale), prompt, ruler)


def components_of_embeddings(study: Study) -> None:
    """What the judge still reads in pictures of an embedding's first k components."""
    image, caption, seed = study.scenes(16)
    decoder = Unclip.load(study.page, "20")
    with study.page.group("Components of the embeddings of many pictures"):
        seeds = study.titled("Seeds of many", values.seed_list(1000, 256))
        many = study.titled("Many scenes", scene_world.render_scene(cast(int, seeds), 32))
        batch = study.titled("One batch", images.batch_images(cast(list[Image], many.image)))
        found = study.titled(
            "Principal components", components.principal_components(clip.clip_image_embedding(decoder.clip, batch), 96)
        )
        own = study.titled("The scene's own", clip.clip_image_embedding(decoder.clip, image))
    for count in (4, 12, 32, 96):
        way = f"{count} components"
        with study.page.group(f"The first {count} components"):
            kept = study.titled(f"Keep {count}", components.keep_components(own, found, count))
        picture = _decoded(study, decoder, way, kept, seed)
        study.shown[way] = picture
        with study.page.group(f"Metrics: {way}"):
            study.measure(way, "attributes", scene_world.judge_scenes(picture, caption).attributes)


_PRIOR_MINIS, _DECODER = (parts.CLIP, parts.PRIOR), (parts.CLIP, parts.DECODER)
CLAIMS: Mapping[str, Claim] = {
    "rerank-of-two": Claim(
        rerank_of_two,
        "Of two samples of the prior, the one with the larger dot product with the text is the better one.",
        "unCLIP (Ramesh et al. 2022), section 2.2",
        (Expected("cosine", "the better fit", "the first"),),
        _PRIOR_MINIS,
        "Better is nearer to the embedding of the scene that the caption was written for. No guidance.",
    ),
    "prior-or-text": Claim(
        prior_or_text,
        "CLIP's embedding of a text is no embedding of a picture: the prior comes nearer to one.",
        "unCLIP (Ramesh et al. 2022), section 5.1",
        (Expected("cosine", _PRIOR, _TEXT),),
        _PRIOR_MINIS,
        "Compared with the embedding of the scene that the caption was written for.",
    ),
    "prior-or-none": Claim(
        prior_or_none,
        "A decoder draws best what a prior makes of the text, worse the text's own embedding, and worst nothing.",
        "unCLIP (Ramesh et al. 2022), section 5.1 and figure 8",
        (Expected("judge", _PRIOR, _TEXT), Expected("judge", _TEXT, _NONE)),
        (*_DECODER, parts.PRIOR),
        "The decoder is given no caption: without an embedding it knows nothing of the prompt.",
    ),
    "diffusion-or-autoregressive": Claim(
        diffusion_or_autoregressive,
        "A diffusion prior makes better embeddings than an autoregressive one.",
        "unCLIP (Ramesh et al. 2022), abstract and section 2.2",
        (Expected("cosine", _DIFFUSION, _CODES), Expected("judge", _DIFFUSION, _CODES)),
        (*_DECODER, parts.PRIOR, parts.AUTOREGRESSIVE),
        "Cosines are with the embedding of the scene that the caption was written for. Neither prior is guided; both "
        "were trained on the same pictures, for about as long.",
    ),
    "decoder-guidance": Claim(
        decoder_guidance,
        "Guidance of unCLIP's decoder costs little diversity, as the embedding already fixes what the picture shows.",
        "unCLIP (Ramesh et al. 2022), section 5.3 and figure 9",
        (Expected("judge", "scale 2", "scale 1"), Expected("diversity", "scale 1", "scale 8")),
        (*_DECODER, parts.PRIOR),
        "To be read beside guidance-scale, which asks the same of GLIDE: the second line should be smaller here.",
    ),
    "components": Claim(
        components_of_embeddings,
        "More components of an embedding bring more of the picture back, coarse things first.",
        "unCLIP (Ramesh et al. 2022), section 4 and figure 7",
        (
            Expected("attributes", "12 components", "4 components"),
            Expected("attributes", "32 components", "12 components"),
            Expected("attributes", "96 components", "32 components"),
        ),
        _DECODER,
    ),
}
