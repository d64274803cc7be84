"""Stand-in for the host's device and its interrupt flag."""

import torch


class InterruptProcessingException(Exception):
    pass


interrupt_after = None
_interrupted = False


def count_down():
    global interrupt_after, _interrupted
    if interrupt_after is not None:
        interrupt_after -= 1
        _interrupted = interrupt_after <= 0


def processing_interrupted():
    return _interrupted


def throw_exception_if_processing_interrupted():
    global _interrupted
    if _interrupted:
        _interrupted = False
        raise InterruptProcessingException


def get_torch_device():
    return torch.device("cpu")


def unet_offload_device():
    return torch.device("cpu")
