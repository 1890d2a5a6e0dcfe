"""What the vault knows of people: the fields there are, the one spelling each value is kept in, and how one is found again."""
