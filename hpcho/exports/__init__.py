"""Experiments as other programs read them."""
