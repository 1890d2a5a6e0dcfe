"""Entries lie by position, details and look-up rows by month, each in a partition of its own. Rows that exist are not moved.

The table that was becomes the first partition, with its indexes: it holds all before the bound chosen here. `_rest` is the default
partition and takes what no other is made for, so that a missing month never stops recording. Those to come are made by a function
of the owner, long before they are needed; it attaches them, which readers and writers do not wait for.

A partition named by itself has neither its parent's rights nor its row security, and a TRUNCATE trigger of the parent does not fire
for it. So each has row security forced without a policy (nobody sees a row in it by its own name), no grant, and its own trigger.

Where a log begins that was pruned stands in a table of its own: below that bound, and nowhere else, entries may be deleted.

Going back copies everything into one table again, whatever company it is of; that takes time and room.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"

STRETCH = 1 << 20  # positions in a partition of entries
KEYS = {
    "audit_entry": ("position", "controller_id, era, position"),
    "audit_detail": ("at", "controller_id, at, position, subject_id"),
    "audit_lookup": ("at", "controller_id, at, position, subject_id"),
}
INDEXES = {
    "audit_lookup_by_subject": "(controller_id, subject_id, at DESC, position DESC)",
    "audit_lookup_by_caller": "(controller_id, caller_id, at DESC, position DESC)",
    "audit_lookup_by_entry": "(controller_id, entry_id)",
    "audit_lookup_of_policy": "(controller_id, at, position) WHERE operation = 'policy:activated'",
}
ADDED = {"audit_lookup_flagged": "(controller_id, at DESC, position DESC) WHERE flags <> 0"}
GRANTS = {
    "audit_entry": {"riserbo_app": "SELECT", "riserbo_sequencer": "SELECT, INSERT", "riserbo_signer": "SELECT"},
    "audit_detail": {"riserbo_app": "SELECT", "riserbo_sequencer": "SELECT, INSERT"},
    "audit_lookup": {"riserbo_app": "SELECT", "riserbo_sequencer": "SELECT, INSERT"},
}
ALL_ROWS = {True: "NO FORCE ROW LEVEL SECURITY", False: "FORCE ROW LEVEL SECURITY"}

ADD = """
    CREATE FUNCTION vault.add_audit_partition(parent text, suffix text, low bigint, high bigint) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    DECLARE part text := parent || '_' || suffix;
    BEGIN
      EXECUTE format('CREATE TABLE vault.%I (LIKE vault.%I INCLUDING DEFAULTS INCLUDING STORAGE)', part, parent);
      EXECUTE format('ALTER TABLE vault.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', part);
      IF parent = 'audit_entry' THEN
        EXECUTE format('CREATE TRIGGER not_emptied BEFORE TRUNCATE ON vault.%I'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change()', part);
      END IF;
      EXECUTE format('ALTER TABLE vault.%I ATTACH PARTITION vault.%I FOR VALUES FROM (%s) TO (%s)', parent, part, low, high);
      RETURN true;
    EXCEPTION WHEN check_violation THEN
      RETURN false;  -- rows of this stretch lie in the default partition already: there they stay
    END $$"""
LAST = """
    CREATE FUNCTION vault.last_audit_partition(parent text, OUT part regclass, OUT ends bigint)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
      SELECT c.oid::regclass, substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''(\\d+)''\\)')::bigint AS ends
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = ('vault.' || parent)::regclass AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'
      ORDER BY ends DESC LIMIT 1 $$"""
# Three months ahead, and one stretch of positions more than is in use: the newest is empty, or the next is made. Rows in the
# default partition make none: where somebody put one, every call would. The doctor names them. It takes no argument: whoever
# may call it decides nothing. It gives up at once when somebody reads the default partition for long: weeks are left.
MAKE = """
    CREATE FUNCTION vault.make_audit_partitions() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
    DECLARE
      ahead bigint := extract(epoch FROM date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + interval '4 months') * 1000;
      parent text;
      newest record;
      month timestamp;
      low bigint;
      made integer := 0;
    BEGIN
      IF NOT pg_try_advisory_xact_lock(hashtext('riserbo.make_audit_partitions')) THEN
        RETURN 0;  -- another process is at it
      END IF;
      FOREACH parent IN ARRAY ARRAY['audit_detail', 'audit_lookup'] LOOP
        SELECT ends INTO low FROM vault.last_audit_partition(parent);
        WHILE low < ahead LOOP
          month := to_timestamp(low / 1000) AT TIME ZONE 'UTC';
          made := made + vault.add_audit_partition(
            parent, to_char(month, 'YYYY_MM'), low, (extract(epoch FROM month + interval '1 month') * 1000)::bigint)::integer;
          low := extract(epoch FROM month + interval '1 month') * 1000;
        END LOOP;
      END LOOP;
      SELECT * INTO newest FROM vault.last_audit_partition('audit_entry');
      IF pg_relation_size(newest.part) > 0 THEN
        low := newest.ends;
        FOR attempt IN 1..16 LOOP
          IF vault.add_audit_partition('audit_entry', to_char(low >> 20, 'FM000000'), low, low + 1048576) THEN
            made := made + 1;
            EXIT;
          END IF;
          low := low + 1048576;
        END LOOP;
      END IF;
      RETURN made;
    END $$"""
# An entry goes when its log was pruned above it, never else. Who may say so is the owner alone, and the log must say it too.
KEEP = """
    CREATE FUNCTION vault.keep_entry() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
      IF TG_OP = 'DELETE' AND EXISTS (SELECT FROM vault.audit_pruned p WHERE p.controller_id = OLD.controller_id
                                      AND p.era = OLD.era AND OLD.position < p.bound) THEN
        RETURN OLD;
      END IF;
      RAISE EXCEPTION 'append-only' USING ERRCODE = '55000';
    END $$"""
FUNCTIONS = ("make_audit_partitions()", "last_audit_partition(text)", "add_audit_partition(text, text, bigint, bigint)")


def upgrade() -> None:
    """Put a partitioned table in the place of each, and what there is below it."""
    op.execute("SET LOCAL statement_timeout = 0")  # each first partition is read once, to see that it holds what it says
    _audit_pruned()
    op.execute(KEEP)
    for table in KEYS:
        bound = _bound(table)
        _put_aside(table)
        _parent(table)
        op.execute(f"ALTER TABLE vault.{table} ATTACH PARTITION vault.{table}_first FOR VALUES FROM (MINVALUE) TO ({bound})")
        op.execute(f"CREATE TABLE vault.{table}_rest PARTITION OF vault.{table} DEFAULT")
        for part in ("first", "rest"):
            op.execute(f"ALTER TABLE vault.{table}_{part} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    for part in ("audit_entry", "audit_entry_first", "audit_entry_rest"):
        _keep_from_emptying(part)
    for function in (ADD, LAST, MAKE):
        op.execute(function)
    for signature in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION vault.{signature} FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION vault.make_audit_partitions() TO riserbo_sequencer")
    op.execute("SELECT vault.make_audit_partitions()")


def downgrade() -> None:
    """Gather everything in one table each."""
    op.execute("SET LOCAL statement_timeout = 0")
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION vault.{signature}")
    for table, (_, key) in KEYS.items():
        op.execute(f"ALTER TABLE vault.{table} {ALL_ROWS[True]}")
        op.execute(f"CREATE TABLE vault.{table}_whole (LIKE vault.{table} INCLUDING DEFAULTS INCLUDING STORAGE)")
        op.execute(f"INSERT INTO vault.{table}_whole SELECT * FROM vault.{table}")
        op.execute(f"DROP TABLE vault.{table}")
        op.execute(f"ALTER TABLE vault.{table}_whole RENAME TO {table}")
        op.execute(f"ALTER TABLE vault.{table} ADD CONSTRAINT {table}_pkey PRIMARY KEY ({key})")
        _secure(table)
    _refuse_changes("refuse_change")
    _keep_from_emptying("audit_entry")
    op.execute("DROP FUNCTION vault.keep_entry()")
    op.execute("DROP TABLE vault.audit_pruned")
    for name, columns in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON vault.audit_lookup {columns}")


def _bound(table: str) -> int:
    """Return where the first partition ends: beyond all there is. Row security is put aside: the owner sees no row else."""
    column = KEYS[table][0]
    op.execute(f"ALTER TABLE vault.{table} {ALL_ROWS[True]}")
    last = op.get_bind().execute(sa.text(f"SELECT coalesce(max({column}), 0) FROM vault.{table}")).scalar_one()
    if column == "position":
        return (int(last) // STRETCH + 1) * STRETCH
    after = sa.text(
        "SELECT (extract(epoch FROM date_trunc('month', greatest(to_timestamp(:last / 1000.0), now()) AT TIME ZONE 'UTC')"
        " + interval '1 month') * 1000)::bigint"
    )
    return int(op.get_bind().execute(after, {"last": last}).scalar_one())


def _put_aside(table: str) -> None:
    """Make the table that was fit to be a partition: another name, no rights, no policy, no trigger of its own."""
    first = f"{table}_first"
    op.execute(f"DROP POLICY own_rows ON vault.{table}")
    op.execute(f"REVOKE ALL ON vault.{table} FROM {', '.join(GRANTS[table])}")
    if table == "audit_entry":
        for trigger in ("append_only", "not_emptied"):
            op.execute(f"DROP TRIGGER {trigger} ON vault.{table}")
    op.execute(f"ALTER TABLE vault.{table} RENAME TO {first}")
    op.execute(f"ALTER TABLE vault.{first} RENAME CONSTRAINT {table}_pkey TO {first}_pkey")
    for name in INDEXES if table == "audit_lookup" else ():
        op.execute(f"ALTER INDEX vault.{name} RENAME TO {name}_first")


def _parent(table: str) -> None:
    column, key = KEYS[table]
    op.execute(
        f"CREATE TABLE vault.{table} (LIKE vault.{table}_first INCLUDING DEFAULTS INCLUDING STORAGE,"
        f" CONSTRAINT {table}_pkey PRIMARY KEY ({key})) PARTITION BY RANGE ({column})"
    )
    _secure(table)
    for name, columns in (INDEXES | ADDED).items() if table == "audit_lookup" else ():
        op.execute(f"CREATE INDEX {name} ON vault.{table} {columns}")
    if table == "audit_entry":
        _refuse_changes("keep_entry")


def _secure(table: str) -> None:
    own = "controller_id = current_setting('riserbo.controller', true)"
    op.execute(f"ALTER TABLE vault.{table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_rows ON vault.{table} USING ({own}) WITH CHECK ({own})")
    for role, rights in GRANTS[table].items():
        op.execute(f"GRANT {rights} ON vault.{table} TO {role}")


def _refuse_changes(function: str) -> None:
    op.execute(
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON vault.audit_entry FOR EACH ROW EXECUTE FUNCTION vault.{function}()"
    )


def _keep_from_emptying(table: str) -> None:
    op.execute(
        f"CREATE TRIGGER not_emptied BEFORE TRUNCATE ON vault.{table} FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change()"
    )


def _audit_pruned() -> None:
    op.create_table(
        "audit_pruned",
        sa.Column("controller_id", sa.Text(), nullable=False),
        sa.Column("era", sa.Integer(), nullable=False),
        sa.Column("bound", sa.BigInteger(), nullable=False),
        sa.Column("about", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("pruned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("controller_id", "era", "bound", name="audit_pruned_pkey"),
        schema="vault",
    )
    own = "controller_id = current_setting('riserbo.controller', true)"
    op.execute("ALTER TABLE vault.audit_pruned ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own_rows ON vault.audit_pruned USING ({own}) WITH CHECK ({own})")
    op.execute("GRANT SELECT ON vault.audit_pruned TO riserbo_app, riserbo_sequencer, riserbo_signer")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON vault.audit_pruned"
        " FOR EACH ROW EXECUTE FUNCTION vault.refuse_change()"
    )
    _keep_from_emptying("audit_pruned")
