"""Stand-in for the host's folders: models, input and output below $HARNESS_FOLDER."""

import os
from pathlib import Path

base = Path(os.environ["HARNESS_FOLDER"])
models_dir = str(base / "models")
folder_names_and_paths = {"checkpoints": ([str(base / "models" / "checkpoints")], {".safetensors"})}


def get_folder_paths(kind):
    return folder_names_and_paths[kind][0][:]


def add_model_folder_path(kind, path):
    folder_names_and_paths.setdefault(kind, ([], set()))[0].append(path)


def get_input_directory():
    return str(base / "input")


def get_output_directory():
    return str(base / "output")
