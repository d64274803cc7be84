"""Words: prompts with weights, words weighed in attention, words shown in pictures, and prompt-to-prompt."""

from __future__ import annotations

from typing import Annotated, Literal

from ..diffusion.denoiser import Denoiser
from ..diffusion.rewriting import within
from ..diffusion.schedules import NoiseSchedule
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Slider, Text
from ..models.ldm.text import TextEncoder
from . import prompt_texts, word_checks, word_runs
from .guidance import Fraction, interval
from .prompt_texts import PromptEncoder
from .sockets import Condition, Image, Mask, Start

Prompt = Annotated[str, Text(multiline=True)]
Words = Annotated[str, Text()]


@node(category="prompts", validate=word_checks.weights_are_read)
def weighted_prompt(
    encoder: Socket[TextEncoder, "positions width"],
    prompt: Prompt = "",
    interpretation: Literal["comfy", "a1111", "a1111_no_norm", "drop"] = "comfy",
    syntax: Literal["same", "comfy", "a1111"] = "same",
) -> Socket[Condition, "1 _ width"]:
    """Encode a prompt with emphasis, "a (red:1.3) cube": brackets and numbers as one program or another reads them.

    comfy moves a token's state from the empty prompt's by its weight; a1111 multiplies states and keeps their mean;
    a1111_no_norm only multiplies; drop leaves words of weight 0 out, which no weight on states can do. Prompts longer
    than the encoder are cut into chunks. For weights on attention see weigh words.

    Args:
        encoder: CLIP's text encoder.
        prompt: Round brackets are 1.1, (x:1.3) is 1.3; in a1111's syntax square brackets are 1/1.1; a backslash
            makes a bracket text.
        interpretation: What a weight does.
        syntax: How brackets are read; same is that of the interpretation's program (comfy's for drop).

    Returns: States "1 chunks*positions width".

    Raises: GlidewireError for a weight that is out of range (20 either way), or another text encoder.

    Source: the behaviour of ComfyUI 0.3.64 (2024) and of AUTOMATIC1111's stable-diffusion-webui.
    """
    reads = word_checks.syntax_of(interpretation, syntax)
    states, _ = prompt_texts.weighted_states(encoder, prompt, reads, interpretation)
    return Condition({"context": states})


@node(category="prompts", validate=(interval, word_checks.weighed_are_there))
def weigh_words(
    denoiser: Socket[Denoiser, "channels @space"],
    encoder: Socket[PromptEncoder, "..."],
    prompt: Prompt,
    weights: Words,
    region: Socket[Mask, "_ _ _"] | None = None,
    outside: Annotated[float, Slider(min=0.0, max=4.0, step=0.05)] = 0.0,
    start: Fraction = 0.0,
    end: Fraction = 1.0,
) -> Socket[Denoiser, "channels @space"]:
    """Weigh words in attention, everywhere or in a region: A' = A · w behind the softmax.

    Args:
        denoiser: A denoiser under the prompt (GLIDE's, unCLIP's decoder, a latent one, IF's), or guidance of one, on
            "channels @space"; branches under other texts stay as they are.
        encoder: The text encoder (or the GLIDE or CLIP model) that the prompt was encoded by.
        prompt: The prompt of the branch.
        weights: Such as "red: 1.5, blue sphere: 0.5", up to 20 either way; a word that is not named weighs 1.
        region: Where these words have their weights, "batch height width" in [0, 1]: of x_t's size, or a whole
            multiple of it.
        outside: What they weigh outside of the region.
        start, end: The part of the sampling steps, from 0 to 1, in which it acts.

    Returns: The denoiser, on the same "channels @space".

    Raises: GlidewireError for a word that is not in the prompt, a denoiser without a branch under it, or without
        attention to a text.

    Source: Hertz et al. 2022 (prompt-to-prompt, 2208.01626), section 3.
    """
    branches = prompt_texts.under(denoiser, encoder, prompt)
    tokens = prompt_texts.tokenization_for(branches, encoder)
    factors = word_runs.word_weights(tokens, prompt, weights, region, outside)
    inside = word_runs.weighed(denoiser, branches, factors)
    return within(inside, denoiser, start, end)


@node(category="prompts", validate=word_checks.shown_are_there)
def show_words(
    denoiser: Socket[Denoiser, "channels @space"],
    encoder: Socket[PromptEncoder, "..."],
    schedule: Socket[NoiseSchedule, "_"],
    start: Socket[Start, "_ channels _ _ @space"],
    prompt: Prompt,
    words: Words,
    step: Annotated[int, Number(min=-1, max=1000)] = -1,
    places: Words = "all",
    width: Annotated[int, Number(min=8, max=4096, step=8)] = 256,
    height: Annotated[int, Number(min=8, max=4096, step=8)] = 256,
    clip: bool = True,
    context: Context = INJECTED,
) -> Socket[Image, "_ height width 3"]:
    """Where words act: how much each place of the picture looks at each word, as heat maps.

    Args:
        denoiser: A denoiser under the prompt, or guidance of one, on "channels @space".
        encoder: The text encoder (or the GLIDE or CLIP model) that the prompt was encoded by.
        schedule: The steps to walk, by DDIM.
        start: Where the run starts, "batch channels height width".
        prompt: The prompt of the branch.
        words: Words or phrases of the prompt, with commas between.
        step: Which step, the first is 0; -1 is the mean over all.
        places: Which layers: "middle", "down 1, up 0" ..., or "all".
        width, height: Of the pictures.
        clip: Clip the predicted x_0 to [-1, 1], as pixel models want and latents do not.

    Returns: Pictures "batch*words height width 3": for each item of the batch each word, bright where it acts most.

    Raises: GlidewireError for a word that is not in the prompt, or a step or place that is not there.

    Source: Hertz et al. 2022 (prompt-to-prompt, 2208.01626), figure 4.
    """
    branches = prompt_texts.under(denoiser, encoder, prompt)
    tokens = prompt_texts.tokenization_for(branches, encoder)
    selected = prompt_texts.selected(tokens, prompt, prompt_texts.words_of(words))
    shown = word_runs.shown(denoiser, branches, selected, places)
    maps = word_runs.word_maps(shown, schedule, start, (step, clip), context)
    return Image(word_runs.heat(maps, (height, width)))


