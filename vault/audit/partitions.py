"""The partitions of the trail: made ahead of need, by a function of the owner that takes no argument.

Three months of details and look-up rows, and one stretch of positions more than is in use. Whoever calls it decides nothing but the
moment. What no partition is made for goes to the default one: recording never waits for a partition.
"""

import sqlalchemy as sa
from sqlalchemy import Connection

_MAKE = sa.text("SELECT vault.make_audit_partitions()")


def make_ahead(rows: Connection) -> int:
    """Make the partitions that will soon be needed; return how many. Repeating it makes none."""
    return int(rows.execute(_MAKE).scalar_one())
