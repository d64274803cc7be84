"""The workflows that come with the pack: written in `make.py`, saved beside it as the editor saves them."""
