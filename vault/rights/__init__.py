"""Requests of people: what may be asked, how a request moves, and its rows."""
