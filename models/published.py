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
_ASYRP = "https://github.com/kwonminki/Asyrp_official/raw/a6c82dc760849dd4c1e878990ce38e824967e5b0/checkpoint"
_RAIL, _RAIL_2 = "CreativeML OpenRAIL-M", "CreativeML OpenRAIL++-M"


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
    about: str = "",
) -> Published:
    return Published(system, what, licence, {name or PurePosixPath(url).name: Source(url, size, sha256)}, about)


def _hub(
    system: str,
    what: str,
    licence: str,
    repository: str,
    *paths: str,
    size: int | None = None,
    sha256: str | None = None,
    folder: str = "",
    about: str = "",
) -> Published:
    """Files of a repository on the hub; those of a folder keep its name."""
    page = f"{_HUB}/{repository}"
    named = {f"{folder}/{path}" if folder else PurePosixPath(path).name: path for path in paths}
    files = {name: Source(f"{page}/resolve/main/{path}", size, sha256, page) for name, path in named.items()}
    return Published(system, what, licence, files, about)


def _folder(
    system: str, what: str, licence: str, repository: str, *parts: str, ending: str, about: str = ""
) -> Published:
    """Folders of a pipeline as diffusers writes them: a configuration and weights each."""
    weights = f"diffusion_pytorch_model.{ending}"
    paths = [f"{part}/{name}" for part in parts for name in ("config.json", weights)]
    return _hub(system, what, licence, repository, *paths, folder=PurePosixPath(repository).name, about=about)


def _glide(file: str, what: str, about: str, *, name: str = "") -> Published:
    return _one("GLIDE", what, "MIT", f"{_OPENAI}/{file}", name=name, about=about)


def _clip(size: str, digest: str, about: str) -> Published:
    url = f"{_OPENAI_CLIP}/{digest}/{size}.pt"
    return _one("CLIP", f"{size}, OpenAI's", "MIT", url, sha256=digest, about=about)


def _zipped(name: str, what: str, about: str = "") -> Published:
    """One of latent diffusion's archives, which hold a model.ckpt each."""
    what = f"{what}: unpack its model.ckpt"
    return _one("Latent diffusion", what, "MIT", f"{_LDM}/{name}.zip", name=f"ldm-{name}.zip", about=about)


def _adapter(file: str, what: str, about: str) -> Published:
    of_faces = "faceid" in file
    licence = "non-commercial research" if of_faces else "Apache-2.0"
    repository, folder = ("h94/IP-Adapter-FaceID", "") if of_faces else ("h94/IP-Adapter", "models/")
    return _hub("IP-Adapter", what, licence, repository, f"{folder}ip-adapter{file}", about=about)


def _direction(attribute: str, domain: str, size: int | None = None, sha256: str | None = None) -> Published:
    """One of Asyrp's directions, as small as they are."""
    file = f"{attribute}_LC_{domain}_t999_ninv40_ngen40_0.pth"
    what = f"direction of {attribute} on {domain.replace('_', '-')}"
    return _one("Asyrp", what, "MIT", f"{_ASYRP}/{file}", size=size, sha256=sha256, about="3 MB")


