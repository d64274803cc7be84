"""Views of U-Nets that look at their attention or change it: for guidance, for words, and for edits by prompts."""
