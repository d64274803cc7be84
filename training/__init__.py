"""The recipes that made the shipped mini models, and how their results are measured."""
