"""What the bot does, one file each. Every module exports `on = Handlers()`."""
