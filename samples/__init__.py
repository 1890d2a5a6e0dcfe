"""A small customer file of invented people, the mapping that reads it, and the script that makes it."""
