"""One problem each, word for word: n1 is what the case writes, k a node that keeps its output."""

from __future__ import annotations

import pytest
from check_nodes import (
    REGISTRY,
    graph,
    problems,
)
from glidewire.graph_runtime.check import check

ONE_NODE = {
    "unknown node": (
        ("Decoed", {}),
        "node n1 (Decoed): there is no such node; got Decoed. Did you mean encode or decode?",
    ),
    "unknown node, nothing like it": (
        ("XYZ", {}),
        "node n1 (XYZ): there is no such node; got XYZ. Install the pack that has it, or take the node out.",
    ),
    "unknown input": (
        ("empty", {"heigth": 8}),
        "node n1 (empty), input heigth: the node has no such input; expected height, width, seed; got heigth. "
        "Did you mean height or width?",
    ),
    "unknown input, nothing like it": (
        ("empty", {"q": 8}),
        "node n1 (empty), input q: the node has no such input; expected height, width, seed; got q",
    ),
    "missing wire": (
        ("decode", {}, "My decoder"),
        "node n1 (My decoder), input latent: the input is required; expected a wire of type CHECK_LATENT; got nothing. "
        "Nodes that make it: Load prior, Empty, Encode.",
    ),
    "missing value": (
        ("paint", {}),
        "node n1 (paint), input red: the input is required; expected a value or a wire of type FLOAT; got nothing",
    ),
    "missing anything": (
        ("keep", {}),
        "node n1 (keep), input value: the input is required; expected a wire of any type; got nothing",
    ),
    "boolean for a whole number": (
        ("whole", {"value": True}),
        "node n1 (whole), input value: the value is of the wrong type; expected a whole number; got true (a boolean)",
    ),
    "real for a whole number": (
        ("whole", {"value": 1.0}),
        "node n1 (whole), input value: the value is of the wrong type; expected a whole number; "
        "got 1.0 (a real number)",
    ),
    "text for a whole number": (
        ("whole", {"value": "7"}),
        'node n1 (whole), input value: the value is of the wrong type; expected a whole number; got "7" (a text)',
    ),
    "boolean for a real number": (
        ("real", {"value": False}),
        "node n1 (real), input value: the value is of the wrong type; expected a number; got false (a boolean)",
    ),
    "number for a text": (
        ("text", {"value": 7}),
        "node n1 (text), input value: the value is of the wrong type; expected a text; got 7 (a whole number)",
    ),
    "object for a text": (
        ("text", {"value": {"a": 1}}),
        'node n1 (text), input value: the value is of the wrong type; expected a text; got {"a": 1} (an object)',
    ),
    "nothing for a text": (
        ("text", {"value": None}),
        "node n1 (text), input value: the value is of the wrong type; expected a text; got null",
    ),
    "list for a text": (
        ("text", {"value": ["a"] * 30}),
        "node n1 (text), input value: the value is of the wrong type; expected a text; got "
        '["a", "a", "a", "a", "a", "a", "a", "a", "a", "a", "a", "a",… (a list)',
    ),
    "number for a boolean": (
        ("switch", {"condition": 1}),
        "node n1 (switch), input condition: the value is of the wrong type; "
        "expected true or false; got 1 (a whole number)",
    ),
    "half a surrogate pair": (
        ("text", {"value": "a\ud800"}),
        "node n1 (text), input value: the text holds half of a surrogate pair; expected Unicode text; got 'a\\ud800'",
    ),
    "value for a wire": (
        ("decode", {"latent": 3}),
        "node n1 (decode), input latent: a value stands where a wire is needed; expected a wire of type CHECK_LATENT; "
        "got 3 (a whole number). Nodes that make it: Load prior, Empty, Encode.",
    ),
    "value for a wire that is wired by decree": (
        ("show", {"value": "hello"}),
        "node n1 (show), input value: a value stands where a wire is needed; expected a wire of type STRING; "
        'got "hello" (a text). Nodes that make it: Text, Texts.',
    ),
    "list for anything": (
        ("keep", {"value": [1]}),
        "node n1 (keep), input value: a value stands where a wire is needed; "
        "expected a wire of any type; got [1] (a list)",
    ),
    "below a range": (
        ("empty", {"height": 7}),
        "node n1 (empty), input height: the number is out of range; expected a number from 8 to 512; got 7",
    ),
    "above a range": (
        ("empty", {"height": 513}),
        "node n1 (empty), input height: the number is out of range; expected a number from 8 to 512; got 513",
    ),
    "below a seed": (
        ("empty", {"seed": -1}),
        "node n1 (empty), input seed: the number is out of range; expected a number from 0 to 9007199254740991; got -1",
    ),
    "not a number": (
        ("real", {"value": float("nan")}),
        "node n1 (real), input value: the number is out of range; expected a finite number; got NaN",
    ),
    "infinite": (
        ("real", {"value": float("inf")}),
        "node n1 (real), input value: the number is out of range; expected a finite number; got Infinity",
    ),
    "more than any real number": (
        ("real", {"value": 10**400}),
        f"node n1 (real), input value: the number is out of range; expected a finite number; got 1{'0' * 59}…",
    ),
    "out of a list of range": (
        ("stack", {"pictures": "p0.0", "weights": [1, 2.5, "3"]}),
        "node n1 (stack), input weights: item 2 of the list: the value is of the wrong type; expected a number; "
        'got "3" (a text)',
    ),
    "not one of the asked options": (
        ("show", {"value": "t0.0", "choice": "alhpa"}),
        "node n1 (show), input choice: the value is not one of the options; expected alpha, beta; "
        'got "alhpa". Did you mean alpha?',
    ),
    "an option of another type": (
        ("show", {"value": "t0.0", "choice": 1}),
        "node n1 (show), input choice: the value is not one of the options; expected alpha, beta; got 1",
    ),
    "missing output": (
        ("keep", {"value": "e0.2"}),
        "node n1 (keep), input value: node e0 (load_encoder) has no output 2; expected 0 (embedding), 1 (count); got 2",
    ),
    "missing output of a node that has none": (
        ("keep", {"value": "k0.0"}),
        "node n1 (keep), input value: node k0 (keep) has no output 0; expected nothing: there is none; got 0",
    ),
    "missing node": (
        ("keep", {"value": "e9.0"}),
        "node n1 (keep), input value: the wire comes from node e9, which does not exist; expected the id of a node; "
        "got e9. Did you mean e0?",
    ),
    "wrong type, a node converts": (
        ("save", {"picture": "z0.0"}),
        "node n1 (save), input picture: output check_latent of node z0 (empty) does not fit; expected CHECK_PICTURE; "
        "got CHECK_LATENT. Nodes that fit between: Decode.",
    ),
    "wrong type, another input takes it": (
        ("show", {"value": "z0.0"}),
        "node n1 (show), input value: output check_latent of node z0 (empty) does not fit; expected STRING; "
        "got CHECK_LATENT. Input latent takes it.",
    ),
    "wrong type, another output fits": (
        ("whole", {"value": "e0.0"}),
        "node n1 (whole), input value: output embedding of node e0 (load_encoder) does not fit; expected INT; "
        "got CHECK_EMBEDDING. Output count of node e0 fits.",
    ),
    "two types for one variable": (
        ("either", {"first": "z0.0", "second": "t0.0"}),
        "node n1 (either), input second: the inputs of type T must all be of one type; "
        "expected CHECK_LATENT; got STRING",
    ),
    "its own output": (
        ("either", {"first": "n1.0"}),
        "node n1 (either): the node waits for its own output; expected wires that lead forward only. "
        "Take out one of the wires between them.",
    ),
    "not a whole number of latents": (
        ("empty", {"height": 100}),
        "node n1 (empty), input height: height cannot be 100: height/8 would be 12.5; "
        "expected a size for which height/8 is a whole number; got 100",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE_NODE)
def test_one_node_with_one_problem(case, folders):
    call, expected = ONE_NODE[case]
    beside = {
        "e0": ("load_encoder", {"checkpoint": "vit-l.json"}),
        "z0": ("empty", {}),
        "t0": ("text", {}),
        "p0": ("decode", {"latent": "z0.0"}),
        "k0": ("keep", {"value": "t0.0"}),
    }
    assert problems(check(graph(n1=call, **beside), REGISTRY, folders)) == [expected]
