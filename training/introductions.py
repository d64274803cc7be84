"""What the card of each mini says first."""

from __future__ import annotations

from collections.abc import Mapping

WORLD = (
    "It knows the scene world alone: one or two shaded solids on a plain ground, and captions such as *a small "
    "red cube left of a blue sphere on white ground*. It exists so that every node of the pack can be run, "
    "watched and tested on a CPU with weights that mean something."
)

_DIRECTION = (
    "A direction in the bottleneck of `mini-glide-base` (Kwon et al. 2023, Asyrp): a small network f_t that makes the "
    "solid that is drawn {}, in the published layout. Add it between timesteps {} and 200 of a run of 20 steps."
)
_DIRECTIONS = {"blue": ("blue", 950), "large": ("large", 850), "sphere": ("a sphere", 850)}
_EDITED = (
    "pictures drawn without noise in 20 steps, of which those are kept that are as their prompt says and do not show "
    "yet what they shall; share of them in which, once edited, the judge (`scenes/judge.py`) finds one solid that has "
    "become what it shall, with shape, colour, size and ground as the prompt has them where it does not change these"
)
_REPAINTED = (
    "fresh scenes in which a box around one solid is painted over under a caption that names another shape and colour "
    "for it, guidance 3, nothing put back; share of pictures in which the judge (`scenes/judge.py`) finds all that "
    "the caption states, of both solids"
)
_ENLARGED = (
    "fresh scenes of 32 pixels, enlarged twice in eight steps each; share of pictures that the judge "
    "(`scenes/judge.py`) reads as it reads the small one, and share in which it finds what is true of the scene"
)

MEASURED: Mapping[str, str] = {
    **{f"mini-asyrp-{name}": _EDITED for name in _DIRECTIONS},
    "mini-ip-adapter": (
        "pairs of a picture and of a caption that names another shape and no colour, at guidance scale 3; share of "
        "what is drawn in which the judge (`scenes/judge.py`) finds one solid with the picture's colour, and of that "
        "in which it finds one of the caption's shape"
    ),
    "mini-prompt-diffusion": (
        "fresh scenes for each task, in 20 steps; other scenes are the example pairs. A map is right if it is nearer "
        "to what its task makes than to the picture and to every other map. Pictures are made of a map and a caption "
        "of colours and ground, at guidance scale 3, and are right if the judge (`scenes/judge.py`) finds all that is "
        "true of the scene. *exchange* (of red and blue) was not trained"
    ),
    "mini-glide-inpaint": _REPAINTED,
    "mini-ldm-inpaint": _REPAINTED,
    "mini-glide-upsampler": _ENLARGED,
    "mini-unclip-upsampler": _ENLARGED,
    "mini-imagen-upsampler": _ENLARGED,
    "mini-t5": (
        "fresh captions; share of the variance of the states of `mini-glide-base`'s text transformer that a linear map "
        "of its states tells, fitted to as many others"
    ),
    "mini-ldm-upsampler": (
        "fresh scenes of 8 pixels with the caption that states all of them, guidance 3; share of the pictures of 32 "
        "pixels in which the judge (`scenes/judge.py`) finds what is true of the scene"
    ),
}
"""What the figures of a card are about, where they are not of fresh scenes that an encoder sees."""

