"""The published checkpoints that the pack reads: where each is, under which licence, and what is known of its bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from ..errors import GlidewireError
from .download import Source

_HUB = "https://huggingface.co"
_OPENAI = "https://openaipublic.blob.core.windows.net/diffusion/dec-2021"
_OPENAI_CLIP = "https://openaipublic.azureedge.net/clip/models"
_KARLO = "https://arena.kakaocdn.net/brainrepo/models/karlo-public/v1.0.0.alpha"
_LDM = "https://ommer-lab.com/files/latent-diffusion"
_RAIL = "CreativeML OpenRAIL-M"


@dataclass(frozen=True)
class Published:
    """A published checkpoint: one file, or the files of a folder.

    Attributes:
        system: Whose it is.
        what: Which part.
        licence: Of the weights, as their publishers name it.
        files: Where each is, by its name in a folder of models.
        about: Its size in words, where the bytes are not known.
    """

    system: str
    what: str
    licence: str
    files: Mapping[str, Source]
    about: str = ""

    @property
    def size(self) -> int | None:
        """Bytes of all files, where all are known."""
        sizes = [source.size for source in self.files.values()]
        return None if None in sizes else sum(size for size in sizes if size)


def _one(
    system: str,
    what: str,
    licence: str,
    url: str,
    *,
    size: int | None = None,
    sha256: str | None = None,
    name: str = "",
) -> Published:
    return Published(system, what, licence, {name or PurePosixPath(url).name: Source(url, size, sha256)})


def _hub(
    system: str,
    what: str,
    licence: str,
    repository: str,
    *paths: str,
    size: int | None = None,
    sha256: str | None = None,
    folder: str = "",
) -> Published:
    """Files of a repository on the hub; those of a folder keep its name."""
    page = f"{_HUB}/{repository}"
    named = {f"{folder}/{path}" if folder else PurePosixPath(path).name: path for path in paths}
    files = {name: Source(f"{page}/resolve/main/{path}", size, sha256, page) for name, path in named.items()}
    return Published(system, what, licence, files)


def _folder(system: str, what: str, licence: str, repository: str, *parts: str, ending: str) -> Published:
    """Folders of a pipeline as diffusers writes them: a configuration and weights each."""
    weights = f"diffusion_pytorch_model.{ending}"
    paths = [f"{part}/{name}" for part in parts for name in ("config.json", weights)]
    return _hub(system, what, licence, repository, *paths, folder=PurePosixPath(repository).name)


def _glide(file: str, what: str, about: str, *, name: str = "") -> Published:
    return replace(_one("GLIDE", what, "MIT", f"{_OPENAI}/{file}", name=name), about=about)


def _clip(size: str, digest: str) -> Published:
    return _one("CLIP", f"{size}, OpenAI's", "MIT", f"{_OPENAI_CLIP}/{digest}/{size}.pt", sha256=digest)


def _laion(size: str, repository: str) -> Published:
    path = "open_clip_pytorch_model.bin"
    published = _hub("CLIP", f"{size}, LAION's", "MIT", f"laion/{repository}", path)
    return replace(published, files={f"{repository}.bin": published.files[path]})


PUBLISHED: Mapping[str, Published] = {
    "glide-base": _glide("base.pt", "base", "1.5 GB", name="glide-base.pt"),
    "glide-base-inpaint": _glide("base_inpaint.pt", "base, inpainting", "1.5 GB"),
    "glide-upsample": _glide("upsample.pt", "upsampler", "1.6 GB"),
    "glide-upsample-inpaint": _glide("upsample_inpaint.pt", "upsampler, inpainting", "1.6 GB"),
    "glide-clip-image": _glide("clip_image_enc.pt", "noised CLIP, image tower", "0.3 GB"),
    "glide-clip-text": _glide("clip_text_enc.pt", "noised CLIP, text tower", "0.3 GB"),
    "karlo-prior": _one(
        "Karlo", "prior", _RAIL,
        f"{_KARLO}/85626483eaca9f581e2a78d31ff905ca/prior-ckpt-step%3D01000000-of-01000000.ckpt",
        name="karlo-prior.ckpt",
    ),
    "karlo-decoder": _one(
        "Karlo", "decoder", _RAIL,
        f"{_KARLO}/efdf6206d8ed593961593dc029a8affa/decoder-ckpt-step%3D01000000-of-01000000.ckpt",
        name="karlo-decoder.ckpt",
    ),
    "karlo-upsampler": _one(
        "Karlo", "both super-resolution networks", _RAIL,
        f"{_KARLO}/4226b831ae0279020d134281f3c31590/improved-sr-ckpt-step%3D1.2M.ckpt", name="karlo-upsampler.ckpt",
    ),
    "karlo-statistics": _one(
        "Karlo", "mean and deviation of CLIP's embeddings", _RAIL,
        f"{_KARLO}/0b62380a75e56f073e2844ab5199153d/ViT-L-14_stats.th", size=7079,
        sha256="37113fd962c56652f7052c3182b922b958b7efc4be5072d3049cbbe1bdb0af79",
    ),
    "karlo-diffusers": _folder(
        "Karlo", "prior, decoder and super-resolution, diffusers' layout", _RAIL, "kakaobrain/karlo-v1-alpha",
        "prior", "decoder", "super_res_first", "super_res_last", ending="bin",
    ),
    "kandinsky-2-1-prior": _hub("Kandinsky 2.1", "prior", "Apache-2.0", "ai-forever/Kandinsky_2.1", "prior_fp16.ckpt"),
    "kandinsky-2-1-decoder": _hub(
        "Kandinsky 2.1", "decoder", "Apache-2.0", "ai-forever/Kandinsky_2.1", "decoder_fp16.ckpt"
    ),
    "kandinsky-2-2-prior": _folder(
        "Kandinsky 2.2", "prior", "Apache-2.0", "kandinsky-community/kandinsky-2-2-prior", "prior", ending="safetensors"
    ),
    "kandinsky-2-2-decoder": _folder(
        "Kandinsky 2.2", "decoder and MoVQ", "Apache-2.0", "kandinsky-community/kandinsky-2-2-decoder",
        "unet", "movq", ending="safetensors",
    ),
    "dalle2-prior": _hub(
        "DALLE2-pytorch", "diffusion prior", "MIT", "laion/DALLE2-PyTorch", "prior/latest.pth", folder="dalle2-pytorch"
    ),
    "paella-v3": _hub("Paella", "v3", "MIT", "dome272/Paella", "paella_v3.pt"),
    "paella-vqgan": _hub("Paella", "v3's f4 VQGAN", "MIT", "dome272/Paella", "vqgan_f4.pt"),
    "paella-prior": _hub("Paella", "prior", "MIT", "dome272/Paella", "prior_v1.pt"),
    "rudalle-vqgan": _hub(
        "ruDALL-E", "Gumbel VQGAN f8", "Apache-2.0", "ai-forever/rudalle-utils", "vqgan.gumbelf8-sber.model.ckpt"
    ),
    "dalle1-encoder": _one(
        "DALL·E", "dVAE, encoder: needs `models convert`", "MIT", "https://cdn.openai.com/dall-e/encoder.pkl"
    ),
    "dalle1-decoder": _one(
        "DALL·E", "dVAE, decoder: needs `models convert`", "MIT", "https://cdn.openai.com/dall-e/decoder.pkl"
    ),
    "ldm-text-to-image": _one(
        "Latent diffusion", "txt2img-1.4B with BERT", "MIT", f"{_LDM}/nitro/txt2img-f8-large/model.ckpt",
        name="ldm-txt2img-f8-large.ckpt",
    ),
    "ldm-imagenet": _one(
        "Latent diffusion", "cin256-v2, class-conditional", "MIT", f"{_LDM}/nitro/cin/model.ckpt",
        name="ldm-cin256-v2.ckpt",
    ),
    "stable-diffusion-1-4": _hub(
        "Stable Diffusion", "1.4, all parts", _RAIL, "CompVis/stable-diffusion-v-1-4-original", "sd-v1-4.ckpt",
        sha256="fe4efff1e174c627256e44ec2991ba279b3816e364b49f9be2abc0b3ff3f8556",
    ),
    "stable-diffusion-1-5": _hub(
        "Stable Diffusion", "1.5, all parts", _RAIL, "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "v1-5-pruned-emaonly.safetensors", size=4265146304,
        sha256="6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa",
    ),
    "stable-diffusion-vae": _hub(
        "Stable Diffusion", "first stage, fine-tuned", "MIT", "stabilityai/sd-vae-ft-mse-original",
        "vae-ft-mse-840000-ema-pruned.safetensors",
    ),
    "ip-adapter-sd15": _hub(
        "IP-Adapter", "base", "Apache-2.0", "h94/IP-Adapter", "models/ip-adapter_sd15.safetensors"
    ),
    "ip-adapter-plus-sd15": _hub(
        "IP-Adapter", "plus", "Apache-2.0", "h94/IP-Adapter", "models/ip-adapter-plus_sd15.safetensors"
    ),
    "ip-adapter-plus-face-sd15": _hub(
        "IP-Adapter", "plus-face", "Apache-2.0", "h94/IP-Adapter", "models/ip-adapter-plus-face_sd15.safetensors"
    ),
    "ip-adapter-full-face-sd15": _hub(
        "IP-Adapter", "full-face", "Apache-2.0", "h94/IP-Adapter", "models/ip-adapter-full-face_sd15.safetensors"
    ),
    "ip-adapter-faceid-sd15": _hub(
        "IP-Adapter", "FaceID", "non-commercial research", "h94/IP-Adapter-FaceID", "ip-adapter-faceid_sd15.bin"
    ),
    "prompt-diffusion": _hub(
        "Prompt Diffusion", "control and its Stable Diffusion", "Apache-2.0", "zhendongw/prompt-diffusion",
        "network-step=04999.ckpt",
    ),
    "if-stage-1": _folder(
        "DeepFloyd IF", "stage I (M)", "DeepFloyd IF licence", "DeepFloyd/IF-I-M-v1.0", "unet", ending="safetensors"
    ),
    "if-stage-2": _folder(
        "DeepFloyd IF", "stage II (M)", "DeepFloyd IF licence", "DeepFloyd/IF-II-M-v1.0", "unet", ending="safetensors"
    ),
    "clip-vit-b-32": _clip("ViT-B-32", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"),
    "clip-vit-b-16": _clip("ViT-B-16", "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"),
    "clip-vit-l-14": _clip("ViT-L-14", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
    "clip-vit-l-14-336": _clip("ViT-L-14-336px", "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"),
    "clip-vit-h-14": _laion("ViT-H/14", "CLIP-ViT-H-14-laion2B-s32B-b79K"),
    "clip-vit-g-14": _laion("ViT-g/14", "CLIP-ViT-g-14-laion2B-s34B-b88K"),
    "clip-vit-bigg-14": _laion("ViT-bigG/14", "CLIP-ViT-bigG-14-laion2B-39B-b160k"),
}  # fmt: skip


def published(name: str) -> Published:
    """The published checkpoint of that name; where $HF_ENDPOINT is set, the hub's files come from there.

    Raises:
        GlidewireError: There is none.
    """
    from difflib import get_close_matches

    if name not in PUBLISHED:
        near = get_close_matches(name, PUBLISHED, n=3)
        raise GlidewireError(
            f"no published checkpoint is called {name}",
            hint=f"Did you mean {' or '.join(near)}?" if near else "`glidewire models list` names them.",
        )
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or _HUB
    found = PUBLISHED[name]
    files = {path: replace(source, url=source.url.replace(_HUB, endpoint, 1)) for path, source in found.files.items()}
    return replace(found, files=files)
