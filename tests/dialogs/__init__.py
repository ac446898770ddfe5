"""SMTP conversations as text: README.md has the format, `script` reads a file."""
