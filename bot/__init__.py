"""Kantu 看图: answers pictures and questions in Chinese chat platforms."""

__version__ = "0.1.0"
