"""How a fine-tune begins: as the network that it grows out of, whose first convolution takes more channels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

FIRST = "unet.conv_in.weight"


@torch.no_grad()
def widen(network: nn.Module, begun: Mapping[str, Tensor]) -> None:
    """Give a network, in place, the weights of one with fewer channels in; the new channels weigh nothing.

    Source: Nichol et al. 2021, section 2.4.

    Args:
        network: What is trained on; its first convolution is `FIRST`.
        begun: The state of the network that it grows out of.
    """
    first = begun[FIRST]
    more = network.state_dict()[FIRST].shape[1] - first.shape[1]
    wider = torch.cat([first, first.new_zeros(len(first), more, *first.shape[2:])], dim=1)
    network.load_state_dict({**begun, FIRST: wider})
