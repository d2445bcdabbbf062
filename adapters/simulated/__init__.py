"""Fake chat platforms on loopback: for tests, and by hand with `kantu doctor --simulate <platform>`.

One module per platform, exporting `Simulated`. They share no code with the adapters: what both misread would go unseen.
"""
