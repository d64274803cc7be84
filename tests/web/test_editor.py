"""What the extension adds to the official editor, used by hand in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from browser import STARTING
from glidewire import nodes
from glidewire.graph_runtime.formats import examine, to_saved
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.interfaces.api import Workflow
from glidewire.interfaces.session import pack_registry

STEPS = 4


def saved(graph: Graph) -> dict[str, Any]:
    """The form that the editor opens."""
    return to_saved(graph, pack_registry())


def _sampling(scale: float = 3.0, *, watched: bool = False) -> Graph:
    """A short run of the shipped mini model, in nodes that have names; its CLIP score watched or not."""
    with Workflow() as flow:
        model = flow.titled("Model", nodes.load_glide("mini-glide-base.safetensors"))
        prompt = flow.titled("Prompt", nodes.glide_text_encoder(model.model, "a large red cube"))
        empty = flow.titled("Empty", nodes.glide_empty_text(model.model))
        conditional = flow.titled("Conditional", nodes.glide_denoiser(model.model, prompt))
        unconditional = flow.titled("Unconditional", nodes.glide_denoiser(model.model, empty))
        guided = flow.titled("Guidance", nodes.classifier_free_guidance(conditional, unconditional, scale))
        if watched:
            clip_model = nodes.load_clip("mini-clip.safetensors")
            guided = nodes.watch_clip_score(
                guided, clip_model, nodes.clip_text_embedding(clip_model, "a large red cube").embedding
            )
        steps = flow.titled("Steps", nodes.respace(model.schedule, str(STEPS)))
        start = flow.titled("Noise", nodes.noise_start(guided, 32, 32, batch=1, seed=0))
        sample = flow.titled("Sampler", nodes.ancestral_sampler(guided, steps, start))
        flow.titled("Save", nodes.save_image(flow.titled("Picture", nodes.sample_to_image(sample)), "test"))
    return flow.graph


def _text_for_clip(**wired: Wire) -> Graph:
    """A text encoded for GLIDE, beside a node that wants one of noised CLIP; with more wires if given."""
    return Graph(
        [
            NodeCall("1", "GlidewireLoadGlide", {"checkpoint": "mini-glide-base.safetensors"}, "Model"),
            NodeCall("2", "GlidewireGlideTextEncoder", {"model": Wire("1", 0), "prompt": "a cube"}, "Prompt"),
            NodeCall("3", "GlidewireGlideDenoiser", {"model": Wire("1", 0), "text": Wire("2", 0)}, "Denoiser"),
            NodeCall("4", "GlidewireNoisedClipGuidance", dict(wired), "CLIP"),
        ]
    )


@pytest.fixture(scope="module")
def ran(page: Any) -> Any:
    """The editor after a run."""
    page.load(saved(_sampling()))
    page.marked("Sampler", "will run", "cached")
    page.page.keyboard.press("Control+Enter")
    page.marked("Sampler", "cached", milliseconds=STARTING)
    page.wait("app.graph.nodes.find(node => node.title === 'Save').imgs?.[0]?.naturalWidth > 0")
    return page


@pytest.fixture
def editor(ran: Any) -> Any:
    """The editor with the workflow as it ran, nothing open and nothing selected."""
    ran.page.keyboard.press("Escape")
    ran.page.mouse.move(1200, 900)
    ran.js("app.canvas.deselectAll?.()")
    return ran


def test_before_a_run_every_node_says_that_it_will_run_and_afterwards_what_it_took(page: Any) -> None:
    page.load(saved(_sampling(scale=2.5)))
    page.marked("Sampler", "will run")
    page.shot("editor-before-run")
    page.page.keyboard.press("Control+Enter")
    page.marked("Sampler", "cached", milliseconds=STARTING)
    assert " · " in page.mark("Sampler")
    assert page.mark("Save").startswith("will run")


def test_dims_stand_at_sockets_and_types_have_colours_of_their_own(editor: Any) -> None:
    dims = editor.js(
        """async () => {
          const { dims } = await import('/extensions/glidewire/parts/words.js')
          return [dims('1 3 32 32 @space=pixels @sides=8'), dims('_ 77 width @clip'), dims('3 @space=kl-f8'), dims('_')]
        }"""
    )
    assert dims == ["1×3×32×32 pixels", "_×77×width", "3 kl-f8", ""]
    colours = editor.js(
        "['DENOISER', 'CONDITION', 'SAMPLE', 'SCHEDULE'].map(type => LGraphCanvas.link_type_colors[type])"
    )
    assert len(set(colours)) == 4
    assert all(colour.startswith("#") for colour in colours)
    editor.shot("editor-after-run")


def test_colours_of_types_are_readable_on_light_and_on_dark(editor: Any) -> None:
    """A contrast of 3 and more, as WCAG 2.1 wants of graphics (1.4.11)."""
    found = editor.js(
        """async () => {
          const { readable, luminance } = await import('/extensions/glidewire/parts/colours.js')
          const of = hex => luminance([1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16) / 255))
          const contrast = (a, b) => (Math.max(of(a), of(b)) + 0.05) / (Math.min(of(a), of(b)) + 0.05)
          return Array.from({ length: 36 }, (_, index) => readable(10 * index))
            .map(colour => Math.min(contrast(colour, '#353535'), contrast(colour, '#ffffff')))
        }"""
    )
    assert min(found) >= 3


def test_the_light_palette_keeps_the_colours_of_types_and_what_we_write_can_be_read(editor: Any) -> None:
    types = "['DENOISER', 'CONDITION', 'SAMPLE', 'SCHEDULE'].map(type => LGraphCanvas.link_type_colors[type])"
    before, ground = editor.js(types), editor.js("LiteGraph.NODE_DEFAULT_BGCOLOR")
    editor.js("app.extensionManager.setting.set('Comfy.ColorPalette', 'light')")
    editor.wait("ground => LiteGraph.NODE_DEFAULT_BGCOLOR !== ground", ground)
    editor.wait(f"before => JSON.stringify({types}) === JSON.stringify(before)", before)
    editor.page.mouse.click(*editor.slot("Sampler", "sample", is_input=False))
    editor.page.locator(".glidewire-popover .glidewire-histogram").wait_for()
    editor.shot("editor-light")
    contrast = editor.js(
        """async () => {
          const { luminance } = await import('/extensions/glidewire/parts/colours.js')
          const { color, backgroundColor } = getComputedStyle(document.querySelector('.glidewire-popover'))
          const [text, ground] = [color, backgroundColor]
            .map(one => luminance(one.match(/[0-9.]+/g).slice(0, 3).map(channel => channel / 255)))
          return [ground, (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05)]
        }"""
    )
    assert contrast[0] > 0.5 and contrast[1] >= 4.5  # WCAG 2.1, 1.4.3
    editor.page.keyboard.press("Escape")
    editor.js("app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")
    editor.wait("ground => LiteGraph.NODE_DEFAULT_BGCOLOR === ground", ground)


def test_hovering_a_mark_tells_what_changed(editor: Any) -> None:
    editor.set("Guidance", "scale", 5)
    editor.marked("Guidance", "will run")
    assert "≈" in editor.mark("Sampler")
    tip = editor.page.locator(".glidewire-tip")
    editor.page.mouse.move(*editor.over_mark("Guidance"))
    tip.get_by_text("Input scale changed: 3.0 → 5.0").wait_for()
    editor.shot("editor-why")
    editor.page.mouse.move(*editor.over_mark("Sampler"))
    tip.get_by_text("Upstream node 6 (Guidance): input scale changed").wait_for()
    editor.set("Guidance", "scale", 3)
    editor.marked("Sampler", "cached")


def test_a_click_on_a_socket_shows_the_value_behind_it(editor: Any) -> None:
    editor.page.mouse.click(*editor.slot("Sampler", "sample", is_input=False))
    window = editor.page.locator(".glidewire-popover")
    window.get_by_text("1 × 3 × 32 × 32 · float32").wait_for()
    editor.wait("document.querySelector('.glidewire-popover img')?.naturalWidth === 32")
    assert window.locator(".glidewire-histogram rect").count() == 32
    editor.shot("editor-value")
    editor.page.keyboard.press("Escape")
    window.wait_for(state="detached")


def test_a_click_on_an_input_shows_what_comes_over_its_wire(editor: Any) -> None:
    editor.page.mouse.click(*editor.slot("Sampler", "schedule", is_input=True))
    window = editor.page.locator(".glidewire-popover")
    window.locator(".glidewire-plot").first.wait_for()
    assert "Steps" in window.inner_text()
    editor.page.keyboard.press("Escape")


def test_the_value_of_a_network_is_the_expression_that_it_is(editor: Any) -> None:
    editor.page.mouse.click(*editor.slot("Guidance", "denoiser", is_input=False))
    editor.page.locator(".glidewire-popover td").get_by_text("classifier_free").wait_for()
    editor.shot("editor-expression")
    editor.page.keyboard.press("Escape")


def test_a_wire_that_cannot_fit_is_refused_while_it_is_dragged(page: Any) -> None:
    page.load(saved(_text_for_clip()))
    page.marked("Denoiser", "will run")
    page.drag(page.slot("Prompt", "condition", is_input=False), page.slot("CLIP", "text", is_input=True))
    page.page.get_by_text("This wire cannot fit: 3 ≠ 2 axes").first.wait_for()
    page.shot("editor-refused")
    assert not page.links("CLIP", "text")
    # What fits is still taken.
    page.drag(page.slot("Denoiser", "denoiser", is_input=False), page.slot("CLIP", "denoiser", is_input=True))
    assert page.links("CLIP", "denoiser")


def test_a_wire_that_does_not_fit_any_more_is_red_with_the_two_numbers(page: Any) -> None:
    page.load(saved(_text_for_clip(text=Wire("2", 0))))
    page.wait(
        "app.graph.nodes.find(n => n.title === 'CLIP').glidewireMark.text.includes('problem')"
        " || app.graph.nodes.find(n => n.title === 'CLIP').glidewireMark.text === 'does not fit'"
    )
    red = page.js(
        """() => {
          const node = app.graph.nodes.find(node => node.title === 'CLIP')
          return node.inputs.map((input, index) => [input.name, node.getInputLink(index)?.color])
            .filter(([, colour]) => colour === '#e5383b').map(([name]) => name)
        }"""
    )
    assert red == ["text"]
    # What an earlier test was told may still lie over the node, for as long as the pointer is on it.
    page.page.mouse.move(700, 800)
    page.wait("!document.body.innerText.includes('This wire cannot fit')")
    page.page.mouse.move(*page.slot("CLIP", "text", is_input=True))
    page.page.locator(".glidewire-tip").get_by_text("it has 3 axes there and 2 here").wait_for()
    page.shot("editor-misfit")


@pytest.fixture
def inspector(editor: Any) -> Any:
    """The inspector, open on the sampler by the keyboard alone."""
    there = editor.js("() => app.graph.nodes.some(node => node.title === 'Sampler')")
    if not there:
        editor.load(saved(_sampling()))
        editor.marked("Sampler", "cached")
    editor.js("app.canvas.selectNode(app.graph.nodes.find(node => node.title === 'Sampler'))")
    if not editor.page.locator(".glidewire-inspector").is_visible():
        editor.page.keyboard.press("Alt+i")
    panel = editor.page.locator(".glidewire-inspector")
    panel.get_by_text(f"step {STEPS} of {STEPS}").wait_for()
    return panel


def test_the_steps_of_a_sampler_are_scrubbed_by_keys(editor: Any, inspector: Any) -> None:
    editor.wait("document.querySelectorAll('.glidewire-steps img').length === 2")
    last = inspector.locator(".glidewire-steps img").first.get_attribute("src")
    inspector.get_by_role("slider").focus()
    editor.page.keyboard.press("ArrowLeft")
    inspector.get_by_text(f"step {STEPS - 1} of {STEPS}").wait_for()
    assert inspector.locator(".glidewire-steps img").first.get_attribute("src") != last
    facts = inspector.locator(".glidewire-facts").last.inner_text()
    assert "guidance: classifier_free" in inspector.inner_text(), facts
    assert "rms of x_0" in inspector.inner_text()
    editor.shot("editor-inspector")


def test_the_clip_score_of_each_step_is_in_the_inspector(editor: Any, inspector: Any) -> None:
    editor.load(saved(_sampling(watched=True)))
    editor.marked("Sampler", "will run")
    editor.page.keyboard.press("Control+Enter")
    editor.marked("Sampler", "cached", milliseconds=STARTING)
    editor.js("app.canvas.selectNode(app.graph.nodes.find(node => node.title === 'Sampler'))")
    inspector.get_by_text(f"step {STEPS} of {STEPS}").wait_for()
    inspector.get_by_text("CLIP score").first.wait_for()
    inspector.get_by_role("slider").focus()
    editor.page.keyboard.press("ArrowLeft")
    inspector.get_by_text(f"step {STEPS - 1} of {STEPS}").wait_for()
    assert "CLIP score" in inspector.inner_text()
    editor.shot("editor-clip-score")
    editor.load(saved(_sampling()))
    editor.marked("Sampler", "cached")


def test_a_run_starts_from_a_step_and_ends_in_the_same_picture(editor: Any, inspector: Any) -> None:
    """The node that is put in front stops before the step; what is sampled from there is the same, bit for bit."""
    inspector.get_by_role("slider").focus()
    editor.page.keyboard.press("ArrowLeft")
    inspector.get_by_text("Start here").click()
    editor.wait("app.graph.nodes.some(node => node.type === 'GlidewireSampleUntil')")
    steps = editor.js(
        "app.graph.nodes.find(n => n.type === 'GlidewireSampleUntil').widgets.find(w => w.name === 'steps').value"
    )
    assert steps == STEPS - 2
    assert editor.links("Sampler", "start")
    prompt = editor.js("async () => (await app.graphToPrompt()).output")
    graph = examine(prompt, pack_registry()).graph
    walk = next(call for call in graph.calls.values() if call.type == "GlidewireSampleUntil")
    assert {"denoiser", "schedule", "start"} <= {name for name, _ in walk.wires}
    editor.shot("editor-start-from-step")
    editor.load(saved(_sampling()))
    editor.marked("Sampler", "cached")


def test_an_output_is_pinned_to_its_node_and_stays_there(editor: Any) -> None:
    editor.page.mouse.click(*editor.slot("Steps", "schedule", is_input=False))
    editor.page.locator(".glidewire-popover").get_by_text("Pin").click()
    editor.page.locator(".glidewire-on-node .glidewire-plot").first.wait_for()
    editor.page.keyboard.press("Escape")
    editor.shot("editor-pinned")
    kept = editor.js("app.graph.serialize().nodes.find(node => node.title === 'Steps').properties")
    assert kept["glidewire: pinned output"] == 0
    editor.page.mouse.click(*editor.slot("Steps", "schedule", is_input=False))
    editor.page.locator(".glidewire-popover").get_by_text("Pin").click()
    editor.page.locator(".glidewire-on-node").first.wait_for(state="detached")


def test_the_workflow_is_copied_as_python_that_builds_it(editor: Any) -> None:
    editor.page.keyboard.press("Alt+Shift+P")
    editor.page.get_by_text("Python source copied").first.wait_for()
    source = editor.js("navigator.clipboard.readText()")
    scope: dict[str, Any] = {"__name__": "copied"}
    exec(compile(source, "copied", "exec"), scope)
    prompt = editor.js("async () => (await app.graphToPrompt()).output")
    graph = examine(prompt, pack_registry()).graph
    assert sorted(call.type for call in scope["flow"].graph.calls.values()) == sorted(
        call.type for call in graph.calls.values()
    )


def test_the_newer_design_of_nodes_shows_marks_and_says_what_it_leaves_out(editor: Any) -> None:
    # Open before, so that it must follow the change.
    if not editor.page.locator(".glidewire-inspector").is_visible():
        editor.page.keyboard.press("Alt+i")
    editor.page.locator(".glidewire-inspector").wait_for()
    editor.js("app.extensionManager.setting.set('Comfy.VueNodes.Enabled', true)")
    mark = editor.mark("Sampler")
    editor.page.locator("[data-node-id]").get_by_text(mark).first.wait_for()
    editor.page.locator(".glidewire-inspector").get_by_text("Nodes 2.0 has no room for dims at sockets").wait_for()
    editor.shot("editor-newer-design")
    editor.js("app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")
    editor.wait("document.querySelectorAll('[data-node-id]').length === 0")


def test_a_template_is_opened_edited_and_copied_as_a_command(page: Any) -> None:
    page.load(saved(Graph([NodeCall("1", "GlidewireLoadGlide", {"checkpoint": "mini-glide-base.safetensors"}, "Old")])))
    page.open("/?template=text-to-image&source=glidewire")
    # What was open before comes back first.
    page.wait("!app.graph.nodes.some(node => node.title === 'Old')")
    page.wait("app.extensionManager.workflow.activeWorkflow?.path?.endsWith('text-to-image.json')")
    page.marked("Steps", "will run", "cached", "not needed")
    page.set("Steps", "spacing", "7")
    page.page.keyboard.press("Alt+Shift+L")
    page.page.get_by_text("command line copied").first.wait_for()
    assert page.js("navigator.clipboard.readText()") == "glidewire run text-to-image --set spacing=7"


def test_marks_are_switched_off_and_on_by_a_key(page: Any) -> None:
    page.page.keyboard.press("Alt+Shift+D")
    page.wait("app.graph.nodes.every(node => !node.glidewireMark?.text)")
    page.page.keyboard.press("Alt+Shift+D")
    page.wait("app.graph.nodes.some(node => node.glidewireMark?.text)")


def test_nothing_left_the_machine_and_nothing_broke(page: Any) -> None:
    assert page.outside == []
    assert page.complaints == []
