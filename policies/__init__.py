"""The policy bundle: data, reviewed like code. `vault/policy/bundle.py` reads and checks it; nothing here is executed."""
