"""Engines: something that generates. `base` says what one is."""
