"""The JSON forms of a graph: saved workflow, API form, and either of them inside a picture."""
