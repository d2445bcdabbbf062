"""Chat platforms, one file each. Every module exports `Adapter`."""
