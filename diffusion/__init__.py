"""Pure functions on tensors: schedules, predictions, guidance, samplers, each under its equation's number."""
