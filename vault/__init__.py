"""The domain of Riserbo: nouns know, verbs do.

Nouns (`policy`, `agreements`, `profiles`, `keys`, `audit`, `tickets`, …) hold rules and row access and do not import each other.
Verbs (`operations/`) are one file a job; each owns its transaction and its audit entry. `connectors/` are the outside.
`opening.open_vault` builds a running `Vault`; `api` talks HTTP; this package knows none of it.
Start reading at `operations/disclose.py`.
"""
