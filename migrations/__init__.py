"""Schema changes, in order (alembic). `roles.sql` is run once by a superuser before the first."""