@node(category="prompts", validate=word_checks.EDIT)
def prompt_to_prompt(
    denoiser: Socket[Denoiser, "channels @space"],
    encoder: Socket[PromptEncoder, "..."],
    schedule: Socket[NoiseSchedule, "_"],
    source: Prompt,
    target: Prompt,
    mode: Literal["replace", "refine", "keep"] = "replace",
    weights: Words = "",
    cross_start: Fraction = 0.0,
    cross_end: Fraction = 0.8,
    self_start: Fraction = 0.0,
    self_end: Fraction = 0.4,
    blend_source: Words = "",
    blend_target: Words = "",
    blend_threshold: Fraction = 0.3,
    blend_start: Fraction = 0.2,
    word_windows: Words = "",
) -> Socket[Denoiser, "channels @space"]:
    """Edit a picture by its prompt, keeping its layout: the target's attention maps are made from the source's.

    Of each branch under the source prompt a batch of two is made, source and target; start from the same noise twice
    (repeat start) and sample by DDIM with eta 0. replace swaps words one for one; refine keeps the maps of all words
    that both prompts have; keep takes the source's maps for every position (with weights: re-weighting).

    Args:
        denoiser: A denoiser under the source prompt, or guidance of one, on "channels @space"; branches under other
            texts (the empty one) are not edited.
        encoder: The text encoder (or the GLIDE or CLIP model) that the prompts are encoded by.
        schedule: What the sampler walks.
        source: The source prompt, as the denoiser is under it.
        target: The target prompt; for replace of as many words.
        mode: How words are aligned.
        weights: Of words of the target, such as "fluffy: 2", up to 20 either way.
        cross_start, cross_end: The part of the run, from 0 to 1, in which cross-attention is edited.
        self_start, self_end: The part in which self-attention is the source's, in maps of at most 16 x 16.
        blend_source, blend_target: Words of either prompt outside of whose region the source is kept; both or none.
        blend_threshold: Of the region, relative to the largest attention.
        blend_start: The part of the run from which the source is kept.
        word_windows: Of single words of the target, in the place of cross_start and cross_end: "cone: 0.2" ends there,
            "cone: 0.1-0.5" starts too.

    Returns: A denoiser of two items, source and target, on the same "channels @space".

    Raises: GlidewireError for prompts of different length (offering refine), a word that is in no prompt, an
        impossible window, or a denoiser without a branch under the source or without attention to a text.

    Source: Hertz et al. 2022 (prompt-to-prompt, 2208.01626), section 3.
    """
    branches = prompt_texts.under(denoiser, encoder, source)
    tokens = prompt_texts.tokenization_for(branches, encoder)
    settings = word_runs.EditSettings(
        mode,
        prompt_texts.weights_of(weights),
        (cross_start, cross_end),
        (self_start, self_end),
        prompt_texts.windows_of(word_windows),
    )
    edit = word_runs.edit_of(tokens, source, target, len(schedule), settings)
    word_checks.blended_are_there(source, target, blend_source, blend_target)
    blend = prompt_texts.words_of(blend_source), prompt_texts.words_of(blend_target)
    shown = word_runs.blend_words(tokens, source, target, *blend) if blend[0] else None
    texts = encoder.encode_prompt(source)[0], encoder.encode_prompt(target)[0]
    edited = word_runs.edited(denoiser, branches, texts, (edit, schedule, shown))
    return edited if shown is None else word_runs.kept_outside(edited, blend_threshold, blend_start)


@node(category="sampling")
def repeat_start(
    start: Socket[Start, "_ channels height width @space"],
    count: Annotated[int, Number(min=1, max=64)] = 2,
) -> Socket[Start, "_ channels height width @space"]:
    """The first beginning several times over, so that all items of a batch share their noise.

    Args:
        start: Where to start, "batch channels height width"; its first item is taken.
        count: How many.

    Returns: "count channels height width". The noise that a sampler adds later is another for each item.

    Source: Hertz et al. 2022 (prompt-to-prompt, 2208.01626), section 3 (a fixed seed for both prompts).
    """
    tensor = start.tensor[:1].expand(count, *start.tensor.shape[1:]).contiguous()
    return Start(tensor, start.space, start.seeds[:1] * count, start.first_item, start.timestep)
