"""Write docs/checkpoints.md from the tests' own output.

    GLIDEWIRE_PARITY_REPORT=report python -m pytest -n auto && python docs/make_checkpoints.py report GOLDEN

Every comparison with golden data leaves its case, output, error and tolerance in the report folder; this joins them
with the table below and keeps, for each case, the output that comes closest to its tolerance. GOLDEN is the folder of
golden data: an output in it that no test compared must stand in NOT_COMPARED with its reason.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import safe_open


class Row(NamedTuple):
    """One golden case: whose checkpoint it stands for, and which network computes it."""

    family: str
    files: str
    network: str
    parameters: str = ""


_UNET = "diffusers `UNet2DConditionModel`"
CASES: dict[str, Row] = {
    "glide_base": Row("GLIDE", "base.pt", f"{_UNET} + our text transformer", "385.0 M"),
    "glide_base_inpaint": Row("GLIDE", "base_inpaint.pt", f"{_UNET} + our text transformer", "385.0 M"),
    "glide_upsample": Row("GLIDE", "upsample.pt", f"{_UNET} + our text transformer", "398.4 M"),
    "glide_upsample_inpaint": Row("GLIDE", "upsample_inpaint.pt", f"{_UNET} + our text transformer", "398.4 M"),
    "glide_noised_clip": Row("GLIDE", "clip_image_enc.pt, clip_text_enc.pt", "open_clip towers", "86.4 M + 71.7 M"),
    "glide_tokenizer": Row("GLIDE", "GPT-2 and CLIP vocabularies", "tokenizers; open_clip"),
    "glide_sampling": Row("GLIDE", "sampling, guidance, inpainting", "`diffusion/`"),
    "karlo_prior": Row("Karlo (unCLIP)", "prior, original", "diffusers `PriorTransformer`", "1,022 M"),
    "karlo_prior_diffusers": Row("Karlo (unCLIP)", "prior, diffusers", "diffusers `PriorTransformer`", "1,022 M"),
    "karlo_decoder": Row("Karlo (unCLIP)", "decoder, original", f"{_UNET} + our projections", "893 M"),
    "karlo_decoder_diffusers": Row("Karlo (unCLIP)", "decoder, diffusers", f"{_UNET} + our projections", "893 M"),
    "karlo_sr": Row("Karlo (unCLIP)", "super-resolution, original", "2 × diffusers `UNet2DModel`", "2 × 692 M"),
    "karlo_sr_diffusers": Row("Karlo (unCLIP)", "super-resolution, diffusers", "2 × diffusers `UNet2DModel`"),
    "kandinsky21_prior": Row("Kandinsky 2.1", "prior_fp16.ckpt", "diffusers `PriorTransformer`", "1,022 M"),
    "kandinsky21_decoder": Row("Kandinsky 2.1", "decoder_fp16.ckpt", f"{_UNET} + our projections", "1,229 M"),
    "kandinsky21_decoder_diffusers": Row("Kandinsky 2.1", "decoder, diffusers", _UNET, "1,229 M"),
    "kandinsky22_prior": Row("Kandinsky 2.2", "prior, diffusers", "diffusers `PriorTransformer`", "1,026 M"),
    "kandinsky22_decoder": Row("Kandinsky 2.2", "decoder, diffusers", _UNET, "1,253 M"),
    "dalle2_prior": Row("DALLE2-pytorch", "prior/latest.pth", "ours"),
    "unclip_ar_prior": Row("unCLIP", "autoregressive prior (never published)", "ours"),
    "paella_v1_unet": Row("Paella", "v1 predictor", "ours", "578 M"),
    "paella_v1_sampling": Row("Paella", "v1 sampling", "`diffusion/`"),
    "paella_typical_filter": Row("Paella", "locally typical filter", "`diffusion/`"),
    "paella_v3_unet": Row("Paella", "paella_v3.pt", "ours", "1,008 M"),
    "paella_v3_vqgan": Row("Paella", "vqgan_f4.pt", "ours", "18.4 M"),
    "paella_v3_sampling": Row("Paella", "v3 sampling", "`diffusion/`"),
    "paella_prior": Row("Paella", "prior_v1.pt", "ours"),
    "rudalle_gumbel_vq": Row("ruDALL-E", "vqgan.gumbelf8-sber.model.ckpt", "diffusers encoder and decoder", "69.0 M"),
    "dalle1_dvae": Row("DALL·E", "dVAE encoder and decoder", "ours", "97.6 M"),
    **{
        f"kl_{name}": Row("Latent diffusion", f"kl-{name.replace('_', ', ')}", "diffusers `AutoencoderKL` blocks", size)
        for name, size in {
            "f4": "55.3 M", "f8": "83.7 M", "f8_groups32": "83.7 M", "f16": "69.6 M", "f32": "103.9 M",
        }.items()
    },
    **{
        f"vq_{name}": Row("Latent diffusion", f"vq-{name.replace('_', '-')}", "diffusers `VQModel` blocks", size)
        for name, size in {
            "f4": "55.3 M", "f4_noattn": "53.2 M", "f8": "67.7 M", "f8_n256": "67.7 M", "f16": "69.6 M",
        }.items()
    },
    "ldm_unet_crossattn": Row("Latent diffusion", "Stable Diffusion 1.x, 2.x; txt2img-1.4B", _UNET, "860 M (SD 1.x)"),
    "ldm_unet_inpaint7": Row("Latent diffusion", "inpainting_big", "diffusers U-Net blocks"),
    "ldm_unet_class": Row("Latent diffusion", "cin256-v2, with its class embedder", _UNET),
    "ldm_unet_uncond": Row("Latent diffusion", "celebahq, ffhq, lsun ...", "diffusers `UNet2DModel`"),
    "ldm_unet_scale_shift": Row("Latent diffusion", "lsun_churches", "diffusers U-Net blocks"),
    "ldm_bert": Row("Latent diffusion", "BERT of txt2img-1.4B", "ours", "582 M"),
    "ldm_schedules": Row("Latent diffusion", "schedules, DDIM and PLMS", "`diffusion/`"),
    "if_stage1": Row("DeepFloyd IF", "stage I, original", _UNET),
    "if_stage1_diffusers": Row("DeepFloyd IF", "stage I, diffusers", _UNET),
    "if_stage2": Row("DeepFloyd IF", "stage II, original", _UNET),
    "if_stage2_diffusers": Row("DeepFloyd IF", "stage II, diffusers", _UNET),
    "if_dynamic_threshold": Row("DeepFloyd IF", "dynamic thresholding", "`diffusion/`"),
    "ip_adapter_base": Row("IP-Adapter", "base", "view over a frozen U-Net"),
    "ip_adapter_plus": Row("IP-Adapter", "plus, plus-face", "view over a frozen U-Net"),
    "ip_adapter_full": Row("IP-Adapter", "full-face", "view over a frozen U-Net"),
    "ip_adapter_faceid": Row("IP-Adapter", "FaceID, plus v2", "view over a frozen U-Net"),
    "prompt_diffusion": Row("Prompt Diffusion", "network-step=04999.ckpt", "ours on diffusers blocks", "362 M control"),
    "controlnet_plain": Row("ControlNet", "plain", "ours on diffusers blocks"),
    "asyrp_delta_layouts": Row("Asyrp", "Δh, both layouts", "ours", "0.8 M"),
    "asyrp_unet": Row("Asyrp", "DDPM U-Net", "diffusers `UNet2DModel`"),
    "asyrp_unet_guided": Row("Asyrp", "guided U-Net", "diffusers `UNet2DModel`"),
    "asyrp_trajectory": Row("Asyrp", "asymmetric DDIM", "`diffusion/`"),
    "asyrp_t_edit": Row("Asyrp", "t_edit and t_boost", "`diffusion/`"),
    "maskgit_decode_original": Row("MaskGIT", "decoding", "`diffusion/`"),
    "maskgit_step": Row("aMUSEd", "scheduler step", "`diffusion/`"),
    "halton_order": Row("Halton-MaskGIT", "order", "`diffusion/`"),
    "guidance_formulas": Row("Guidance", "formulas of the papers", "`diffusion/`"),
    "guidance_diffusers": Row("Guidance", "diffusers' guiders", "`diffusion/`"),
    "prompt_weights": Row("Prompt weights", "ComfyUI's and AUTOMATIC1111's", "`diffusion/`"),
    "prompt_to_prompt": Row("Prompt-to-prompt", "mappers, edits, local blend", "`diffusion/`"),
    "glide_schedules": Row("Schedules", "GLIDE's schedules and respacing", "`diffusion/`"),
    "analytic_oracle": Row("Oracle", "exact Gaussian mixture", "`diffusion/`"),
}  # fmt: skip

# Outputs that no test compares within a tolerance, and why.
_AS_LISTS = "whole numbers, which the tests compare as lists"
_ON_THE_WAY = "a value on the way to outputs that are compared"
_ANOTHER_BASE = (
    "adds the update to the unconditional prediction; ours to the conditional, as the paper's algorithm does"
)
NOT_COMPARED: dict[str, str] = {
    "*/steps_kept": "says which steps the golden run kept; the tests read it",
    "glide_schedules/*/timesteps": _AS_LISTS,
    "analytic_oracle/*/timesteps": _AS_LISTS,
    "dalle2_prior/sample_times": _AS_LISTS,
    "glide_tokenizer/clip_*": _AS_LISTS,
    "analytic_oracle/gauss/x_at_0_exact": "the limit that runs of more and more steps come near to: the tests read it",
    "glide_base/time_emb": _ON_THE_WAY,
    "glide_*/low_res_upsampled": _ON_THE_WAY,
    "kl_*/moments": _ON_THE_WAY,
    "paella_v1_sampling/first_logits_cond": _ON_THE_WAY,
    "guidance_diffusers/apg_default*": _ANOTHER_BASE,
    "guidance_diffusers/apg_mix": _ANOTHER_BASE,
    "guidance_diffusers/apg_rescaled": _ANOTHER_BASE,
    "guidance_diffusers/apg_spatial_norm": "norms over two of three dimensions: the paper's are of a whole item",
    "guidance_diffusers/fdg_parallel": "weights of a parallel part are not offered",
    "guidance_diffusers/fdg_rescale_freq": "rescaling each band of frequencies is not offered; rescaling the whole is",
    "guidance_diffusers/pag_interval/*": "leaves out the first step of its interval, which ours includes",
}

_HEAD = """# Checkpoints

