"""The guidance family on one noise, and guidance by several conditions: each member beside the others."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from ..diffusion.denoiser import Denoiser
from ..diffusion.schedules import NoiseSchedule
from ..nodes import (
    autoencoders,
    batches,
    figures,
    glide,
    glide_editing,
    guidance,
    guidance_attention,
    guidance_bounds,
    guidance_conditions,
    guidance_plot,
    image_prompts,
    images,
    masks,
    samplers,
    scene_world,
    values,
)
from ..nodes.sockets import Image, Start
from . import parts
from .page import Page, Shipped
from .parts import Glide, Latent, sampled, sheet

_STRONG, _PICTURES, _SEVERAL = 10.0, 4, 6
_WIDE, _HIGH = 510, 1404  # of the family's sheet
_TWO_SCALES = {"image 1, text 4": (1.0, 4.0), "image 4, text 4": (4.0, 4.0), "image 4, text 0": (4.0, 0.0)}


def _drawn(page: Page, ways: Mapping[str, Denoiser], steps: NoiseSchedule, start: Start) -> Image:
    """Pictures by DDIM from one noise, a row for each guidance."""
    found = [
        images.sample_to_image(page.titled(f"{way}: sampler", samplers.ddim_sampler(denoiser, steps, start)))
        for way, denoiser in ways.items()
    ]
    return page.titled("All", reduce(images.concatenate_images, found))


def family(page: Page) -> None:
    """One prompt, one noise, and every guidance of two predictions at a scale that is too large."""
    loaded = Glide.load(page, "25")
    with page.group("The prompt"):
        c = loaded.conditional("a small green cylinder above a large yellow cube")
        u = loaded.unconditional
        start = page.titled("Noise", samplers.noise_start(c, 32, 32, batch=_PICTURES, seed=3))
    ways = {"no guidance": c}
    with page.group("Classifier-free, in an interval of noise levels, and at a scale that falls"):
        strong = ways["classifier-free"] = page.titled(
            "Classifier-free", guidance.classifier_free_guidance(c, u, _STRONG)
        )
        levels = page.titled("Noise levels", guidance_bounds.noise_level_interval(loaded.steps))
        ways["in an interval"] = page.titled(
            "In an interval", guidance.classifier_free_guidance(c, u, _STRONG, levels.start, levels.end)
        )
        falling = page.titled("Falling scale", guidance_bounds.scale_schedule(_STRONG, 1.0, "cosine"))
        ways["falling scale"] = page.titled(
            "By a falling scale", guidance.classifier_free_guidance(c, u, schedule=falling)
        )
    with page.group("Kept in range (Lin et al. 2023; Saharia et al. 2022)"):
        ways["rescale"] = page.titled("Rescale", guidance_bounds.rescale_guidance(strong, c))
        ways["static threshold"] = page.titled("Static threshold", guidance_bounds.static_threshold(strong, 0.8))
        ways["dynamic threshold"] = page.titled("Dynamic threshold", guidance_bounds.dynamic_threshold(strong))
    with page.group("Another part of the difference, or another way to step"):
        ways["CFG++"] = page.titled("CFG++", guidance.cfg_plus_plus_guidance(c, u))
        ways["APG"] = page.titled("APG", guidance.adaptive_projected_guidance(c, u, _STRONG, 0.0, 5.0, -0.25))
        ways["CFG-Zero*"] = page.titled("CFG-Zero*", guidance.zero_star_guidance(c, u, _STRONG))
        ways["TCFG"] = page.titled("TCFG", guidance.tangential_guidance(c, u, _STRONG))
        ways["MAMBO-G"] = page.titled("MAMBO-G", guidance.magnitude_aware_guidance(c, u, _STRONG))
        ways["FDG"] = page.titled("FDG", guidance.frequency_decoupled_guidance(c, u, _STRONG, 3.0))
        noisy = page.titled("Annealed condition", guidance_conditions.annealed_condition(c, _PICTURES, levels=25))
        ways["CADS"] = page.titled("CADS", guidance.classifier_free_guidance(noisy, u, _STRONG))
    with page.group("One noise for all"):
        every = _drawn(page, ways, loaded.steps, start)
    with page.group("What two of them combine, step by step"):
        plots = [
            plot
            for way in ("classifier-free", "APG")
            for plot in page.titled(
                f"Norms and angles: {way}",
                guidance_plot.plot_guidance(ways[way], loaded.steps, start, width=_WIDE, height=_HIGH // 4),
            )
        ]
        tall = page.titled("Plots", images.image_grid(images.concatenate_images(*plots), columns=1, gap=0))
    with page.group("Pictures"):
        large = page.titled("Enlarge", images.resize_image(every, 96, 96, "bicubic"))
        arranged = page.titled(
            "Sheet", figures.labelled_grid(large, row_labels="\n".join(ways), columns=_PICTURES, letters=16)
        )
        fitted = page.titled("As high as the plots", images.resize_image(arranged, _WIDE, _HIGH))
        both = page.titled("Sheet and plots", images.concatenate_images(fitted, tall))
        page.titled("Save", images.save_image(images.image_grid(both, 2, 8), "guidance-family"))


def worse(page: Page) -> None:
    """Guidance away from a worse version of the same prediction: by its attention, or by another model."""
    loaded = Glide.load(page, "25")
    with page.group("The prompt, and no guidance yet"):
        prompt = page.titled("Words", values.text("a large purple sphere left of a small green cone"))
        c = loaded.conditional(prompt)
        start = page.titled("Noise", samplers.noise_start(c, 32, 32, batch=_PICTURES, seed=0))
    ways = {"no guidance": c}
    with page.group("Away from worse attention, without an empty text"):
        ways["PAG"] = page.titled("PAG", guidance_attention.perturbed_attention_guidance(c, 2.0, "all"))
        ways["SEG"] = page.titled("SEG", guidance_attention.smoothed_energy_guidance(c, 2.0, 0.0, "all"))
        ways["SLG"] = page.titled("SLG", guidance_attention.skip_layer_guidance(c, 2.0, "all"))
        ways["SAG"] = page.titled(
            "SAG", guidance_attention.self_attention_guidance(c, loaded.steps, 1.0, place="middle")
        )
    with page.group("Away from a worse version that is given (Karras et al. 2024)"):
        worse_model = page.titled("Fine-tuned for something else", glide.load_glide(parts.file(parts.INPAINT))).model
        text = page.titled("The same prompt", glide.glide_text_encoder(worse_model, prompt))
        everything = page.titled("Everything is to be made", masks.box_mask(32, 32, 0, 0, 32, 32))
        nothing = page.titled("Nothing is known", masks.mask_to_image(everything))
        bad = page.titled("Worse", glide_editing.glide_inpainting_denoiser(worse_model, text, nothing, everything))
        ways["autoguidance"] = page.titled("Autoguidance", guidance.autoguidance(c, bad, 2.0))
    with page.group("One noise for all"):
        every = _drawn(page, ways, loaded.steps, start)
    sheet(page, every, "guidance-away-from-worse", _PICTURES, "\n".join(ways), side=128)


def several(page: Page) -> None:
    """AND and NOT, the three forms of a negative prompt, and a scale for each of two conditions."""
    loaded = Glide.load(page, "25")
    with page.group("Prompts"):
        u = loaded.unconditional
        c = loaded.conditional("a large cube", "Wanted")
        n = loaded.conditional("a large red cube", "Unwanted")
        blue = loaded.conditional("a blue thing", "Also wanted")
        sand = loaded.conditional("a thing on sand ground", "Nor wanted")
        start = page.titled("Noise", samplers.noise_start(c, 32, 32, batch=_SEVERAL, seed=0))
    ways: dict[str, Denoiser] = {}
    with page.group("AND, NOT (Liu et al. 2022)"):
        ways["a large cube"] = page.titled("Classifier-free", guidance.classifier_free_guidance(c, u, 4.0))
        ways["AND blue"] = page.titled(
            "AND", guidance_conditions.composable_guidance(u, c, blue, first_weight=4.0, second_weight=4.0)
        )
        ways["NOT on sand"] = page.titled(
            "NOT", guidance_conditions.composable_guidance(u, c, sand, first_weight=4.0, second_weight=-3.0)
        )
    with page.group("Negative prompts: in the place of nothing, beside it, perpendicular (Armandpour et al. 2023)"):
        ways["negative as empty"] = page.titled("Negative as empty", guidance.classifier_free_guidance(c, n, 4.0))
        ways["negative prompt"] = page.titled(
            "Negative prompt", guidance_conditions.negative_prompt_guidance(c, u, n, 6.0, 3.0)
        )
        ways["Perp-Neg"] = page.titled(
            "Perp-Neg", guidance_conditions.perpendicular_negative_guidance(c, u, n, scale=6.0, negative_weight=2.0)
        )
    with page.group("One noise for all"):
        first = _drawn(page, ways, loaded.steps, start)
    latent = Latent.load(page, "25", "Latents: ")
    with page.group("A picture as a prompt (Ye et al. 2023)"):
        adapter = page.titled("IP-Adapter", image_prompts.load_ip_adapter(parts.file(parts.IP_ADAPTER)))
        encoder = page.titled("Image encoder", image_prompts.load_image_encoder(parts.file(parts.CLIP)))
        scene = page.titled("Picture", scene_world.render_scene(101, 32))
        seen = page.titled("Image prompt", image_prompts.encode_image_prompt(adapter, encoder, scene.image))
    with page.group("A scale for the picture and one for the text (Brooks et al. 2022, eq. 3)"):
        text = latent.conditional("a large cone", "Text")
        away = latent.unconditional
        both = page.titled("Both", image_prompts.apply_ip_adapter(text, adapter, seen.prompt))
        alone = page.titled("The picture alone", image_prompts.apply_ip_adapter(away, adapter, seen.prompt))
        neither = page.titled("Neither", image_prompts.apply_ip_adapter(away, adapter, seen.unconditional))
        noise = page.titled("Noise of latents", samplers.noise_start(both, 8, 8, batch=_SEVERAL, seed=1))
        drawn = []
        for way, (image_scale, text_scale) in _TWO_SCALES.items():
            guided = guidance_conditions.image_and_text_guidance(both, alone, neither, image_scale, text_scale)
            sample = sampled(page, f"{way}: sampler", page.titled(way, guided), latent.steps, noise)
            drawn.append(autoencoders.decode_latents(latent.autoencoder, sample))
        wanted = page.titled("The picture, for each column", batches.repeat_images(scene.image, _SEVERAL))
        every = page.titled("Both parts", reduce(images.concatenate_images, [first, wanted, *drawn]))
    rows = [*ways, "picture", *_TWO_SCALES]
    sheet(page, every, "guidance-of-several-conditions", _SEVERAL, "\n".join(rows), side=96)


WORKFLOWS: Mapping[str, Shipped] = {
    "guidance-family": Shipped(
        family,
        "Guidance by two predictions, every member from one noise at a scale that is too large for this model: "
        "classifier-free (Ho & Salimans 2022), in an interval of noise levels (Kynkäänniemi et al. 2024), at a falling "
        "scale (Wang et al. 2024), rescaled (Lin et al. 2023), thresholded (Saharia et al. 2022), CFG++ (Chung et al. "
        "2024), APG (Sadat et al. 2024), CFG-Zero* (Fan et al. 2025), TCFG (Kwon et al. 2025), MAMBO-G (Zhu et al. "
        "2025), FDG (Sadat et al. 2025) and CADS (Sadat et al. 2023).\n\n"
        "Plain guidance darkens and sharpens edges and makes pictures alike; look at the grounds to see which members "
        "keep variety. The plots show what it combines step by step, and below them what APG does: lengths, and "
        "angles to the conditional prediction.\n\nEvery number of every member can be wired to a schedule, and members "
        "nest: put one where another wants a prediction.",
        (parts.GLIDE,),
    ),
    "guidance-away-from-worse": Shipped(
        worse,
        "Guidance without an empty text: away from a worse version of the same prediction. By the network's own "
        "attention, which is kept from mixing (PAG, Ahn et al. 2024), smoothed (SEG, Hong 2024), left out (SLG, Hyung "
        "et al. 2024) or used to blur what it looks at (SAG, Hong et al. 2022); and by a model that is worse at this "
        "(autoguidance, Karras et al. 2024).\n\nThe worse model is GLIDE's inpainting fine-tune, told that nothing is "
        "known: the same space and the same prompt, and less practice in making whole pictures.",
        (parts.GLIDE, parts.INPAINT),
    ),
    "guidance-of-several-conditions": Shipped(
        several,
        "Several conditions at once. AND and NOT (composable diffusion, Liu et al. 2022); a negative prompt in the "
        "place of the empty one, or beside it, or only as far as it is perpendicular to what is wanted (Perp-Neg, "
        "Armandpour et al. 2023). Unwanted is a large red cube, wanted a large cube: the plain forms also move away "
        "from being a large cube.\n\nBelow, a scale for the picture and one for the text (InstructPix2Pix, Brooks et "
        "al. 2022, eq. 3): the picture is given by an IP-Adapter, the text is a large cone.",
        (parts.GLIDE, parts.LDM_TEXT, parts.KL, parts.LDM, parts.IP_ADAPTER, parts.CLIP),
    ),
}
