"""The scenes, recipes and judge that made the shipped mini models."""
