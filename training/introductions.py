"""What the card of each mini says first."""

from __future__ import annotations

from collections.abc import Mapping

WORLD = (
    "It knows the scene world alone: one or two shaded solids on a plain ground, and captions such as *a small "
    "red cube left of a blue sphere on white ground*. It exists so that every node of the pack can be run, "
    "watched and tested on a CPU with weights that mean something."
)

INTRODUCTIONS: Mapping[str, str] = {
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
}