INTRODUCTIONS: Mapping[str, str] = {
    **{f"mini-asyrp-{name}": _DIRECTION.format(*what) for name, what in _DIRECTIONS.items()},
    "mini-ip-adapter": (
        "IP-Adapter (Ye et al. 2023) at toy size, in the published layout: `mini-ldm`, which stays as it is, attends "
        "to four tokens that are made of `mini-clip`'s embedding of a picture. It was shown colours that captions left "
        "out."
    ),
    "mini-t5": (
        "T5's encoder (Raffel et al. 2020) at toy size, of transformers' classes and in its layout, with its tokenizer "
        "in the file: one piece for each of the few dozen words of captions. It learnt from captions to say, through "
        "a linear map, what `mini-glide-base`'s text transformer says."
    ),
    "mini-imagen-base": (
        "Imagen's first stage (Saharia et al. 2022) at toy size, in the published layout of DeepFloyd IF: "
        "`mini-glide-base`'s U-Net, whose text is `mini-t5`'s. IF's GELU stands for GLIDE's SiLU, and it learnt from "
        "what GLIDE predicts."
    ),
    "mini-imagen-upsampler": (
        "Imagen's second stage (Saharia et al. 2022, section 2.3) at toy size, in DeepFloyd IF's published layout: "
        "it doubles a side, seeing the small picture noised and told the noise's level, under `mini-t5`'s text."
    ),
    "mini-prompt-diffusion": (
        "Prompt Diffusion (Wang et al. 2023) at toy size, in the published layout: a copy of the encoder of `mini-ldm` "
        "sees an example pair and a query; `mini-ldm` stays as it is (the paper trains its decoder too). Trained on "
        "edges, segmentations and negatives of scenes, and back."
    ),
    "mini-glide-base": (
        "GLIDE's base model (Nichol et al. 2021) at toy size: a text transformer and a U-Net with learned "
        "variance, in the published checkpoint layout."
    ),
    "mini-kl-f4": (
        "A KL autoencoder (Rombach et al. 2022, section 3.1) at toy size, convolutions alone, in the published "
        "layout: pictures to latents a quarter as wide and high, and back."
    ),
    "mini-vq-f4": (
        "A VQ autoencoder (van den Oord et al. 2017; Esser et al. 2021) at toy size, in the published layout: "
        "pictures to tokens of 512 codes, a quarter as wide and high, and back. It grew out of `mini-kl-f4`."
    ),
    "mini-clip": (
        "CLIP (Radford et al. 2021) at toy size, of open_clip's classes and in its layout: texts and pictures in "
        "one space of 96 channels. It keeps the few dozen ids of CLIP's vocabulary that captions use. `mini-clip-"
        "text.safetensors` is its text tower once more, for networks that attend to its states."
    ),
    "mini-ldm": (
        "Latent diffusion (Rombach et al. 2022) at toy size: a U-Net that predicts v of `mini-kl-f4`'s latents "
        "and attends to the states of `mini-clip-text`, as Stable Diffusion does, in the published layout."
    ),
    "mini-paella": (
        "Paella's predictor (Rampas et al. 2022, section 3) at toy size: scores of `mini-vq-f4`'s tokens under an"
        " embedding of `mini-clip`, of a caption or of a picture, in the published layout."
    ),
    "mini-prior": (
        "unCLIP's diffusion prior (Ramesh et al. 2022, section 2.2) at toy size: from a caption as `mini-clip` "
        "reads it to the embedding of a picture, in diffusers' layout, with the statistics of embeddings in it."
    ),
    "mini-noised-clip": (
        "Noised CLIP (Nichol et al. 2021, section 2.3) at toy size, in the published layout: `mini-clip`'s image "
        "tower, told the timestep and trained further on noised pictures. `mini-noised-clip-text.safetensors` is "
        "`mini-clip`'s text tower under the published names."
    ),
    "mini-glide-inpaint": (
        "GLIDE's inpainting model (Nichol et al. 2021, section 4.3) at toy size, in the published layout: "
        "`mini-glide-base`, trained on with a part of each picture known."
    ),
    "mini-glide-upsampler": (
        "GLIDE's upsampler (Nichol et al. 2021, section 4.1) at toy size, in the published layout: a shallow U-Net "
        "beside the text transformer of `mini-glide-base`. It doubles a side, and doubles it again."
    ),
    "mini-unclip-decoder": (
        "unCLIP's decoder (Ramesh et al. 2022, section 2.1) at toy size, in Karlo's layout: from an embedding of "
        "`mini-clip`'s, and a caption if there is one, to a picture. Its U-Net grew out of `mini-glide-base`."
    ),
    "mini-unclip-upsampler": (
        "unCLIP's upsampler (Ramesh et al. 2022, section 2.1) at toy size, in Karlo's layout: convolutions alone, no "
        "attention and no text. It doubles a side, and doubles it again."
    ),
    "mini-autoregressive-prior": (
        "unCLIP's autoregressive prior (Ramesh et al. 2022, section 2.2) at toy size: from a caption as `mini-clip` "
        "reads it to 32 principal components of a picture's embedding, code by code. None was published."
    ),
    "mini-ldm-inpaint": (
        "Latent diffusion's inpainting (Rombach et al. 2022, section 4.5) at toy size, in Stable Diffusion's "
        "convention: `mini-ldm`, trained on with a mask and the masked picture's latents beside x_t."
    ),
    "mini-ldm-upsampler": (
        "Latent diffusion's super-resolution (Rombach et al. 2022, section 4.4) at toy size: `mini-ldm`, trained on "
        "with a picture of a quarter of the side beside x_t."
    ),
}