def _laion(size: str, repository: str, about: str) -> Published:
    path = "open_clip_pytorch_model.bin"
    published = _hub("CLIP", f"{size}, LAION's", "MIT", f"laion/{repository}", path, about=about)
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
        about="about 4.1 GB",
    ),
    "karlo-decoder": _one(
        "Karlo", "decoder", _RAIL,
        f"{_KARLO}/efdf6206d8ed593961593dc029a8affa/decoder-ckpt-step%3D01000000-of-01000000.ckpt",
        name="karlo-decoder.ckpt",
        about="about 3.6 GB",
    ),
    "karlo-upsampler": _one(
        "Karlo", "both super-resolution networks", _RAIL,
        f"{_KARLO}/4226b831ae0279020d134281f3c31590/improved-sr-ckpt-step%3D1.2M.ckpt", name="karlo-upsampler.ckpt",
        about="about 5.5 GB",
    ),
    "karlo-statistics": _one(
        "Karlo", "mean and deviation of CLIP's embeddings", _RAIL,
        f"{_KARLO}/0b62380a75e56f073e2844ab5199153d/ViT-L-14_stats.th", size=7079,
        sha256="37113fd962c56652f7052c3182b922b958b7efc4be5072d3049cbbe1bdb0af79",
    ),
    "karlo-diffusers": _folder(
        "Karlo", "prior, decoder and super-resolution, diffusers' layout", _RAIL, "kakaobrain/karlo-v1-alpha",
        "prior", "decoder", "super_res_first", "super_res_last", ending="bin",
        about="about 13 GB",
    ),
    "kandinsky-2-1-prior": _hub(
        "Kandinsky 2.1", "prior", "Apache-2.0", "ai-forever/Kandinsky_2.1", "prior_fp16.ckpt",
        about="about 2.0 GB",
    ),
    "kandinsky-2-1-decoder": _hub(
        "Kandinsky 2.1", "decoder", "Apache-2.0", "ai-forever/Kandinsky_2.1", "decoder_fp16.ckpt",
        about="about 2.5 GB",
    ),
    "kandinsky-2-2-prior": _folder(
        "Kandinsky 2.2", "prior", "Apache-2.0", "kandinsky-community/kandinsky-2-2-prior", "prior",
        ending="safetensors", about="about 4.1 GB",
    ),
    "kandinsky-2-2-decoder": _folder(
        "Kandinsky 2.2", "decoder and MoVQ", "Apache-2.0", "kandinsky-community/kandinsky-2-2-decoder",
        "unet", "movq", ending="safetensors",
        about="about 5.3 GB",
    ),
    "dalle2-prior": _hub(
        "DALLE2-pytorch", "diffusion prior", "MIT", "laion/DALLE2-PyTorch", "prior/latest.pth", folder="dalle2-pytorch"
    ),
    "paella-v3": _hub(
        "Paella", "v3", "MIT", "dome272/Paella", "paella_v3.pt",
        about="about 4.0 GB",
    ),
    "paella-vqgan": _hub(
        "Paella", "v3's f4 VQGAN", "MIT", "dome272/Paella", "vqgan_f4.pt",
        about="about 74 MB",
    ),
    "paella-prior": _hub("Paella", "prior", "MIT", "dome272/Paella", "prior_v1.pt"),
    "rudalle-vqgan": _hub(
        "ruDALL-E", "Gumbel VQGAN f8", "Apache-2.0", "ai-forever/rudalle-utils", "vqgan.gumbelf8-sber.model.ckpt",
        about="about 0.3 GB",
    ),
    "dalle1-encoder": _one(
        "DALL·E", "dVAE, encoder: needs `models convert`", "MIT", "https://cdn.openai.com/dall-e/encoder.pkl",
        about="about 0.2 GB",
    ),
    "dalle1-decoder": _one(
        "DALL·E", "dVAE, decoder: needs `models convert`", "MIT", "https://cdn.openai.com/dall-e/decoder.pkl",
        about="about 0.2 GB",
    ),
    "ldm-text-to-image": _one(
        "Latent diffusion", "txt2img-1.4B with BERT", "MIT", f"{_LDM}/nitro/txt2img-f8-large/model.ckpt",
        name="ldm-txt2img-f8-large.ckpt",
        about="5.7 GB",
    ),
    **{
        f"ldm-{name}": _zipped(name, f"first stage {name}", about)
        for name, about in {
            "kl-f4": "0.2 GB", "kl-f8": "0.3 GB", "kl-f16": "0.3 GB", "kl-f32": "0.4 GB", "vq-f4": "0.2 GB",
            "vq-f4-noattn": "0.2 GB", "vq-f8": "0.3 GB", "vq-f8-n256": "0.3 GB", "vq-f16": "0.3 GB",
        }.items()
    },
    "ldm-celeba": _zipped("celeba", "unconditional, CelebA-HQ"),
    "ldm-ffhq": _zipped("ffhq", "unconditional, FFHQ"),
    "ldm-lsun-churches": _zipped("lsun_churches", "unconditional, LSUN churches"),
    "ldm-lsun-bedrooms": _zipped("lsun_bedrooms", "unconditional, LSUN bedrooms"),
    "ldm-super-resolution": _zipped("sr_bsr", "super-resolution by 4"),
    "ldm-layout": _zipped("layout2img_model", "from layouts"),
    "ldm-semantic": _zipped("semantic_synthesis256", "from segmentations"),
    "ldm-inpainting": _one(
        "Latent diffusion", "inpainting_big", "MIT", "https://heibox.uni-heidelberg.de/f/4d9ac7ea40c64582b7c9/?dl=1",
        name="ldm-inpainting-big.ckpt",
    ),
    "ldm-imagenet": _one(
        "Latent diffusion", "cin256-v2, class-conditional", "MIT", f"{_LDM}/nitro/cin/model.ckpt",
        name="ldm-cin256-v2.ckpt",
        about="about 1.7 GB",
    ),
    "stable-diffusion-1-4": _hub(
        "Stable Diffusion", "1.4, all parts", _RAIL, "CompVis/stable-diffusion-v-1-4-original", "sd-v1-4.ckpt",
        sha256="fe4efff1e174c627256e44ec2991ba279b3816e364b49f9be2abc0b3ff3f8556",
        about="4.3 GB",
    ),
    "stable-diffusion-1-5": _hub(
        "Stable Diffusion", "1.5, all parts", _RAIL, "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "v1-5-pruned-emaonly.safetensors", size=4265146304,
        sha256="6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa",
    ),
    "stable-diffusion-1-5-inpainting": _hub(
        "Stable Diffusion", "1.5, inpainting (9 channels)", _RAIL, "stable-diffusion-v1-5/stable-diffusion-inpainting",
        "sd-v1-5-inpainting.ckpt", about="4.3 GB",
    ),
    "stable-diffusion-2-1": _hub(
        "Stable Diffusion", "2.1, v-prediction, all parts", _RAIL_2, "stabilityai/stable-diffusion-2-1",
        "v2-1_768-ema-pruned.safetensors", about="5.2 GB",
    ),
    "stable-diffusion-2-1-base": _hub(
        "Stable Diffusion", "2.1 base, all parts", _RAIL_2, "stabilityai/stable-diffusion-2-1-base",
        "v2-1_512-ema-pruned.safetensors", about="5.2 GB",
    ),
    "stable-diffusion-2-inpainting": _hub(
        "Stable Diffusion", "2, inpainting (9 channels)", _RAIL_2, "stabilityai/stable-diffusion-2-inpainting",
        "512-inpainting-ema.safetensors", about="5.2 GB",
    ),
    "stable-diffusion-2-depth": _hub(
        "Stable Diffusion", "2, with depth (5 channels)", _RAIL_2, "stabilityai/stable-diffusion-2-depth",
        "512-depth-ema.safetensors", about="5.7 GB",
    ),
    "stable-diffusion-x4-upscaler": _hub(
        "Stable Diffusion", "upscaler by 4 (7 channels)", _RAIL_2, "stabilityai/stable-diffusion-x4-upscaler",
        "x4-upscaler-ema.safetensors", about="3.5 GB",
    ),
    "stable-unclip-l": _hub(
        "Stable unCLIP", "2.1, of ViT-L/14, with noise augmentation", _RAIL_2,
        "stabilityai/stable-diffusion-2-1-unclip", "sd21-unclip-l.ckpt", about="about 6 GB",
    ),
    "stable-unclip-h": _hub(
        "Stable unCLIP", "2.1, of ViT-H/14, with noise augmentation", _RAIL_2,
        "stabilityai/stable-diffusion-2-1-unclip", "sd21-unclip-h.ckpt", about="about 8 GB",
    ),
    "instruct-pix2pix": _hub(
        "InstructPix2Pix", "all parts (8 channels)", "MIT", "timbrooks/instruct-pix2pix",
        "instruct-pix2pix-00-22000.safetensors", about="7.7 GB",
    ),
    "stable-diffusion-text-encoder": _hub(
        "Stable Diffusion", "1.x's text encoder, CLIP ViT-L/14", "MIT", "openai/clip-vit-large-patch14",
        "config.json", "model.safetensors", folder="clip-vit-large-patch14", about="1.7 GB",
    ),
    "controlnet-canny": _hub(
        "ControlNet", "of edges, for Stable Diffusion 1.5", _RAIL, "lllyasviel/ControlNet-v1-1",
        "control_v11p_sd15_canny.pth", about="1.4 GB",
    ),
    "stable-diffusion-vae": _hub(
        "Stable Diffusion", "first stage, fine-tuned", "MIT", "stabilityai/sd-vae-ft-mse-original",
        "vae-ft-mse-840000-ema-pruned.safetensors",
        about="335 MB",
    ),
    "ip-adapter-sd15": _adapter("_sd15.safetensors", "base", "45 MB"),
    "ip-adapter-sd15-light": _adapter("_sd15_light_v11.bin", "base, of little weight", "45 MB"),
    "ip-adapter-plus-sd15": _adapter("-plus_sd15.safetensors", "plus", "98 MB"),
    "ip-adapter-plus-face-sd15": _adapter("-plus-face_sd15.safetensors", "plus-face", "98 MB"),
    "ip-adapter-full-face-sd15": _adapter("-full-face_sd15.safetensors", "full-face", "44 MB"),
    "ip-adapter-faceid-sd15": _adapter("-faceid_sd15.bin", "FaceID", "97 MB"),
    "ip-adapter-faceid-portrait-sd15": _adapter("-faceid-portrait_sd15.bin", "FaceID, portrait", "65 MB"),
    "ip-adapter-faceid-plusv2-sd15": _adapter("-faceid-plusv2_sd15.bin", "FaceID, plus v2", "157 MB"),
    "ip-adapter-image-encoder": _hub(
        "IP-Adapter", "CLIP ViT-H/14's image encoder", "Apache-2.0", "h94/IP-Adapter",
        "models/image_encoder/config.json", "models/image_encoder/model.safetensors", folder="ip-adapter",
        about="2.5 GB",
    ),
    "prompt-diffusion": _hub(
        "Prompt Diffusion", "control and its Stable Diffusion", "Apache-2.0", "zhendongw/prompt-diffusion",
        "network-step=04999.ckpt",
    ),
    "if-stage-1": _folder(
        "DeepFloyd IF", "stage I (M)", "DeepFloyd IF licence", "DeepFloyd/IF-I-M-v1.0", "unet", ending="safetensors",
        about="about 1.5 GB",
    ),
    "if-stage-2": _folder(
        "DeepFloyd IF", "stage II (M)", "DeepFloyd IF licence", "DeepFloyd/IF-II-M-v1.0", "unet", ending="safetensors",
        about="about 1.8 GB",
    ),
    "if-stage-1-l": _folder(
        "DeepFloyd IF", "stage I (L)", "DeepFloyd IF licence", "DeepFloyd/IF-I-L-v1.0", "unet", ending="safetensors"
    ),
    "if-stage-1-xl": _folder(
        "DeepFloyd IF", "stage I (XL)", "DeepFloyd IF licence", "DeepFloyd/IF-I-XL-v1.0", "unet",
        ending="safetensors", about="about 17 GB",
    ),
    "if-stage-2-l": _folder(
        "DeepFloyd IF", "stage II (L)", "DeepFloyd IF licence", "DeepFloyd/IF-II-L-v1.0", "unet", ending="safetensors"
    ),
    "t5-v1-1-xxl": _hub(
        "DeepFloyd IF", "T5 v1.1 XXL encoder and tokenizer", "Apache-2.0", "DeepFloyd/t5-v1_1-xxl", "config.json",
        "pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin",
        "spiece.model", folder="t5-v1_1-xxl", about="about 19 GB",
    ),
    "byt5-xl": _hub(
        "Paella", "ByT5 XL, v3's text encoder", "Apache-2.0", "google/byt5-xl", "config.json", "pytorch_model.bin",
        folder="byt5-xl", about="about 15 GB",
    ),
    "asyrp-smiling": _direction(
        "smiling", "CelebA_HQ", 3158863, "6694632ef848d12e595ec1291df734ef3e9850d94a08632f06dc8fdd459b7703"
    ),
    "asyrp-dog-happy": _direction(
        "dog_happy", "dog", 3163719, "acf73e28efe694f1950efca48b789c63c1cb7215354bbc82745b9f975ddb48ab"
    ),
    "ddpm-celebahq": _hub(
        "DDPM", "faces of 256 pixels, which Asyrp edits", "Apache-2.0", "google/ddpm-celebahq-256", "config.json",
        "diffusion_pytorch_model.safetensors", folder="ddpm-celebahq-256", about="455 MB",
    ),
    "clip-vit-b-32": _clip("ViT-B-32", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af", "354 MB"),
    "clip-vit-b-16": _clip("ViT-B-16", "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f", "351 MB"),
    "clip-vit-l-14": _clip("ViT-L-14", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836", "933 MB"),
    "clip-vit-l-14-336": _clip(
        "ViT-L-14-336px", "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02", "934 MB"
    ),
    "clip-vit-h-14": _laion("ViT-H/14", "CLIP-ViT-H-14-laion2B-s32B-b79K", "3.9 GB"),
    "clip-vit-g-14": _laion("ViT-g/14", "CLIP-ViT-g-14-laion2B-s34B-b88K", "5.5 GB"),
    "clip-vit-bigg-14": _laion("ViT-bigG/14", "CLIP-ViT-bigG-14-laion2B-39B-b160k", "10.2 GB"),
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
