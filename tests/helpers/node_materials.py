"""Materials that examples of nodes are made of: tiny real models with random weights, and inputs for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from glidewire.diffusion.denoiser import Denoiser, Leaf
from glidewire.diffusion.quantization import PrincipalComponents
from glidewire.diffusion.schedules import NoiseSchedule, squared_cosine
from glidewire.graph_runtime.context import Context
from glidewire.graph_runtime.folders import Folders
from glidewire.models.asyrp import checkpoint as asyrp_checkpoint
from glidewire.models.asyrp.edit import WeightedDirections, load_directions, mean_directions
from glidewire.models.asyrp.spec import DeltaBlockSpec, PixelUnetSpec
from glidewire.models.autoregressive_prior import checkpoint as autoregressive_checkpoint
from glidewire.models.autoregressive_prior.model import AutoregressivePriorModel
from glidewire.models.autoregressive_prior.spec import AutoregressivePriorSpec
from glidewire.models.checkpoint import load, save_published
from glidewire.models.clip import checkpoint as clip_checkpoint
from glidewire.models.clip.image_encoder import ImageEncoder
from glidewire.models.clip.model import ClipModel
from glidewire.models.clip.spec import ClipImageSpec, ClipSpec
from glidewire.models.clip.tokenizer import ClipTokenizer
from glidewire.models.clip_text import checkpoint as clip_text_checkpoint
from glidewire.models.clip_text.spec import ClipTextSpec
from glidewire.models.controlnet import checkpoint as controlnet_checkpoint
from glidewire.models.controlnet.model import ControlModel, load_control
from glidewire.models.controlnet.spec import ControlNetSpec
from glidewire.models.dalle2_pytorch import checkpoint as laion_checkpoint
from glidewire.models.dalle2_pytorch.model import LaionPriorModel
from glidewire.models.dalle2_pytorch.spec import DiffusionPriorSpec
from glidewire.models.first_stage import checkpoint as first_stage_checkpoint
from glidewire.models.first_stage.model import SPACE, Autoencoder, load_autoencoder
from glidewire.models.first_stage.spec import FirstStageSpec
from glidewire.models.glide import checkpoint as glide_checkpoint
from glidewire.models.glide.model import GlideModel
from glidewire.models.glide.network import GlideTextToImage
from glidewire.models.glide.spec import GlideSpec
from glidewire.models.glide.tokenizer import GlideTokenizer
from glidewire.models.imagen import checkpoint as imagen_checkpoint
from glidewire.models.imagen.model import ImagenModel, T5TextEncoder, load_stage, load_t5
from glidewire.models.imagen.spec import ImagenSpec
from glidewire.models.imagen.t5 import T5Spec
from glidewire.models.ip_adapter import checkpoint as ip_adapter_checkpoint
from glidewire.models.ip_adapter.model import AdapterModel, load_adapter
from glidewire.models.ip_adapter.spec import IpAdapterSpec
from glidewire.models.ldm import bert, layout
from glidewire.models.ldm.boxes import BoxEncoder, load_box_encoder
from glidewire.models.ldm.condition import ClassEmbedder, SpatialRescaler
from glidewire.models.ldm.model import LatentModel, load_denoiser
from glidewire.models.ldm.network import LatentDenoiser
from glidewire.models.ldm.spec import UnetSpec
from glidewire.models.ldm.text import TextEncoder, load_clip_text
from glidewire.models.noised_clip import checkpoint as noised_clip_checkpoint
from glidewire.models.noised_clip.model import NoisedClip, load_noised_clip
from glidewire.models.noised_clip.spec import NoisedImageSpec, NoisedTextSpec
from glidewire.models.paella import checkpoint as paella_checkpoint
from glidewire.models.paella.byt5 import ByT5, load_byt5
from glidewire.models.paella.model import PaellaModel
from glidewire.models.paella.spec import PaellaV1Spec, PaellaV3Spec, VqganSpec
from glidewire.models.paella.token_autoencoder import TokenAutoencoder
from glidewire.models.unclip import checkpoint as unclip_checkpoint
from glidewire.models.unclip.model import DecoderModel, PriorModel
from glidewire.models.unclip.spec import DecoderSpec, PriorSpec, UpsamplerSpec
from glidewire.models.unclip.upsampling import UpsamplerModel
from glidewire.nodes.adapter_sockets import ImagePrompt
from glidewire.nodes.clip_sockets import ClipText
from glidewire.nodes.components import Components
from glidewire.nodes.sockets import PIXELS, Condition, Sample, Start
from glidewire.nodes.token_sockets import Embedding, Tokens
from PIL import Image as PillowImage
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers import models as token_models
from torch import Tensor

CODEBOOK, CLIP = "tiny codebook", "tiny CLIP"
STEPS = 4
SIDE = 16
LATENT_SPACE = "tiny latents"
"""What the tiny autoencoder and the tiny latent denoisers call their space."""


def randomised(network: Any, seed: int = 0, scale: float = 0.1) -> Any:
    """A network, frozen, with random weights everywhere, its zero-initialised layers too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
    return network.eval().requires_grad_(False)


