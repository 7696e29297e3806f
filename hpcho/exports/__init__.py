"""Experiments as other programs read them. Each module asks for its own extra, and only when it writes."""
