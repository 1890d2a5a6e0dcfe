"""Erasure: what is destroyed and what is kept, and the ledger that outlives a restored backup."""
