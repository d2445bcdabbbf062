"""The local engine: a vision-language model in this process, on one card or on the CPU.

Imports torch, transformers, numpy, Pillow, the standard library and what `bot.engine.base` imports; nothing of the web
stack, so that it also runs on a GPU host by itself.
"""
