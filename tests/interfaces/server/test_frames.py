"""Frames: what editors read out of them is what was put in."""

from __future__ import annotations

import json
import struct
from io import BytesIO

from glidewire.interfaces.server.frames import PREVIEW_SIDE, Message, NodeText, Preview, jpeg
from PIL import Image


def test_a_message_is_its_kind_and_data():
    assert json.loads(Message("executing", {"node": "5:2", "text": "ü"}).text()) == {
        "type": "executing",
        "data": {"node": "5:2", "text": "ü"},
    }


def test_both_forms_of_a_preview():
    preview = Preview(b"\xff\xd8jpeg", {"node_id": "7"})
    assert preview.frame(with_node=False) == struct.pack(">II", 1, 1) + b"\xff\xd8jpeg"
    frame = preview.frame(with_node=True)
    kind, length = struct.unpack_from(">II", frame)
    assert kind == 4 and json.loads(frame[8 : 8 + length]) == {"node_id": "7", "image_type": "image/jpeg"}
    assert frame[8 + length :] == b"\xff\xd8jpeg"


def test_a_nodes_text():
    assert NodeText("12", "ü").frame() == struct.pack(">II", 3, 2) + b"12" + "ü".encode()


def test_a_large_picture_is_made_small_and_left_as_it_is():
    image = Image.new("RGBA", (2000, 500))
    small = Image.open(BytesIO(jpeg(image)))
    assert small.size == (PREVIEW_SIDE, PREVIEW_SIDE // 4) and image.size == (2000, 500) and image.mode == "RGBA"
