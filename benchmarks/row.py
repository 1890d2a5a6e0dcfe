"""The row the reference writes, for whoever else writes it."""

TABLE = """CREATE TABLE IF NOT EXISTS audit_row (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), caller_id text NOT NULL,
    subject_id text NOT NULL, purpose text NOT NULL, outcome text NOT NULL)"""
ROW = ("agent-1", "sub_aaaaaaaaaaaaaaaaaaaaaaaaaa", "customer-care", "allowed")
INSERT = "INSERT INTO audit_row (caller_id, subject_id, purpose, outcome) VALUES "
PSYCOPG_INSERT = INSERT + "(%s, %s, %s, %s)"
