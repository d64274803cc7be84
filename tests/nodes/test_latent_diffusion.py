"""Latent diffusion as nodes: from text to picture, around holes in both conventions, and spaces on the wire."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from checked import problems
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.graph_runtime.graph import NodeCall, Wire
from glidewire.models.checkpoint import save_published
from glidewire.models.first_stage import checkpoint as first_stage
from glidewire.models.first_stage.spec import PUBLISHED as FIRST_STAGES
from glidewire.models.first_stage.spec import FirstStageSpec
from glidewire.models.ldm import layout
from glidewire.models.ldm.model import SPACES
from glidewire.models.ldm.network import LatentDenoiser
from glidewire.models.ldm.spec import PUBLISHED as UNETS
from glidewire.models.ldm.spec import UnetSpec
from glidewire.nodes import autoencoders, latent_conditions, latent_diffusion, samplers
from glidewire.nodes.guidance import classifier_free_guidance
from node_materials import randomised
from safetensors.torch import load_file, save_file


def test_a_text_becomes_a_picture(materials: Any) -> None:
    context = materials.context
    model, schedule = latent_diffusion.load_latent_denoiser(materials.latent_file(), context=context)
    assert len(schedule) == 1000 and schedule.betas[0] == pytest.approx(0.00085)
    encoder = latent_conditions.load_clip_text_encoder(materials.clip_text_file, context=context)
    conditional, unconditional = (
        latent_diffusion.latent_denoiser(model, latent_conditions.encode_prompt(encoder, prompt))
        for prompt in ("a red cube", "")
    )
    guided = classifier_free_guidance(conditional, unconditional, 2.0)
    start = samplers.noise_start(guided, 8, 8, batch=2)
    assert start.space == "tiny latents" and start.tensor.shape == (2, 4, 8, 8)
    sample = samplers.ddim_sampler(guided, materials.schedule, start, clip=False)
    assert autoencoders.decode_latents(materials.autoencoder, sample).shape == (2, 16, 16, 3)


def test_a_picture_is_kept_by_an_edit_of_strength_0(materials: Any) -> None:
    latents = autoencoders.encode_latents(materials.autoencoder, materials.picture(1), seed=1)
    denoiser = latent_diffusion.latent_denoiser(materials.latent_model(), materials.latent_text())
    kept, changed = (
        samplers.ddim_sampler(
            denoiser, materials.schedule, samplers.noised_start(latents, materials.schedule, strength), clip=False
        )
        for strength in (0.0, 0.5)
    )
    assert torch.equal(kept.tensor, latents.tensor) and kept.space == latents.space
    assert not torch.equal(changed.tensor, latents.tensor)


@pytest.mark.parametrize(("in_channels", "hole"), [(9, (0.5, 0.0, 1.0)), (7, (0.0, -1.0, 1.0))])
def test_both_inpainting_conventions_are_known_by_the_channels(
    materials: Any, in_channels: int, hole: tuple[float, float, float]
) -> None:
    autoencoder, mask, text = materials.autoencoder, materials.mask(), materials.latent_text()
    image = materials.picture(1)
    if in_channels == 7:
        spec = FirstStageSpec(channels=32, channel_mult=(1, 1), num_res_blocks=1, latent_channels=3, code_channels=3)
        autoencoder = type(autoencoder)(randomised(first_stage.build(spec)), "tiny latents")
        model = materials.latent_model(7, out_channels=3)
    else:
        model = materials.latent_model(9)
    denoiser = latent_diffusion.latent_inpainting_denoiser(model, autoencoder, image, mask, text)
    fill, kept, repainted = hole
    filled = torch.where(mask[..., None] == 1, torch.tensor(fill), image)
    expected = autoencoders.encode_latents(autoencoder, filled, "mode").tensor
    assert torch.allclose(denoiser.conditioning["masked_latents"], expected, atol=1e-5)
    cells = denoiser.conditioning["mask"]
    assert (cells[..., :4] == kept).all() and (cells[..., 4:] == repainted).all() and cells.shape == (1, 1, 8, 8)
    start = samplers.noise_start(denoiser, 8, 8)
    assert samplers.ddim_sampler(denoiser, materials.schedule, start).tensor.shape == start.tensor.shape


def test_inpainting_with_what_does_not_fit_is_refused(materials: Any) -> None:
    image, mask, text = materials.picture(1), materials.mask(), materials.latent_text()
    with pytest.raises(GlidewireError) as caught:
        latent_diffusion.latent_inpainting_denoiser(materials.latent_model(), materials.autoencoder, image, mask, text)
    assert "not trained for inpainting; expected channels for mask and masked_latents" in str(caught.value)
    model = materials.latent_model(9)
    other = type(materials.autoencoder)(materials.autoencoder.network, "kl-f8")
    with pytest.raises(GlidewireError, match="autoencoder is not the denoiser's; expected tiny latents; got kl-f8"):
        latent_diffusion.latent_inpainting_denoiser(model, other, image, mask, text)
    with pytest.raises(GlidewireError, match="also needs a picture; expected mask and masked_latents"):
        latent_diffusion.latent_denoiser(model, text)


def test_a_condition_that_is_missing_or_of_another_network_is_refused(materials: Any) -> None:
    with pytest.raises(GlidewireError, match="expected a context of width 8: an encoded text or a class; got nothing"):
        latent_diffusion.latent_denoiser(materials.latent_model())
    with pytest.raises(GlidewireError, match="got text_embedding, text_states"):
        latent_diffusion.latent_denoiser(materials.latent_model(), materials.text())
    without = materials.latent_model(context_width=0)
    with pytest.raises(GlidewireError, match="does not fit the denoiser; expected no condition; got context"):
        latent_diffusion.latent_denoiser(without, materials.latent_text())
    denoiser = latent_diffusion.latent_denoiser(without)
    start = samplers.noise_start(denoiser, 8, 8)
    assert samplers.ddim_sampler(denoiser, materials.schedule, start).tensor.isfinite().all()


def test_a_whole_checkpoint_tells_one_space_for_both_of_its_models(materials: Any) -> None:
    unet = UnetSpec(model_channels=32, channel_mult=(1, 1), num_res_blocks=1, attention_levels=(1,), context_width=8)
    halves = {
        "model.diffusion_model.": (LatentDenoiser(unet), layout.key_map(unet)),
        "first_stage_model.": (first_stage.build(stage := FirstStageSpec(channels=32, channel_mult=(1, 1))),
                               first_stage.key_map(stage)),
    }  # fmt: skip
    whole = {}
    for prefix, (network, key_map) in halves.items():
        save_published(randomised(network), key_map, materials.folder / "half.st", metadata={})
        whole |= {prefix + key: value for key, value in load_file(materials.folder / "half.st").items()}
    save_file(whole, materials.folder / "whole.safetensors")
    model, _ = latent_diffusion.load_latent_denoiser("whole.safetensors", context=materials.context)
    autoencoder = autoencoders.load_autoencoder("whole.safetensors", context=materials.context)
    assert model.network.space == autoencoder.space != ""
    named, _ = latent_diffusion.load_latent_denoiser("whole.safetensors", "mine", context=materials.context)
    assert named.network.space == "mine"


@pytest.mark.parametrize("variant", SPACES)
def test_published_denoisers_have_the_channels_of_their_first_stage(variant: str) -> None:
    assert UNETS[variant].out_channels == FIRST_STAGES[SPACES[variant]].code_channels


def test_a_denoiser_whose_space_nothing_tells_is_refused(materials: Any) -> None:
    spec = materials.latent_model().spec
    save_published(LatentDenoiser(spec), layout.key_map(spec), materials.folder / "silent.safetensors", metadata={})
    with pytest.raises(GlidewireError, match="does not tell whose latents it denoises") as caught:
        latent_diffusion.load_latent_denoiser("silent.safetensors", context=materials.context)
    assert "Name the space" in str(caught.value)


def test_a_wrong_space_or_text_width_is_caught_on_the_wire(materials: Any) -> None:
    def calls(space: str, latent_file: str) -> list[NodeCall]:
        return [
            NodeCall("a", "GlidewireLoadAutoencoder", {"checkpoint": materials.autoencoder_file, "space": space}),
            NodeCall("m", "GlidewireLoadLatentDenoiser", {"checkpoint": latent_file}),
            NodeCall("e", "GlidewireLoadClipTextEncoder", {"checkpoint": materials.clip_text_file}),
            NodeCall("t", "GlidewireEncodePrompt", {"encoder": Wire("e", 0), "prompt": "a red cube"}),
            NodeCall("d", "GlidewireLatentDenoiser", {"model": Wire("m", 0), "condition": Wire("t", 0)}),
            NodeCall("n", "GlidewireNoiseStart", {"denoiser": Wire("d", 0), "width": 8, "height": 8}),
            NodeCall(
                "s",
                "GlidewireDdimSampler",
                {"denoiser": Wire("d", 0), "schedule": Wire("m", 1), "start": Wire("n", 0)},
            ),
            NodeCall("p", "GlidewireDecodeLatents", {"autoencoder": Wire("a", 0), "sample": Wire("s", 0)}),
            NodeCall("save", "GlidewireSaveImage", {"image": Wire("p", 0)}),
        ]

    assert problems(materials, *calls("", materials.latent_file())) == ()
    (space,) = problems(materials, *calls("vq-f4", materials.latent_file()))
    assert space.node == "p" and "tiny latents" in str(space) and "vq-f4" in str(space)
    (width,) = problems(materials, *calls("", materials.latent_file(context_width=16)))
    assert width.node == "d" and width.input == "condition" and "16" in str(width)


def test_noised_clip_of_pictures_does_not_fit_latents_on_the_wire(materials: Any) -> None:
    found = problems(
        materials,
        NodeCall("m", "GlidewireLoadLatentDenoiser", {"checkpoint": materials.latent_file(7, out_channels=3)}),
        NodeCall("d", "GlidewireLatentDenoiser", {"model": Wire("m", 0)}),
        NodeCall("c", "GlidewireLoadNoisedClip", dict(materials.noised_clip_files)),
        NodeCall("t", "GlidewireNoisedClipTextEncoder", {"model": Wire("c", 0), "prompt": "a cube"}),
        NodeCall(
            "g", "GlidewireNoisedClipGuidance", {"denoiser": Wire("d", 0), "model": Wire("c", 0), "text": Wire("t", 0)}
        ),
        NodeCall("n", "GlidewireNoiseStart", {"denoiser": Wire("g", 0)}),
        NodeCall(
            "s", "GlidewireDdimSampler", {"denoiser": Wire("g", 0), "schedule": Wire("m", 1), "start": Wire("n", 0)}
        ),
        NodeCall("show", "GlidewireSampleToImage", {"sample": Wire("s", 0)}),
        NodeCall("save", "GlidewireSaveImage", {"image": Wire("show", 0)}),
    )
    # And at the other end: latents are not shown as pictures.
    assert [(problem.node, problem.kind) for problem in found] == [("g", "wrong_dims"), ("show", "wrong_dims")]
    assert "@space is pixels" in str(found[0]) and "tiny latents" in str(found[0])


def test_text_encoders_are_told_apart(materials: Any) -> None:
    context, bert = materials.context, materials.bert_files
    with pytest.raises(GlidewireError, match="has another text encoder; expected CLIP; got BERT"):
        latent_conditions.load_clip_text_encoder(bert["checkpoint"], context=context)
    with pytest.raises(GlidewireError, match=r"expected BERT; got CLIP\. Load it as a CLIP text encoder"):
        latent_conditions.load_bert_text_encoder(materials.clip_text_file, bert["vocabulary"], context=context)
    (materials.folder / "short.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na")
    with pytest.raises(GlidewireError, match="does not fit its token embedding; expected 7 ids; got 5 from short"):
        latent_conditions.load_bert_text_encoder(bert["checkpoint"], "short.txt", context=context)


def test_prompts_beyond_the_positions_are_cut_with_a_warning(materials: Any) -> None:
    said: list[str] = []
    context = Context(on_warning=said.append)
    bert = latent_conditions.load_bert_text_encoder(**materials.bert_files, context=materials.context)
    text = latent_conditions.encode_prompt(bert, "a red cube a red cube a red cube", context=context)
    assert text.tensors["context"].shape == (1, 8, 8)
    latent_conditions.encode_prompt(materials.text_encoder, "a red cube left of a blue sphere", context=context)
    assert said == [
        "the prompt is longer than 8 tokens; dropped: 'a red cube'",
        "the prompt is longer than 8 tokens; dropped: 'blue sphere'",
    ]


def test_classes_condition_and_minus_one_is_none(materials: Any) -> None:
    none, last = (latent_conditions.class_condition(materials.classes, label) for label in (-1, 4))
    assert torch.equal(none.tensors["context"], last.tensors["context"])
    two = latent_conditions.class_condition(materials.classes, 2)
    assert torch.equal(two.tensors["context"][0, 0], materials.classes.embedding.weight[2])
    latent_diffusion.latent_denoiser(materials.latent_model(), two)
    with pytest.raises(GlidewireError, match="there is no such class; expected 0 to 4, where 4 is none; got 5"):
        latent_conditions.class_condition(materials.classes, 5)
    with pytest.raises(GlidewireError, match="expected a component 'class_embedder'"):
        latent_conditions.load_class_embedder(materials.checkpoint, context=materials.context)