@dataclass(frozen=True)
class Materials:
    """What examples are made of: a folder of files, and tiny models with random weights.

    Args:
        folder: The folder of models, inputs and results.
    """

    folder: Path

    @property
    def context(self) -> Context:
        """What a node is run with."""
        return Context(folders=Folders(models=(self.folder,), input=(self.folder,), output=self.folder / "output"))

    @cached_property
    def glide(self) -> GlideModel:
        """A GLIDE base model of a few thousand weights."""
        return self.glide_variant("base")

    def glide_variant(self, variant: Any) -> GlideModel:
        """One of GLIDE's variants, of a few thousand weights."""
        words = GlideTokenizer.train(["a red cube left of a blue sphere", "a small green cone"], 300)
        spec = GlideSpec(
            variant=variant, image_size=SIDE, model_channels=16, channel_mult=(1, 2), num_res_blocks=1,
            num_head_channels=16, attention_resolutions=(8,), text_context=8, text_width=16, text_layers=1,
            text_heads=2, vocabulary_size=words.vocabulary_size, norm_groups=8,
        )  # fmt: skip
        return GlideModel(randomised(GlideTextToImage(spec)), words)

    @cached_property
    def checkpoint(self) -> str:
        """That model as a file in the models folder."""
        glide_checkpoint.save(self.glide.network, self.folder / "tiny.safetensors", merges=self.glide.tokenizer)
        return "tiny.safetensors"

    def saved(self, name: str, room: Any, spec: Any, key_map: Any = None, **metadata: str) -> str:
        """A network with random weights as a file in the models folder; its name."""
        network = randomised(room.build(spec))
        save_published(network, (key_map or room.key_map)(spec), self.folder / name, metadata=metadata)
        return name

    @cached_property
    def noised_clip_files(self) -> dict[str, str]:
        """Both towers of a tiny noised CLIP."""
        image = NoisedImageSpec(SIDE, patch_size=8, width=8, layers=1, heads=1, mlp_width=16, embedding_width=6)
        text = NoisedTextSpec(8, vocabulary_size=49408, width=8, layers=1, heads=1, mlp_width=16, embedding_width=6)
        return {
            "image_encoder": self.saved("clip_image.safetensors", noised_clip_checkpoint, image),
            "text_encoder": self.saved("clip_text.safetensors", noised_clip_checkpoint, text),
        }

    @cached_property
    def noised_clip(self) -> NoisedClip:
        """A tiny noised CLIP."""
        return load_noised_clip(*(self.folder / name for name in self.noised_clip_files.values()))

    @cached_property
    def autoencoder_file(self) -> str:
        """A tiny KL autoencoder that halves the sides."""
        spec = FirstStageSpec(channels=32, channel_mult=(1, 1), num_res_blocks=1, latent_scale=1.0)
        return self.saved("tiny_kl.safetensors", first_stage_checkpoint, spec, **{SPACE: LATENT_SPACE})

    @cached_property
    def autoencoder(self) -> Autoencoder:
        """That autoencoder."""
        return load_autoencoder(self.folder / self.autoencoder_file)

    def latent_file(self, in_channels: int = 4, context_width: int = 8, out_channels: int = 4, classes: int = 0) -> str:
        """A tiny latent denoiser; one of 9 input channels, or of 7 and 3, is for inpainting."""
        spec = UnetSpec(
            in_channels=in_channels, out_channels=out_channels, model_channels=32, channel_mult=(1, 1),
            num_res_blocks=1, attention_levels=(1,), context_width=context_width,
            num_heads=8 if context_width else 0, num_head_channels=0 if context_width else 32, classes=classes,
        )  # fmt: skip
        name = f"tiny_latent_{in_channels}_{context_width}_{out_channels}_{classes}.safetensors"
        network = randomised(LatentDenoiser(spec))
        save_published(network, layout.key_map(spec), self.folder / name, metadata={SPACE: LATENT_SPACE})
        return name

    def latent_model(
        self, in_channels: int = 4, context_width: int = 8, out_channels: int = 4, classes: int = 0
    ) -> LatentModel:
        """That denoiser."""
        return load_denoiser(self.folder / self.latent_file(in_channels, context_width, out_channels, classes))

    @cached_property
    def clip_text_file(self) -> str:
        """A tiny CLIP text encoder, with CLIP's vocabulary."""
        spec = ClipTextSpec(positions=8, width=8, layers=1, heads=1, mlp_width=16)
        return self.saved("tiny_clip_text.safetensors", clip_text_checkpoint, spec)

    @cached_property
    def text_encoder(self) -> TextEncoder:
        """That encoder."""
        return load_clip_text(self.folder / self.clip_text_file)

    @cached_property
    def bert_files(self) -> dict[str, str]:
        """A tiny BERT of latent diffusion, and its vocabulary."""
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "cube"]
        (self.folder / "vocab.txt").write_text("\n".join(words))
        spec = bert.BertSpec(len(words), positions=8, width=8, layers=1, attention_width=8)
        save_published(randomised(bert.Bert(spec)), bert.key_map(spec), self.folder / "tiny_bert.st", metadata={})
        return {"checkpoint": "tiny_bert.st", "vocabulary": "vocab.txt"}

    @cached_property
    def class_file(self) -> str:
        """A class embedding of 4 classes and none, inside of a checkpoint."""
        weight = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
        save_file({"cond_stage_model.embedding.weight": weight}, self.folder / "tiny_classes.safetensors")
        return "tiny_classes.safetensors"

    @cached_property
    def classes(self) -> ClassEmbedder:
        """That embedding."""
        loaded: Any = load(self.folder / self.class_file, component="class_embedder")
        return loaded

    @cached_property
    def box_file(self) -> str:
        """A tiny encoder of layouts: two boxes and the crop, of 8 classes."""
        spec = bert.BertSpec(64, positions=8, width=8, layers=1, attention_width=8)
        save_published(randomised(bert.Bert(spec)), bert.key_map(spec), self.folder / "tiny_boxes.st", metadata={})
        return "tiny_boxes.st"

    @cached_property
    def boxes(self) -> BoxEncoder:
        """That encoder."""
        return load_box_encoder(self.folder / self.box_file)

    @cached_property
    def segmentation_file(self) -> str:
        """An encoder of segmentations of 8 classes, inside of a checkpoint."""
        weight = torch.randn(3, 8, 1, 1, generator=torch.Generator().manual_seed(0))
        save_file({"cond_stage_model.channel_mapper.weight": weight}, self.folder / "tiny_classes_map.safetensors")
        return "tiny_classes_map.safetensors"

    @cached_property
    def segmentations(self) -> SpatialRescaler:
        """That encoder."""
        loaded: Any = load(self.folder / self.segmentation_file, component="segmentation_encoder")
        return loaded

    def classes_picture(self) -> Tensor:
        """A segmentation "1 side side 3" of 8 classes in its red channel."""
        ids = torch.randint(8, (1, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
        return (ids.float() / 255)[..., None].repeat(1, 1, 1, 3)

    @cached_property
    def unclip_upsampler(self) -> UpsamplerModel:
        """An upsampler with a network of its own for the last step."""
        spec = UpsamplerSpec(model_channels=32, channel_mult=(1, 2), num_res_blocks=1)
        first, last = (randomised(unclip_checkpoint.build(spec), seed) for seed in (0, 1))
        return UpsamplerModel(first, last)

    @cached_property
    def autoregressive_prior(self) -> AutoregressivePriorModel:
        """An autoregressive prior over the tiny CLIP, fitted to random embeddings."""
        spec = AutoregressivePriorSpec(
            embedding_width=8, kept=4, buckets=12, dot_buckets=4, text_positions=6, text_width=12, width=32, layers=1,
            heads=2, mlp_width=32,
        )  # fmt: skip
        network: Any = autoregressive_checkpoint.build(spec).eval().requires_grad_(False)
        network.initialise(0)
        network.codec.fit(self.embedding(40).tensor, self.embedding(40, 6).tensor)
        return AutoregressivePriorModel(network, CLIP)

    @cached_property
    def autoregressive_prior_file(self) -> str:
        """That prior as a file that tells its CLIP."""
        path = self.folder / "autoregressive.safetensors"
        autoregressive_checkpoint.save(self.autoregressive_prior.network, path, metadata={"glidewire.clip": CLIP})
        return path.name

    @cached_property
    def laion_prior(self) -> LaionPriorModel:
        """A prior of DALLE2-pytorch's form, for embeddings and states of 8."""
        spec = DiffusionPriorSpec(
            width=8, layers=1, heads=2, head_channels=4, mlp_width=16, text_positions=8, rotary_channels=4
        )
        network = randomised(laion_checkpoint.build(spec), scale=0.3)
        network.space = CLIP
        return LaionPriorModel(network)

    @cached_property
    def laion_prior_file(self) -> str:
        """That prior as a file in the models folder."""
        network = self.laion_prior.network
        save_published(network, laion_checkpoint.key_map(network.spec), self.folder / "laion.safetensors", metadata={})
        return "laion.safetensors"

    def wide_clip_text(self) -> ClipText:
        """A text whose states are as wide as its embedding, as OpenAI's ViT-L/14 has them."""
        found = self.clip_text()
        return ClipText(found.tensor[..., :8].contiguous(), found.embedding, found.mask, CLIP)

    def laion_denoiser(self) -> Leaf:
        """That prior under no text."""
        network = self.laion_prior.network
        return Leaf(network, network.conditioning(self.embedding(1, 6).tensor))

    def components(self) -> Components:
        """Principal components of random embeddings of 8, 5 of them kept."""
        found = PrincipalComponents.fit(self.embedding(12).tensor, 5)
        return Components(found.basis, found.mean, found.eigenvalues, CLIP)

    @cached_property
    def byt5_file(self) -> str:
        """A tiny ByT5 encoder."""
        spec = T5Spec(384, 12, layers=1, heads=2, head_channels=4, hidden_width=16)
        return self.saved("byt5.safetensors", imagen_checkpoint, spec)

    @cached_property
    def byt5(self) -> ByT5:
        """That encoder."""
        return load_byt5(self.folder / self.byt5_file)

    @cached_property
    def paella_v3(self) -> PaellaModel:
        """A predictor of the third generation, of 32 codes."""
        spec = PaellaV3Spec(
            codes=32, in_channels=16, out_channels=16, time_channels=8, context_width=16, widths=(16,), heads=(4,),
            blocks=(1,), programs=("CTA",), clip_width=8, byt5_width=12,
        )  # fmt: skip
        network = randomised(paella_checkpoint.build(spec), scale=0.3)
        network.space = CODEBOOK
        return PaellaModel(network, CLIP)

    def mask(self, height: int = SIDE, width: int = SIDE) -> Tensor:
        """A mask "1 height width" whose right half is repainted."""
        return (torch.arange(width) >= width // 2).float().expand(1, height, width).contiguous()

    def latents(self) -> Sample:
        """Latents of a picture of the usual side."""
        noise = torch.randn(1, 4, SIDE // 2, SIDE // 2, generator=torch.Generator().manual_seed(4))
        return Sample(noise, LATENT_SPACE)

    def latent_text(self) -> Condition:
        """A prompt encoded for latent denoisers."""
        return Condition(self.text_encoder.encode_prompt("a red cube")[0])

    def upsampler(self) -> Denoiser:
        """The tiny upsampler with a small picture."""
        low_res = self.pixels(1, 8).clamp(-1, 1)
        return Leaf(self.glide_variant("upsample").network, {**self.text().tensors, "low_res": low_res})

    @cached_property
    def paella(self) -> PaellaModel:
        """A token predictor of 32 codes under vectors of 8."""
        network = paella_checkpoint.build(PaellaV1Spec(32, 16, 8, 64, (1, 2), (2, 1)))
        network.space = CODEBOOK
        return PaellaModel(randomised(network, scale=0.3), CLIP)

    @cached_property
    def token_autoencoder(self) -> TokenAutoencoder:
        """A first stage of 32 codes, 4 pixels a token."""
        return TokenAutoencoder(
            randomised(paella_checkpoint.build(VqganSpec(2, 1, 16, 4, 32, 0.5)), scale=0.3), CODEBOOK
        )

    def paella_file(self, network: Any) -> str:
        """One of these as a file in the models folder."""
        name = f"{type(network).__name__}.safetensors"
        save_published(network, paella_checkpoint.key_map(network.spec), self.folder / name, metadata={})
        return name

    def tokens(self, batch: int = 1, codebook: str = "") -> Tokens:
        """Tokens "batch 4 4"."""
        drawn = torch.randint(32, (batch, 4, 4), generator=torch.Generator().manual_seed(4))
        return Tokens(drawn, codebook or CODEBOOK)

    def embedding(self, batch: int = 1, seed: int = 5) -> Embedding:
        """Vectors "batch 8" of a CLIP."""
        return Embedding(torch.randn(batch, 8, generator=torch.Generator().manual_seed(seed)), CLIP)

    def token_denoiser(self, seed: int = 5) -> Leaf:
        """The tiny predictor under a vector."""
        return Leaf(self.paella.network, {"clip": self.embedding(seed=seed).tensor})

    @cached_property
    def clip(self) -> ClipModel:
        """Both towers of a tiny CLIP with embeddings of 8."""
        text = ClipTextSpec(
            positions=8, width=12, layers=1, heads=1, mlp_width=24, projection=8, quick_gelu=False, padding=0
        )
        spec = ClipSpec(ClipImageSpec(8, 4, 12, 1, 1, 24, False, 8), text)
        return ClipModel(randomised(clip_checkpoint.build(spec), scale=0.3), ClipTokenizer(), CLIP)

    @cached_property
    def clip_file(self) -> str:
        """That CLIP as a file in the models folder."""
        network = self.clip.network
        save_published(network, clip_checkpoint.key_map(network.spec), self.folder / "clip.safetensors", metadata={})
        return "clip.safetensors"

    @cached_property
    def image_encoder(self) -> ImageEncoder:
        """The tiny CLIP's image tower: embeddings of 8, states of 12."""
        return ImageEncoder(self.clip.network.image, "clip.safetensors")

    @cached_property
    def ip_adapter_file(self) -> str:
        """An adapter of the tiny latent denoiser, which takes the tiny CLIP's embeddings."""
        spec = IpAdapterSpec(tokens=2, image_width=8, context_width=8, channels=(32,) * 4)
        return self.saved("tiny_ip_adapter.safetensors", ip_adapter_checkpoint, spec)

    @cached_property
    def ip_adapter(self) -> AdapterModel:
        """That adapter."""
        return load_adapter(self.folder / self.ip_adapter_file)

    @cached_property
    def face_adapter(self) -> AdapterModel:
        """One of faces with embeddings of 6."""
        spec = IpAdapterSpec("face", 2, 0, 6, 8, (32,) * 4, lora_rank=2)
        return AdapterModel(randomised(ip_adapter_checkpoint.build(spec)), "tiny_face.safetensors")

    @cached_property
    def face_file(self) -> str:
        """A face's embedding of unit length, as a file in the input folder."""
        save_file({"face": torch.eye(6)[:2].contiguous()}, self.folder / "face.safetensors")
        return "face.safetensors"

    def image_prompt(self, seed: int = 5) -> ImagePrompt:
        """A picture as the tiny adapter's tokens."""
        picture = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed)).clamp(-1, 1)
        return ImagePrompt(self.ip_adapter.tokens(self.image_encoder, picture)[0], self.ip_adapter.file)

    @cached_property
    def image_prompt_file(self) -> str:
        """A saved image prompt in the input folder."""
        prompt = self.image_prompt()
        metadata = {"glidewire.adapter": prompt.adapter}
        save_file({"tokens": prompt.tensor}, self.folder / "prompt.safetensors", metadata=metadata)
        return "prompt.safetensors"

    def control_file(self, query_channels: int = 0) -> str:
        """A control network of the tiny latent denoiser, by a picture or by a pair and a query."""
        spec = ControlNetSpec(
            model_channels=32, channel_mult=(1, 1), num_res_blocks=1, attention_levels=(1,), context_width=8,
            num_heads=8, hint_channels=6 if query_channels else 3, query_channels=query_channels,
        )  # fmt: skip
        return self.saved(f"tiny_control_{query_channels}.safetensors", controlnet_checkpoint, spec)

    def control(self, query_channels: int = 0) -> ControlModel:
        """That control network."""
        return load_control(self.folder / self.control_file(query_channels))

    @cached_property
    def pixel_file(self) -> str:
        """A tiny DDPM."""
        spec = PixelUnetSpec(model_channels=32, channel_mult=(1, 1), num_res_blocks=1, attention_levels=(1,))
        return self.saved("tiny_ddpm.safetensors", asyrp_checkpoint, spec)

    def direction_file(self, channels: int = 32, directions: int = 1) -> str:
        """Directions in a bottleneck of so many channels, with the tiny GLIDE's time embedding."""
        spec = DeltaBlockSpec(directions=directions, channels=channels, embedding_width=64)
        return self.saved(f"tiny_direction_{channels}_{directions}.safetensors", asyrp_checkpoint, spec)

    def direction(self, **sizes: int) -> WeightedDirections:
        """One of these."""
        return load_directions(self.folder / self.direction_file(**sizes))

    def mean_direction(self) -> WeightedDirections:
        """Tensors at two timesteps, for the tiny GLIDE's bottleneck at 16 pixels."""
        found = {step: torch.randn(2, 32, 8, 8, generator=torch.Generator().manual_seed(step)) for step in (100, 700)}
        return mean_directions(found, "mean", of_all_timesteps=False)

    @cached_property
    def t5_files(self) -> dict[str, str]:
        """A tiny T5 encoder, and its vocabulary."""
        pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), ("\u2581red", -3.0), ("r", -5.0)]
        words = Tokenizer(token_models.Unigram(pieces, 2, False))
        words.save(str(self.folder / "t5_words.json"))
        spec = T5Spec(8, 64, 1, 2, 4, 16, buckets=4)
        checkpoint = self.saved("tiny_t5.safetensors", imagen_checkpoint, spec)
        return {"checkpoint": checkpoint, "vocabulary": "t5_words.json"}

    @cached_property
    def t5(self) -> T5TextEncoder:
        """That encoder."""
        files = self.t5_files
        return load_t5(self.folder / files["checkpoint"], self.folder / files["vocabulary"])

    def t5_text(self, prompt: str = "red") -> Condition:
        """A text as that encoder's states."""
        return Condition(self.t5.encode_prompt(prompt)[0])

    def imagen_file(self, upsampler: bool = False) -> str:
        """A tiny stage of a cascade."""
        spec = ImagenSpec(
            upsampler=upsampler, in_channels=6 if upsampler else 3, model_channels=64, channel_mult=(1, 1),
            num_res_blocks=(1, 1), attention_levels=(1,), text_width=64, context_width=32, time_width=32,
            self_attention=not upsampler, residual_scale=1 / 0.7071 if upsampler else 1.0,
        )  # fmt: skip
        return self.saved(f"tiny_imagen_{upsampler}.safetensors", imagen_checkpoint, spec)

    def imagen(self, upsampler: bool = False) -> ImagenModel:
        """That stage."""
        return load_stage(self.folder / self.imagen_file(upsampler))

    def latent_denoiser(self, prompt: str = "a red cube") -> Leaf:
        """The tiny latent denoiser under a prompt."""
        return Leaf(self.latent_model().network, self.text_encoder.encode_prompt(prompt)[0])

    @cached_property
    def unclip_prior(self) -> PriorModel:
        """A diffusion prior over the tiny CLIP."""
        spec = PriorSpec(32, 1, 32, text_context=8, text_width=12, embedding_width=8, carries_statistics=True)
        network = randomised(unclip_checkpoint.build(spec), scale=0.3)
        network.space = CLIP
        return PriorModel(network)

    @cached_property
    def unclip_decoder(self) -> DecoderModel:
        """A decoder of Karlo's form over the tiny CLIP."""
        spec = DecoderSpec(
            model_channels=32, channel_mult=(1, 2), num_res_blocks=1, attention_levels=(1,),
            context_width=6, image_tokens=2, embedding_width=8, text_width=12, pooled_width=8,
        )  # fmt: skip
        return DecoderModel(randomised(unclip_checkpoint.build(spec)), CLIP)

    def unclip_file(self, network: Any, layout: str = "diffusers") -> str:
        """One of these as a file in the models folder."""
        name = f"{type(network).__name__}-{layout}.safetensors"
        names = unclip_checkpoint.key_map(network.spec, layout)
        save_published(network, names, self.folder / name, metadata={})
        return name

    def clip_text(self, prompt: str = "a red cube") -> ClipText:
        """A text as the tiny CLIP encodes it."""
        found, _ = self.clip.encode_prompt(prompt)
        return ClipText(found["text_states"], found["text_embedding"], found["text_mask"], CLIP)

    def prior_denoiser(self, prompt: str = "a red cube") -> Leaf:
        """The tiny prior under a text."""
        text = self.clip.encode_prompt(prompt)[0]
        return Leaf(self.unclip_prior.network, text)

    @cached_property
    def picture_file(self) -> str:
        """A small picture with transparency, as a file in the input folder."""
        levels = (self.picture(1, 5, 7)[0] * 255).to(torch.uint8).numpy()
        picture = PillowImage.fromarray(levels)
        picture.putalpha(128)
        picture.save(self.folder / "picture.png")
        return "picture.png"

    def picture(self, batch: int = 2, height: int = SIDE, width: int = SIDE, seed: int = 1) -> Tensor:
        """Pictures "batch height width 3"."""
        return torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(seed))

    def pixels(self, batch: int = 1, side: int = SIDE, seed: int = 2) -> Tensor:
        """Noise "batch 3 side side"."""
        return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))

    def sample(self, batch: int = 1) -> Sample:
        """A pixel-space sample."""
        return Sample(self.pixels(batch).clamp(-1, 1), PIXELS)

    def start(self, batch: int = 1) -> Start:
        """Pure noise in pixel space."""
        return Start(self.pixels(batch), PIXELS, seeds=(3,) * batch)

    def text(self, prompt: str = "a red cube") -> Condition:
        """An encoded prompt."""
        return Condition(self.glide.encode_prompt(prompt)[0])

    def denoiser(self, prompt: str = "a red cube") -> Denoiser:
        """The tiny model under a prompt."""
        return Leaf(self.glide.network, self.text(prompt).tensors)

    @cached_property
    def schedule(self) -> NoiseSchedule:
        """A schedule of a few steps."""
        return squared_cosine(STEPS)
