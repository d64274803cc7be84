"""What a click on a socket shows of each kind of value, in a real browser: pictures of what is none, and numbers."""

from __future__ import annotations

from typing import Any

import pytest
from browser import STARTING
from glidewire import nodes
from glidewire.graph_runtime.formats import to_saved
from glidewire.graph_runtime.graph import Graph
from glidewire.interfaces.api import Workflow
from glidewire.interfaces.session import pack_registry

PICTURE = "document.querySelector('.glidewire-popover img')?.naturalWidth > 1"


def _values() -> Graph:
    """A picture as latents and as tokens, a text's states, and where two of its words act: no long run in it."""
    with Workflow() as flow:
        scene = flow.titled("Scene", nodes.render_scene(seed=11, size=32))
        kl = flow.titled("KL", nodes.load_autoencoder("mini-kl-f4.safetensors"))
        latents = flow.titled("Latents", nodes.encode_latents(kl, scene.image, "mode"))
        vq = flow.titled("VQ", nodes.load_token_autoencoder("mini-vq-f4.safetensors"))
        tokens = flow.titled("Tokens", nodes.encode_tokens(vq, scene.image))
        model = flow.titled("Model", nodes.load_glide("mini-glide-base.safetensors"))
        text = flow.titled("Prompt", nodes.glide_text_encoder(model.model, "a large red cube"))
        denoiser = flow.titled("Denoiser", nodes.glide_denoiser(model.model, text))
        steps = flow.titled("Steps", nodes.respace(model.schedule, "1"))
        start = flow.titled("Noise", nodes.noise_start(denoiser, 32, 32, batch=1, seed=0))
        words = nodes.show_words(
            denoiser, model.model, steps, start, "a large red cube", "red, cube", width=32, height=32
        )
        maps = flow.titled("Words", words)
        decoded = [flow.titled("From KL", nodes.decode_latents(kl, latents))]
        decoded.append(flow.titled("From VQ", nodes.decode_tokens(vq, tokens)))
        flow.titled("Save", nodes.save_image(nodes.concatenate_images(*decoded, maps), "values"))
    return flow.graph


@pytest.fixture(scope="module")
def ran(page: Any) -> Any:
    """The editor after a run."""
    page.load(to_saved(_values(), pack_registry()))
    page.marked("Words", "will run")
    page.page.keyboard.press("Control+Enter")
    page.marked("Words", "cached", milliseconds=STARTING)
    page.marked("From VQ", "cached", milliseconds=STARTING)
    return page


@pytest.fixture
def look(ran: Any) -> Any:
    """Clicks on an output and gives the window that opens; it is closed by the keyboard."""
    window = ran.page.locator(".glidewire-popover")

    def opened(title: str, name: str) -> Any:
        ran.page.mouse.click(*ran.slot(title, name, is_input=False))
        window.wait_for()
        return window

    yield opened
    ran.page.keyboard.press("Escape")
    window.wait_for(state="detached")


def test_latents_are_shown_as_colours_with_their_histogram(ran, look):
    window = look("Latents", "sample")
    window.get_by_text("the strongest three directions as colours").wait_for()
    ran.wait(PICTURE)
    assert "1 × 4 × 8 × 8 · float32" in window.inner_text() and window.locator("img").count() == 2
    assert window.locator(".glidewire-histogram rect").count() == 32
    ran.shot("value-latents")


def test_tokens_are_shown_as_a_map_of_codes(ran, look):
    window = look("Tokens", "tokens")
    window.get_by_text("codes as colours").wait_for()
    ran.wait(PICTURE)
    assert "1 × 8 × 8 · int64" in window.inner_text()
    ran.shot("value-tokens")


def test_a_texts_states_are_shown_as_heat_a_row_for_each_token(ran, look):
    window = look("Prompt", "condition")
    window.get_by_text("a row per token").first.wait_for()
    ran.wait(PICTURE)
    ran.shot("value-condition")


def test_attention_is_shown_as_heat_over_the_picture_for_each_word(ran, look):
    window = look("Words", "image")
    ran.wait(PICTURE)
    assert "2 × 32 × 32 × 3" in window.inner_text()
    # Two maps side by side, and neither is of one colour.
    seen = ran.js(
        """() => {
          const picture = document.querySelector('.glidewire-popover img')
          const canvas = Object.assign(document.createElement('canvas'), { width: 65, height: 32 })
          const context = canvas.getContext('2d')
          context.drawImage(picture, 0, 0)
          const at = column => context.getImageData(column, 16, 1, 1).data.join()
          const colours = left => new Set(Array.from({ length: 32 }, (_, index) => at(left + index))).size
          return [picture.naturalWidth, colours(0), colours(33)]
        }"""
    )
    assert seen[0] == 65 and min(seen[1:]) > 3
    ran.shot("value-attention")


def test_nothing_left_the_machine_and_nothing_broke(ran):
    assert ran.outside == []
    assert ran.complaints == []
