"""What speaks for a report: each number, date, code and quoted name of its text, looked for in what OCR read.

Only what is written is compared, as whole values: 80 is not found in 1,280. Nothing here guesses or computes.
"""

from bot.evidence.search import find

__all__ = ["find"]
