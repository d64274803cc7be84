"""Pure functions on tensors: schedules, predictions, guidance, samplers, each under the number of its equation."""