What loads, and how far our outputs are from those of the published implementations. Made by `docs/make_checkpoints.py`
from the tests' own output: do not edit.

*Error* and *tolerance* are the largest absolute difference and the limit of the output that comes closest to its limit;
*outputs* counts the tensors compared, and of how many where not all are (see the end). Errors are of tiny random models
in float32 on a CPU: they prove the layout and the arithmetic. "exact" means equal token for token. Figures vary a
little with the machine.
`tests/models/test_mutations.py` shows for each family that swapped, transposed and reordered weights fail.

OpenAI's CLIP files are TorchScript programs, whose tensors are read without running them. DALL·E's are pickled modules:
`glidewire models convert` makes safetensors of them (see cli.md). `glidewire models list` says where all of these files
are published, under which licence.

| family | files | parameters | network | golden case | outputs | error | tolerance |
|---|---|---:|---|---|---:|---:|---:|
"""


_REST = """
## What is not compared within a tolerance

| golden outputs | how many | why |
|---|---:|---|
"""


def golden_outputs(folder: Path) -> dict[str, set[str]]:
    """The names of every case's outputs."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            names = list(file.keys())
        found[path.stem] = {name.removeprefix("output/") for name in names if name.startswith("output/")}
    return found


def reasons(absent: list[str]) -> Iterator[str]:
    """A row for each pattern of outputs that are not compared; ends the program where one has no reason."""
    counts = dict.fromkeys(NOT_COMPARED, 0)
    for output in absent:
        pattern = next((pattern for pattern in NOT_COMPARED if fnmatch(output, pattern)), None)
        if pattern is None:
            sys.exit(f"nothing compares {output}, and NOT_COMPARED does not say why")
        counts[pattern] += 1
    for pattern, count in counts.items():
        if count:
            yield f"| `{pattern}` | {count} | {NOT_COMPARED[pattern]} |"


