"""What of this machine can change numbers: the part of every cache key that no workflow shows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from .context import Policy


def environment(policy: Policy) -> Mapping[str, str]:
    """Everything outside a workflow that can change a result's bits, by the name that `why` shows.

    The torch build, the device's class and name, the number type, whether kernels are deterministic, and on the
    CPU its vector instructions and the number of threads (sums split over threads round differently).
    """
    device = policy.torch_device
    facts = {
        "torch": torch.__version__,
        "device": device.type,
        "dtype": policy.dtype,
        "deterministic": str(policy.deterministic),
        "matmul precision": torch.get_float32_matmul_precision(),
    }
    if device.type == "cuda" and torch.cuda.is_available():
        facts["device name"] = torch.cuda.get_device_name(device)
        facts["CUDA"] = str(torch.version.cuda)
    elif device.type == "cpu":
        facts["instructions"] = torch.backends.cpu.get_cpu_capability()
        facts["threads"] = str(torch.get_num_threads())
    return facts


@contextmanager
def deterministic(policy: Policy) -> Iterator[None]:
    """Torch's flags as the policy asks, put back afterwards."""
    if not policy.deterministic:
        yield
        return
    if policy.torch_device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
