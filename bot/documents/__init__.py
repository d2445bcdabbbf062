"""A report as something that can be sent on: a page's HTML, Markdown, Word, PDF.

`write(report, load_picture)` of `markdown`, `docx` and `pdf` gives a file's bytes. load_picture: encoded bytes by
SHA-256. What is heavy is imported, and runs, in a process that ends with the file.
"""
