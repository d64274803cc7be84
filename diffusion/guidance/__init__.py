"""Guidance: pure functions of denoisers' predictions, each under its paper's formula, one file per family."""

from .adaptive_scale import magnitude_aware
from .by_region import by_region
from .classifier_free import autoguidance, classifier_free, classifier_free_plus_plus
from .condition_noise import annealing, condition_annealed, noised_condition, require_annealing
from .frequency import frequency_decoupled, from_pyramid, laplacian_pyramid
from .gradients import LogGradient, gradient_guidance, watched
from .local_blend import local_blend
from .magnitude import dynamic_bound, dynamic_threshold, require_maximum, rescale, static_threshold
from .perturbation import perturbed
from .predicted import Critic, PredictedGradient
from .projected import adaptive_projected, tangential
from .regions import known_region
from .scales import SHAPES, Scale, ScaleSchedule, noise_interval, require_noise_levels
from .scores import centred, require_clean_samples
from .several_conditions import composable, negative_prompt, perpendicular_negative, two_scale
from .zero_star import zero_star

__all__ = [
    "SHAPES",
    "Critic",
    "LogGradient",
    "PredictedGradient",
    "Scale",
    "ScaleSchedule",
    "adaptive_projected",
    "annealing",
    "autoguidance",
    "by_region",
    "centred",
    "classifier_free",
    "classifier_free_plus_plus",
    "composable",
    "condition_annealed",
    "dynamic_bound",
    "dynamic_threshold",
    "frequency_decoupled",
    "from_pyramid",
    "gradient_guidance",
    "known_region",
    "laplacian_pyramid",
    "local_blend",
    "magnitude_aware",
    "negative_prompt",
    "noise_interval",
    "noised_condition",
    "perpendicular_negative",
    "perturbed",
    "require_annealing",
    "require_clean_samples",
    "require_maximum",
    "require_noise_levels",
    "rescale",
    "static_threshold",
    "tangential",
    "two_scale",
    "watched",
    "zero_star",
]