def main(folder: Path, golden: Path) -> None:
    """Read every report in `folder` and write the tables."""
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for path in sorted(folder.glob("*.json")):
        for entry in json.loads(path.read_text()):
            known = found[entry["case"]].get(entry["output"])
            if known is None or entry["error"] > known["error"]:
                found[entry["case"]][entry["output"]] = entry
    unknown = sorted(set(found) - set(CASES))
    if unknown:
        sys.exit(f"cases without a row in CASES: {', '.join(unknown)}")
    lines, there = [], golden_outputs(golden)
    for case, row in CASES.items():
        outputs = list(found.get(case, {}).values())
        if outputs:
            worst = max(outputs, key=lambda one: one["error"] / one["tolerance"] if one["tolerance"] else 0)
            exact = worst["tolerance"] == 0
            error, limit = ("0", "exact") if exact else (f"{worst['error']:.1e}", f"{worst['tolerance']:.0e}")
            cells = [
                row.family,
                row.files,
                row.parameters,
                row.network,
                f"`{case}`",
                _counted(found, there, case),
                error,
                limit,
            ]
            lines.append(f"| {' | '.join(cells)} |")
    target = Path(__file__).with_name("checkpoints.md")
    absent = [f"{case}/{name}" for case in CASES for name in sorted(there.get(case, set()) - set(found[case]))]
    target.write_text(_HEAD + "\n".join(lines) + "\n" + _REST + "\n".join(reasons(absent)) + "\n")
    print(f"{target.name}: {len(lines)} cases; {len(absent)} outputs are not compared")


def _counted(found: dict[str, dict[str, dict[str, Any]]], there: dict[str, set[str]], case: str) -> str:
    done, all_of_them = len(found[case]), len(there.get(case, found[case]))
    return str(done) if done == all_of_them else f"{done} of {all_of_them}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
