"""IP-Adapter: pictures as prompts, by attention to image tokens beside the text."""
