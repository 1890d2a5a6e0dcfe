"""Where the entries of a log may lie: at or above the bound it was pruned at. A row that somebody put back below is not there."""

import sqlalchemy as sa

from vault import tables

_pruned = tables.audit_pruned.c


def above_bound(placed: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition on rows with controller, era and position. The planner makes no join of a scalar subquery."""
    bound = (
        sa.select(sa.func.max(_pruned.bound))
        .where(_pruned.controller_id == placed.c.controller_id, _pruned.era == placed.c.era)
        .scalar_subquery()
    )
    return placed.c.position >= sa.func.coalesce(bound, 0)
