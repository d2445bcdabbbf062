"""The web face: webhooks, REST, the page, and who may use them."""
