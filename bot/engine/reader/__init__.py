"""The built-in engine `reader`: OCR and rules, no weights to fetch.

`ReaderEngine.read` gives a `Page` of `Line`s with boxes and confidences to whoever needs more than answers.
Importing this package loads nothing heavy; numpy, OpenCV and onnxruntime live in the worker processes.
"""

from bot.engine.reader.engine import DECLINED, ReaderEngine
from bot.engine.reader.page import Box, Colour, Line, Page

__all__ = ["DECLINED", "Box", "Colour", "Line", "Page", "ReaderEngine"]
