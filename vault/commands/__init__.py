"""What an operator types. Each command calls one operation; with `--json` one document goes to stdout, all else to stderr."""
