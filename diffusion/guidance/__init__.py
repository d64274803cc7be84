"""Guidance: pure functions of denoisers' predictions, each under its paper's formula, one file per family."""

from .classifier_free import autoguidance, classifier_free, classifier_free_plus_plus
from .gradients import LogGradient, gradient_guidance
from .regions import known_region
from .scales import SHAPES, Scale, ScaleSchedule, noise_interval

__all__ = [
    "SHAPES",
    "LogGradient",
    "Scale",
    "ScaleSchedule",
    "autoguidance",
    "classifier_free",
    "classifier_free_plus_plus",
    "gradient_guidance",
    "known_region",
    "noise_interval",
]
