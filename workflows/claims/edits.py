"""Claims about edits: of the bottleneck, of attention to words, and by pictures as prompts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import cast

from ...diffusion.denoiser import Denoiser
from ...nodes import (
    autoencoders,
    batches,
    bottleneck,
    control,
    guidance,
    image_prompts,
    images,
    measures,
    prompt_editing,
    samplers,
    scene_world,
    values,
)
from ...nodes.sockets import Start
from ...scenes import Scene, sample_scene
from ...scenes.maps import TRAINED
from ...scenes.world import COLOURS, GROUNDS, SHAPES
from .. import parts
from ..adapter_pages import PROMPT_DIFFUSION, START, STEPS, T_EDIT, edited
from ..parts import Glide, Latent, file
from .study import PICTURES, Claim, Expected, Study

OWN, OTHER = "its own pair", "another map's pair"
_STRENGTHS = (-0.5, -0.25, 0.0, 0.25, 0.5, 1.0)
# Of a picture that is a prompt: above 0.5 nothing is left to gain here, and twice as much shows what the text keeps.
_PICTURE_SCALES = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
# Beyond the seeds of what any mini was trained with.
_FRESH = 10_000_000


def _alone(count: int) -> list[tuple[int, Scene]]:
    """Fresh scenes of one solid, by their seeds."""
    scenes = ((seed, sample_scene(seed)) for seed in itertools.count(_FRESH))
    return list(itertools.islice(((seed, scene) for seed, scene in scenes if len(scene.solids) == 1), count))


def _another(words: Sequence[str], than: str, seed: int) -> str:
    """A word of a list that is not the given one."""
    return [word for word in words if word != than][seed % (len(words) - 1)]


def _swapped(count: int) -> list[tuple[str, str]]:
    """Prompts of one solid of which one word differs: its colour, its shape or its ground, by turns.

    Nothing says where the solid stands: a prompt that does would keep the layout by itself.
    """
    found, choices = [], (tuple(COLOURS), SHAPES, tuple(GROUNDS))
    for index, (seed, scene) in enumerate(_alone(count)):
        (solid,), turn = scene.solids, index % len(choices)
        source: list[str] = [solid.colour, solid.shape, scene.ground]
        target = [*source[:turn], _another(choices[turn], source[turn], seed), *source[turn + 1 :]]
        before, after = ("a {} {} {} on {} ground".format(solid.size, *words) for words in (source, target))
        found.append((before, after))
    return found


def _lines(study: Study, *columns: tuple[str, tuple[str, ...]], pictures: int = 4) -> tuple[list[str], int]:
    """Lists of prompts that run side by side, and a seed for each place in them."""
    with study.page.group("Prompts, each with a seed of its own"):
        texts = [study.titled(title, values.text_list("\n".join(lines))) for title, lines in columns]
        seeds = study.titled("Seeds", values.seed_list(0, len(columns[0][1])))
        if pictures > 1:
            study.pictures = study.titled(PICTURES, values.integer(pictures))
    return cast(list[str], texts), cast(int, seeds)


def _by_ddim(study: Study, glide: Glide, way: str, denoiser: Denoiser, start: Start, target: str) -> None:
    with study.page.group(f"Pictures: {way}"):
        sample = study.titled(f"{way}: sampler", samplers.ddim_sampler(denoiser, glide.steps, start))
        picture = images.sample_to_image(sample)
    study.judge(way, picture, target)


def _silent_prompts(study: Study, count: int = 32) -> tuple[Glide, Denoiser, Start, str]:
    """The denoiser under prompts of one solid without a size, their noise, and what is wanted of them.

    Each names a ground, so that the judge sees whether it stays.
    """
    said = [
        f"{solid.colour} {solid.shape} on {scene.ground} ground" for _, scene in _alone(count) for solid in scene.solids
    ]
    silent, larger = (tuple(f"{start} {text}" for text in said) for start in ("a", "a large"))
    (prompt, target), seed = _lines(study, ("Prompts without a size", silent), ("What they shall show", larger))
    glide = Glide.load(study.page, str(STEPS))
    with study.page.group("The text, silent of size"):
        plain = glide.conditional(prompt)
        start = study.titled("Noise", samplers.noise_start(plain, 32, 32, batch=study.pictures, seed=seed))
    return glide, plain, start, target


def asymmetric_editing(study: Study) -> None:
    """One direction at one strength: in the predicted sample alone, and in both terms of a step."""
    glide, plain, start, target = _silent_prompts(study)
    with study.page.group("One direction, added in two ways (Kwon et al. 2023, eq. 4)"):
        large = study.titled("Larger", bottleneck.load_h_direction(file(parts.ASYRP_LARGE)))
        numbers = (glide.steps, 1.0, T_EDIT, STEPS, START)
        alone = study.titled("Asymmetric", bottleneck.edit_h_space(plain, large, *numbers))
        alike = study.titled("Symmetric", bottleneck.edit_h_space(plain, large, *numbers, asymmetric=False))
    for way, denoiser in (("as drawn", plain), ("symmetric", alike), ("asymmetric", alone)):
        _by_ddim(study, glide, way, denoiser, start, target)


def bottleneck_linearity(study: Study) -> None:
    """One direction at growing strengths, and backwards."""
    glide, plain, start, target = _silent_prompts(study)
    with study.page.group("A direction"):
        large = study.titled("Larger", bottleneck.load_h_direction(file(parts.ASYRP_LARGE)))
    for strength in _STRENGTHS:
        way = f"strength {strength:g}"
        with study.page.group(f"Strength {strength:g}"):
            changed = study.titled(f"Edit: {way}", edited(glide, plain, large, strength)) if strength else plain
        _by_ddim(study, glide, way, changed, start, target)
        study.measure(way, "covered", scene_world.covered_share(study.shown[way]))


def global_direction(study: Study) -> None:
    """What a direction adds, averaged over other pictures, and over timesteps too."""
    glide, plain, start, target = _silent_prompts(study)
    with study.page.group("Means of what f_t adds, over other pictures (section 5.3)"):
        large = study.titled("f_t", bottleneck.load_h_direction(file(parts.ASYRP_LARGE)))
        other = glide.conditional("a small thing", "Other pictures' prompt")
        begun = study.titled("Other noise", samplers.noise_start(other, 32, 32, batch=16, seed=77))
        means = [
            study.titled(title, bottleneck.mean_h_direction(other, large, glide.steps, begun, 1.0, T_EDIT, whole))
            for title, whole in (("Mean of each timestep", False), ("One for all timesteps", True))
        ]
    ways = (("as drawn", None), ("f_t", large), ("mean by timestep", means[0]), ("global mean", means[1]))
    for way, direction in ways:
        with study.page.group(f"Edit: {way}"):
            changed = plain if direction is None else study.titled(f"Edit: {way}", edited(glide, plain, direction))
        _by_ddim(study, glide, way, changed, start, target)


def replace_keeps_layout(study: Study) -> None:
    """A word is swapped: by attention, and by prompting anew from the same noise, or from another."""
    pairs = _swapped(96)
    columns = (("Sources", tuple(a for a, _ in pairs)), ("Targets", tuple(b for _, b in pairs)))
    (source, target), seed = _lines(study, *columns, pictures=1)
    glide = Glide.load(study.page, "30")
    with study.page.group("Guidance towards either prompt"):
        towards, other = glide.guided(source, "Source"), glide.guided(target, "Target")
        start = study.titled("Noise", samplers.noise_start(towards, 32, 32, seed=seed))
    with study.page.group("Attention of the target from the source's (Hertz et al. 2022, section 3)"):
        edit = prompt_editing.prompt_to_prompt(towards, glide.model, glide.steps, source, target, "replace")
        twice = prompt_editing.repeat_start(start, 2)
        pair = images.sample_to_image(study.titled("Pair", samplers.ddim_sampler(edit, glide.steps, twice)))
        before = study.titled("Source alone", batches.select_images(pair, "0"))
    with study.page.group("Prompted anew from the same noise, and from another"):
        anew = images.sample_to_image(study.titled("Anew", samplers.ddim_sampler(other, glide.steps, start)))
        seeds = cast(int, study.titled("Other seeds", values.seed_list(1000, len(pairs))))
        begun = study.titled("Other noise", samplers.noise_start(other, 32, 32, seed=seeds))
        apart = images.sample_to_image(study.titled("Other", samplers.ddim_sampler(other, glide.steps, begun)))
    ways = (("by attention", batches.select_images(pair, "1")), ("anew", anew), ("from other noise", apart))
    for way, picture in ways:
        study.judge(way, picture, target)
        with study.page.group(f"Metrics: {way}"):
            study.measure(way, "layout", scene_world.layout_overlap(before, picture))
    study.shown = {"source": before, **study.shown}


def decoupled_attention(study: Study) -> None:
    """A picture gives a colour, and the text a shape, at growing scales of the picture."""
    scenes = [(seed, scene.solids[0]) for seed, scene in _alone(48)]
    columns = (
        ("Captions without a colour", tuple(f"a {_another(SHAPES, solid.shape, seed)}" for seed, solid in scenes)),
        ("The pictures' colours", tuple(f"a {solid.colour} thing" for _, solid in scenes)),
        ("The pictures' shapes", tuple(f"a {solid.shape}" for _, solid in scenes)),
    )
    (prompt, colours, shapes), seeds = _lines(study, *columns)
    with study.page.group("Pictures of one colour, each of another shape than its caption"):
        places = cast(int, study.titled("Scenes", values.integer_list(", ".join(str(seed) for seed, _ in scenes))))
        picture = study.titled("Pictures", scene_world.render_scene(places, 32)).image
    latent = Latent.load(study.page, "30")
    with study.page.group("A picture as a prompt (Ye et al. 2023, section 3.2)"):
        adapter = study.titled("IP-Adapter", image_prompts.load_ip_adapter(file(parts.IP_ADAPTER)))
        encoder = study.titled("Image encoder", image_prompts.load_image_encoder(file(parts.CLIP)))
        seen = study.titled("Image prompt", image_prompts.encode_image_prompt(adapter, encoder, picture))
        conditional = latent.conditional(prompt)
        start = study.titled("Noise", samplers.noise_start(conditional, 8, 8, batch=study.pictures, seed=seeds))
    for scale in _PICTURE_SCALES:
        way = f"scale {scale:g}"
        with study.page.group(f"Pictures: {way}"):
            towards = image_prompts.apply_ip_adapter(conditional, adapter, seen.prompt, scale)
            away = image_prompts.apply_ip_adapter(latent.unconditional, adapter, seen.unconditional, scale)
            guided = guidance.classifier_free_guidance(towards, away, 3.0)
            sample = study.titled(
                f"{way}: sampler", samplers.ddim_sampler(guided, latent.steps, start, eta=1.0, clip=False)
            )
            drawn = autoencoders.decode_latents(latent.autoencoder, sample)
        study.shown[way] = drawn
        with study.page.group(f"Metrics: {way}"):
            study.measure(way, "the picture's colour", scene_world.judge_scenes(drawn, colours).right)
            study.measure(way, "the text's shape", scene_world.judge_scenes(drawn, prompt).right)
            study.measure(way, "the picture's shape", scene_world.judge_scenes(drawn, shapes).right)


def example_pair(study: Study) -> None:
    """Maps of scenes, by an example of the map that is wanted and by an example of another one."""
    picture, _caption, seeds = study.scenes(24, 9000)
    with study.page.group("Other scenes, as examples"):
        example = study.titled("Examples", scene_world.render_scene(seeds, 32, held_out=True)).image
    latent = Latent.load(study.page, "20")
    with study.page.group("Prompt Diffusion (Wang et al. 2023)"):
        network = study.titled("Control network", control.load_control_network(file(PROMPT_DIFFUSION)))
        start = study.titled("Noise", samplers.noise_start(latent.unconditional, 8, 8, seed=seeds))
    maps = list(TRAINED)
    for kind, other in zip(maps, [*maps[1:], maps[0]], strict=True):
        with study.page.group(f"What is wanted: {kind}"):
            wanted = study.titled(f"Wanted: {kind}", scene_world.scene_map(picture, kind))
        for way, shown in ((OWN, kind), (OTHER, other)):
            with study.page.group(f"{kind.capitalize()}: {way}"):
                target = study.titled(f"{kind}, {way}: example", scene_world.scene_map(example, shown))
                made = control.apply_prompt_diffusion(latent.unconditional, network, example, target, picture)
                drawn = parts.sampled(study.page, f"{kind}, {way}: sampler", made, latent.steps, start)
                image = autoencoders.decode_latents(latent.autoencoder, drawn)
                study.measure(way, f"{kind} in dB", measures.pixel_error(image, wanted).decibels)
            study.shown[f"{kind}: {way}"] = image


_EDITED, _LATENT = (parts.GLIDE, parts.ASYRP_LARGE), (parts.LDM, parts.LDM_TEXT, parts.KL, parts.CLIP, parts.IP_ADAPTER)
_SILENT_REMARK = "The prompt is silent of size; the judge asks for a large solid and for all else that the prompt says."
CLAIMS: Mapping[str, Claim] = {
    "example-pair": Claim(
        example_pair,
        "What is made of a picture is what the example pair shows, without a word that names the task.",
        "Prompt Diffusion (Wang et al. 2023), section 3 and figure 4",
        tuple(Expected(f"{kind} in dB", OWN, OTHER) for kind in TRAINED),
        (parts.LDM, parts.LDM_TEXT, parts.KL, PROMPT_DIFFUSION),
        "Decibels against what the wanted map of the picture is. The other pair shows another trained map.",
    ),
    "asymmetric-editing": Claim(
        asymmetric_editing,
        "An edit of the bottleneck cancels out where both terms of a step take it, and shows where only the predicted "
        "sample does.",
        "Asyrp (Kwon et al. 2023), section 3.2 and theorem 1",
        (Expected("judge", "asymmetric", "symmetric"), Expected("judge", "asymmetric", "as drawn")),
        _EDITED,
        _SILENT_REMARK,
    ),
    "bottleneck-linearity": Claim(
        bottleneck_linearity,
        "Strength moves pictures along a direction in the bottleneck, and backwards where it is below 0.",
        "Asyrp (Kwon et al. 2023), section 5.2",
        tuple(
            Expected("covered", f"strength {more:g}", f"strength {less:g}")
            for less, more in itertools.pairwise(_STRENGTHS)
        ),
        _EDITED,
        f"{_SILENT_REMARK} Covered is the share of the picture within silhouettes, which is what the direction moves; "
        "equal steps for equal strengths would be exact linearity. The direction was trained forwards only, at full "
        "strength: forwards it does the most at once and then less, and backwards it soon leads to other pictures, of "
        "other colours and on other grounds.",
    ),
    "global-direction": Claim(
        global_direction,
        "The mean of what f_t adds to other pictures edits nearly as f_t does, even one direction for all timesteps.",
        "Asyrp (Kwon et al. 2023), section 5.3 and appendix C",
        (
            Expected("judge", "f_t", "as drawn"),
            Expected("judge", "mean by timestep", "as drawn"),
            Expected("judge", "global mean", "as drawn"),
        ),
        _EDITED,
        f"{_SILENT_REMARK} The means are over sixteen pictures of another prompt.",
    ),
    "replace-keeps-layout": Claim(
        replace_keeps_layout,
        "Where a word is swapped by attention the layout stays; the same noise under the new prompt does not keep it.",
        "Prompt-to-prompt (Hertz et al. 2022), section 3.2 and figure 2",
        (
            Expected("layout", "by attention", "anew"),
            Expected("layout", "anew", "from other noise"),
        ),
        (parts.GLIDE,),
        "Layout is the overlap of silhouettes with the source picture's; a third of the prompts swap the shape itself, "
        "where it cannot be whole. Pictures from other noise show what chance gives: in so small a world the noise "
        "alone decides much. What the edit costs is in the table: the judge asks for everything in the new prompt. "
        "That it costs something was expected at first, though no paper says so, and is not found.",
    ),
    "decoupled-attention": Claim(
        decoupled_attention,
        "A picture that has attention of its own gives what the text leaves open, and the text keeps its say.",
        "IP-Adapter (Ye et al. 2023), sections 3.2 and 4.3",
        tuple(
            Expected("the picture's colour", f"scale {more:g}", f"scale {less:g}")
            for less, more in itertools.pairwise(_PICTURE_SCALES[:4])
        ),
        _LATENT,
        "Captions leave the colour out and name another shape than the picture's; pictures are of scenes that nothing "
        "was trained on. How far the text keeps its say is in the table: the shares of pictures of the caption's shape "
        "and of the picture's.",
    ),
}
