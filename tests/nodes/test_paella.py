"""Paella as nodes: codebooks and CLIPs on the wire, starts, both generations' samplers, guidance on scores."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.models.paella import checkpoint
from glidewire.models.paella.model import PaellaModel
from glidewire.models.paella.spec import PaellaV3Spec
from glidewire.nodes import guidance, paella
from glidewire.nodes.sockets import Mask
from glidewire.nodes.token_sampling import cells, cosine_steps_from
from glidewire.nodes.token_sockets import Embedding, Tokens

QUIET = Context()


@pytest.fixture(scope="module")
def paella_v3() -> PaellaModel:
    spec = PaellaV3Spec(32, 8, 8, 8, 12, (16, 32), (0, 4), (1, 1), ("CT", "CTA"), 8, 12, 2)
    torch.manual_seed(0)
    network: Any = checkpoint.build(spec)
    network.space = "tiny codebook"
    return PaellaModel(network.eval().requires_grad_(False), "tiny CLIP")


def test_headers_alone_name_codebook_and_clip(materials: Any) -> None:
    path = materials.folder / materials.paella_file(materials.paella.network)
    dims = paella.load_paella.declaration.static_dims(path, codebook="a", clip="b")
    assert dims == {"codes": 32, "width": 8, "codebook": "a", "clip": "b"}
    stage = materials.folder / materials.paella_file(materials.token_autoencoder.network)
    told = paella.load_token_autoencoder.declaration.static_dims(stage)
    assert told["codes"] == 32
    assert told["codebook"] == paella.load_token_autoencoder(stage.name, context=materials.context).codebook
    with pytest.raises(GlidewireError, match="does not tell which codebook"):
        paella.load_paella(path.name, context=materials.context)
    with pytest.raises(GlidewireError, match="does not tell which CLIP"):
        paella.load_paella(path.name, codebook="a", context=materials.context)


def test_tokens_survive_a_round_through_the_nearest_code(materials: Any) -> None:
    stage, picture = materials.token_autoencoder, materials.picture(2, 8, 12)
    tokens = paella.encode_tokens(stage, picture)
    assert tokens.tensor.shape == (2, 2, 3)
    assert tokens.tensor.max() < 32
    shown = paella.decode_tokens(stage, tokens)
    assert shown.shape == (2, 8, 12, 3)
    assert 0 <= shown.min() <= shown.max() <= 1
    with pytest.raises(GlidewireError, match="another codebook"):
        paella.decode_tokens(stage, materials.tokens(codebook="other"))


def test_conditions_must_be_of_the_models_clip(materials: Any, paella_v3: PaellaModel) -> None:
    vector = materials.embedding()
    with pytest.raises(GlidewireError, match="another CLIP's than the predictor"):
        paella.paella_denoiser(materials.paella, Embedding(vector.tensor, "other"))
    with pytest.raises(GlidewireError, match="v1 takes one CLIP vector"):
        paella.paella_denoiser(materials.paella, vector, vector)
    assert not paella.paella_denoiser(materials.paella).conditioning["clip"].any()
    both = paella.paella_denoiser(paella_v3, vector, vector)
    assert set(both.conditioning) == {"clip", "clip_image"}
    with pytest.raises(GlidewireError, match="v3 has nothing to attend to"):
        paella.paella_denoiser(paella_v3)


def test_both_samplers_are_functions_of_the_seed(materials: Any, paella_v3: PaellaModel) -> None:
    linear = paella.paella_denoiser(paella_v3, materials.embedding())
    for sampler, denoiser in (
        (paella.paella_sampler, materials.token_denoiser()),
        (paella.paella_linear_sampler, linear),
    ):
        starts = [paella.token_noise_start(denoiser, 4, 4, batch=2, seed=seed) for seed in (1, 1, 2)]
        first, again, other = (sampler(denoiser, start, steps=3, context=QUIET).tensor for start in starts)
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        alone = paella.token_noise_start(denoiser, 4, 4, seed=1, first_item=1)
        assert torch.equal(alone.tensor, starts[0].tensor[1:])


def test_guidance_acts_on_scores(materials: Any) -> None:
    conditional, empty = materials.token_denoiser(), paella.paella_denoiser(materials.paella)
    start = paella.token_noise_start(conditional, 4, 4, seed=1)

    def made(denoiser: Any) -> torch.Tensor:
        return paella.paella_sampler(denoiser, start, steps=3, context=QUIET).tensor

    guided = [made(guidance.classifier_free_guidance(conditional, empty, scale)) for scale in (0.0, 1.0, 30.0)]
    assert torch.equal(guided[0], made(empty))
    assert torch.equal(guided[1], made(conditional))
    assert not torch.equal(guided[2], made(conditional))


def test_inpainting_keeps_what_the_mask_leaves(materials: Any) -> None:
    denoiser, tokens = materials.token_denoiser(), materials.tokens(2)
    mask = torch.zeros(1, 16, 16)
    mask[:, :6, :5] = 1
    start = paella.token_inpainting_start(denoiser, tokens, Mask(mask), seed=3)
    expected = torch.zeros(1, 4, 4, dtype=torch.bool)
    expected[:, :2, :2] = True
    assert start.generate is not None and torch.equal(start.generate, expected)
    for renoise in ("start", "previous", "fresh"):
        made = paella.paella_sampler(denoiser, start, steps=3, renoise=renoise, context=QUIET)
        kept = ~expected.expand(2, -1, -1)
        assert torch.equal(made.tensor[kept], tokens.tensor[kept])
        assert not torch.equal(made.tensor, tokens.tensor)
    for wrong in (torch.zeros(1, 16, 12), torch.zeros(3, 16, 16), torch.zeros(1, 2, 2)):
        with pytest.raises(GlidewireError, match="mask does not fit the tokens"):
            cells(wrong, (2, 4, 4))


def test_outpainting_keeps_the_picture_inside(materials: Any) -> None:
    denoiser, tokens = materials.token_denoiser(), materials.tokens()
    start = paella.token_outpainting_start(denoiser, tokens, left=2, right=2, below=4)
    made = paella.paella_linear_sampler(denoiser, start, steps=2, context=QUIET).tensor
    assert made.shape == (1, 8, 8)
    assert torch.equal(made[:, :4, 2:6], tokens.tensor)


def test_an_edit_walks_the_rest_of_the_steps(materials: Any) -> None:
    denoiser, tokens = materials.token_denoiser(), materials.tokens()
    whole, rest = (cosine_steps_from(share, 24, (1.0, 1.0), None) for share in (1.0, 0.866))
    assert rest == whole[8:]
    kept = paella.token_edit_start(denoiser, tokens, share=0.0)
    assert torch.equal(kept.tensor, tokens.tensor)
    assert torch.equal(paella.paella_sampler(denoiser, kept, context=QUIET).tensor, tokens.tensor)
    noisy = paella.token_edit_start(denoiser, Tokens(torch.zeros(1, 64, 64, dtype=torch.long), "tiny codebook"), 0.5)
    assert 0.4 < (noisy.tensor != 0).float().mean() < 0.55
    assert noisy.share == 0.5


def test_misuse_is_named(materials: Any) -> None:
    denoiser, start = materials.token_denoiser(), paella.token_noise_start(materials.token_denoiser(), 4, 4)
    with pytest.raises(GlidewireError, match="has no tokens"):
        paella.token_noise_start(materials.denoiser())
    with pytest.raises(GlidewireError, match="another codebook than the denoiser's"):
        paella.token_edit_start(denoiser, materials.tokens(codebook="other"))
    with pytest.raises(GlidewireError, match="impossible settings"):
        paella.paella_sampler(denoiser, start, steps=8, renoise_steps=11, context=QUIET)
    with pytest.raises(GlidewireError, match="multiples of 2"):
        paella.paella_sampler(denoiser, paella.token_noise_start(denoiser, 3, 4), steps=2, context=QUIET)


def test_each_step_is_told(materials: Any) -> None:
    told: list[int] = []
    context = Context(on_progress=lambda done, total, text, preview: told.append(done))
    start = paella.token_noise_start(materials.token_denoiser(), 4, 4)
    paella.paella_sampler(materials.token_denoiser(), start, steps=3, context=context)
    assert told == [1, 2, 3]
