"""Principal components of embeddings: what is left of a picture when only the first few are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from ..diffusion.quantization import PrincipalComponents
from ..errors import GlidewireError
from ..graph_runtime import codec
from ..graph_runtime.declaration import node
from ..graph_runtime.sockets import Socket, socket_type
from ..graph_runtime.widgets import Number
from .embedding_sampling import require_clip
from .token_sockets import Embedding


@dataclass(frozen=True)
class Components:
    """The directions in which embeddings differ most.

    Args:
        tensor: Orthonormal columns in the order of falling variance, "width kept", float64.
        mean: "width".
        eigenvalues: Variance along every direction, falling, "width".
        clip: Which CLIP's space these are in.
    """

    tensor: Tensor
    mean: Tensor
    eigenvalues: Tensor
    clip: str


codec.register(Components, "Components")
socket_type("COMPONENTS", Components, "Principal components of embeddings: width kept.")


@node(category="embeddings")
def principal_components(
    embeddings: Socket[Embedding, "_ width @clip"],
    kept: Annotated[int, Number(min=1, max=8192)] = 64,
) -> Socket[Components, "width _ @clip"]:
    """Find the directions in which embeddings differ most: the eigenvectors of their covariance.

    Args:
        embeddings: "batch width"; many more than components are wanted.
        kept: How many directions to keep; all of them if there are fewer.

    Returns: The components, "width kept".

    Raises: GlidewireError for embeddings that are not finite.

    Source: Pearson 1901; of CLIP's embeddings: Ramesh et al. 2022 (unCLIP, 2204.06125), section 2.2.
    """
    found = PrincipalComponents.fit(embeddings.tensor, min(kept, embeddings.tensor.shape[1]))
    return Components(found.basis, found.mean, found.eigenvalues, embeddings.clip)


@node(category="embeddings")
def keep_components(
    embedding: Socket[Embedding, "batch width @clip"],
    components: Socket[Components, "width _ @clip"],
    count: Annotated[int, Number(min=0, max=8192)] = 16,
) -> Socket[Embedding, "batch width @clip"]:
    """Probe an embedding: keep its coordinates along the first components and forget the others.

    z' = mean + B_k B_k^T (z - mean), where B_k are the first k columns.

    Args:
        embedding: "batch width".
        components: Of embeddings of the same CLIP, "width kept".
        count: k; 0 leaves the mean alone.

    Returns: Embeddings "batch width", for a decoder to show.

    Raises: GlidewireError for components of another CLIP, or more than were kept.

    Source: Ramesh et al. 2022 (unCLIP, 2204.06125), section 4 and figure 7.
    """
    require_clip("the embedding", embedding.clip, components.clip)
    if count > components.tensor.shape[1]:
        raise GlidewireError(
            "there are not so many components", expected=f"0 to {components.tensor.shape[1]}", got=count
        )
    basis = components.tensor[:, :count]
    centred = embedding.tensor.to(basis) - components.mean
    return Embedding((components.mean + centred @ basis @ basis.mT).float(), embedding.clip)
