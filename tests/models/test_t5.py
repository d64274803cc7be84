"""The T5 encoder against transformers' own, from folders, shards and whole models; and its tokenizer from files."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import StrictLoadError, identify, load, save_published
from glidewire.models.hyper_parameters import SPEC, to_json
from glidewire.models.imagen.checkpoint import FAMILY
from glidewire.models.imagen.model import load_t5
from glidewire.models.imagen.t5 import T5Spec
from glidewire.models.imagen.text import T5Text
from glidewire.models.imagen.tokenizer import TOKENIZER, T5Tokenizer
from glidewire.models.key_map import published_shapes
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5EncoderModel

PIECES = [("<pad>", 0.0, 3), ("</s>", 0.0, 3), ("<unk>", 0.0, 2), ("▁", -2.0, 1), ("▁red", -3.0, 1), ("▁cube", -3.0, 1),
          ("r", -5.0, 1), ("e", -5.0, 1), ("d", -5.0, 1), ("s", -5.0, 1)]  # fmt: skip


def reference(feed_forward: str = "gated-gelu") -> T5EncoderModel:
    config = T5Config(
        vocab_size=40, d_model=12, d_kv=4, d_ff=20, num_layers=2, num_heads=2, relative_attention_num_buckets=8,
        relative_attention_max_distance=16, dropout_rate=0.0, feed_forward_proj=feed_forward,
    )  # fmt: skip
    torch.manual_seed(0)
    model = T5EncoderModel(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.3 * torch.randn(value.shape))
    return model


@pytest.fixture
def tokens() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.tensor([[4, 5, 1, 0, 0, 0], [6, 7, 8, 9, 33, 1]])
    return ids, ids != 0


Texts = tuple[torch.Tensor, torch.Tensor]


@pytest.mark.parametrize("feed_forward", ["gated-gelu", "relu"])
@torch.no_grad()
def test_folders_and_shards_load(feed_forward: str, tokens: Texts, tmp_path: Path) -> None:
    model = reference(feed_forward)
    model.save_pretrained(tmp_path, max_shard_size="3KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    identity = identify(tmp_path)
    assert (identity.family, identity.component, identity.dims["text_width"]) == ("imagen", "text_encoder", 12)
    assert not identity.assumed or "max_distance" not in identity.assumed
    again = load(tmp_path)
    assert isinstance(again, T5Text)
    expected = model(input_ids=tokens[0], attention_mask=tokens[1].long()).last_hidden_state
    torch.testing.assert_close(again(*tokens), expected)
    assert again.digest() != T5Text(identity.spec).digest()


def whole(model: T5EncoderModel) -> dict[str, torch.Tensor]:
    """The state dict of a whole T5: its embeddings three times, and a decoder."""
    tensors = {key: value.clone() for key, value in model.state_dict().items()}
    shared = tensors["shared.weight"]
    tensors |= {f"{part}.embed_tokens.weight": shared.clone() for part in ("encoder", "decoder")}
    return tensors | {"lm_head.weight": shared.clone(), "decoder.final_layer_norm.weight": torch.ones(12)}


@torch.no_grad()
def test_the_encoder_of_a_whole_model_loads_alone(tokens: Texts, tmp_path: Path) -> None:
    model = reference()
    save_file(whole(model), tmp_path / "t5.safetensors")
    again = load(tmp_path / "t5.safetensors", stated={"max_distance": 16})
    assert sum(value.numel() for value in again.parameters()) == sum(value.numel() for value in model.parameters())
    expected = model(input_ids=tokens[0], attention_mask=tokens[1].long()).last_hidden_state
    torch.testing.assert_close(again(*tokens), expected)
    assert identify(tmp_path / "t5.safetensors").assumed == ("max_distance", "norm_eps")


@torch.no_grad()
def test_exchanged_layers_show(tokens: Texts, tmp_path: Path) -> None:
    model = reference()
    tensors = whole(model)
    layer = "encoder.block.0.layer.1.DenseReluDense"
    tensors[f"{layer}.wi_0.weight"], tensors[f"{layer}.wi_1.weight"] = (
        tensors[f"{layer}.wi_1.weight"],
        tensors[f"{layer}.wi_0.weight"],
    )
    save_file(tensors, tmp_path / "t5.safetensors")
    again = load(tmp_path / "t5.safetensors", stated={"max_distance": 16})
    expected = model(input_ids=tokens[0], attention_mask=tokens[1].long()).last_hidden_state
    assert not torch.allclose(again(*tokens), expected, atol=1e-2)


def test_the_largest_encoder_has_its_published_size() -> None:
    with torch.device("meta"):
        model = FAMILY.build(T5Spec())
    assert round(sum(value.numel() for value in model.parameters()) / 1e7) == 476
    shapes = published_shapes(model, FAMILY.key_map(T5Spec()))
    assert shapes["shared.weight"] == (32128, 4096) and "encoder.block.23.layer.1.layer_norm.weight" in shapes


def test_what_does_not_fit_is_told(tokens: Texts, tmp_path: Path) -> None:
    model = T5Text(T5Spec(30, 8, 1, 2, 4, 8, True, 4))
    with pytest.raises(
        GlidewireError, match="a token id lies outside of the vocabulary; expected 0 to 29; got 0 to 33"
    ):
        model(*tokens)
    with pytest.raises(GlidewireError, match="tokens and mask have the wrong shape"):
        model(tokens[0], tokens[1][:1])
    tensors = whole(reference())
    tensors["encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"] = torch.zeros(8, 2)
    save_file(tensors, tmp_path / "umt5.safetensors")
    with pytest.raises(StrictLoadError, match=r"block\.1\.layer\.0\.SelfAttention\.relative_attention_bias: weight"):
        load(tmp_path / "umt5.safetensors")
    reference().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"feed_forward_proj": "gated-silu"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(GlidewireError, match="expected gated-gelu; got gated-silu"):
        identify(tmp_path)


@torch.no_grad()
def test_prompts_are_encoded_with_the_tokenizer_beside(tmp_path: Path) -> None:
    model = reference()
    model.save_pretrained(tmp_path / "text_encoder")
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "spiece.model").write_bytes(sentence_pieces())
    encoder = load_t5(tmp_path / "text_encoder")
    conditioning, dropped = encoder.encode_prompt("Red cube")
    ids = torch.tensor([[4, 5, 1] + [0] * 74])
    expected = model(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
    torch.testing.assert_close(conditioning["text_states"], expected)
    assert dropped == "" and encoder.encode_prompt("red " * 80)[1].startswith("red red")
    assert encoder.nbytes() == 4 * sum(value.numel() for value in encoder.network.parameters())
    write_json(tmp_path / "many.json", more=40)
    with pytest.raises(GlidewireError, match="does not fit its token embedding; expected at most 40 tokens; got 50"):
        load_t5(tmp_path / "text_encoder", tmp_path / "many.json")
    (tmp_path / "tokenizer" / "spiece.model").unlink()
    with pytest.raises(GlidewireError, match="folder text_encoder holds no tokenizer"):
        load_t5(tmp_path / "text_encoder")


def field(number: int, value: int | float | bytes) -> bytes:
    """One field of a protocol buffer, of a number below 16."""
    if isinstance(value, float):
        return bytes([number << 3 | 5]) + struct.pack("<f", value)
    kind, content = (0, b"") if isinstance(value, int) else (2, value)
    size, encoded = value if isinstance(value, int) else len(value), b""
    while size > 127:
        encoded, size = encoded + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | kind]) + encoded + bytes([size]) + content


def sentence_pieces() -> bytes:
    pieces = [field(1, field(1, text.encode()) + field(2, score) + field(3, kind)) for text, score, kind in PIECES]
    return b"".join(pieces) + field(2, field(3, 1)) + field(3, field(3, 1))


def write_json(path: Path, names: Mapping[str, str] | None = None, more: int = 0) -> None:
    pieces = [((names or {}).get(text, text), score) for text, score, _ in PIECES]
    pieces += [(f"piece {number}", -9.0) for number in range(more)]
    Tokenizer(models.Unigram(pieces, 2, False)).save(str(path))


def test_sentence_pieces_are_read(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(sentence_pieces())
    tokenizer = T5Tokenizer.read(tmp_path)
    assert tokenizer.vocabulary_size == len(PIECES)
    found = tokenizer.encode("  Red  cubes ", 6)
    assert found.tokens.tolist() == [4, 5, 9, 1, 0, 0] and found.mask.tolist() == [True] * 4 + [False] * 2
    assert found.dropped == ""
    short = tokenizer.encode("red cubes", 3)
    assert short.tokens.tolist() == [4, 5, 1] and short.dropped == "s"
    assert tokenizer.encode("", 2).tokens.tolist() == [1, 0]


def test_tokenizer_json_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "tokenizer.json")
    assert T5Tokenizer.read(tmp_path / "tokenizer.json").encode("red", 5).tokens.tolist() == [6, 7, 8, 1, 0]


def test_a_small_encoder_carries_its_words(tmp_path: Path) -> None:
    words = T5Tokenizer.of_words(["a", "red", "cube"])
    assert words.encode("A red sphere cube", 6).tokens.tolist() == [3, 4, 2, 5, 1, 0]
    network = T5Text(T5Spec(words.vocabulary_size, 8, 1, 2, 4, 8, True, 4, positions=6))
    strings = {SPEC: to_json("imagen", network.spec), TOKENIZER: words.to_json()}
    save_published(network, FAMILY.key_map(network.spec), tmp_path / "t5.safetensors", metadata=strings)
    encoder = load_t5(tmp_path / "t5.safetensors")
    assert encoder.encode_prompt("a red cube")[0]["text_states"].shape == (1, 6, 8)
    assert encoder.tokenizer.encode("red", 2).tokens.tolist() == [4, 1]
    save_published(network, FAMILY.key_map(network.spec), tmp_path / "t5.safetensors", metadata={TOKENIZER: "{}"})
    with pytest.raises(GlidewireError, match=r"tokenizer in .*t5\.safetensors.* cannot be read"):
        load_t5(tmp_path / "t5.safetensors")


def test_bad_tokenizers_are_told(tmp_path: Path) -> None:
    with pytest.raises(GlidewireError, match=r"holds no tokenizer; expected one of tokenizer\.json, spiece\.model"):
        T5Tokenizer.read(tmp_path)
    with pytest.raises(GlidewireError, match=r"tokenizer absent\.json cannot be read"):
        T5Tokenizer.read(tmp_path / "absent.json")
    write_json(tmp_path / "other.json", {"</s>": "<end>"})
    with pytest.raises(GlidewireError, match=r"is not T5's; expected the tokens </s> and <pad>"):
        T5Tokenizer.read(tmp_path / "other.json")
    for content in (b"", b"{}", b"\xff" * 30, sentence_pieces()[:-3], sentence_pieces()[:40]):
        (tmp_path / "spiece.model").write_bytes(content)
        with pytest.raises(GlidewireError, match=r"tokenizer spiece\.model cannot be read; expected T5's"):
            T5Tokenizer.read(tmp_path)
