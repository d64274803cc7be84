"""Digests of networks: weights, hyper-parameters and precision decide."""

from __future__ import annotations

import torch
from glidewire.models.digest import network_digest


def test_a_network_is_its_weights_its_spec_and_its_precision() -> None:
    network = torch.nn.Linear(2, 2)
    digests = [network_digest(network, "spec", None), network_digest(network, "other", None)]
    with torch.no_grad():
        network.weight[0, 0] += 1
    digests += [network_digest(network, "spec", None), network_digest(network, "spec", "a file's")]
    digests.append(network_digest(network.half(), "spec", "a file's"))
    assert len(set(digests)) == len(digests)
    assert digests[3] == "a file's:float32"
