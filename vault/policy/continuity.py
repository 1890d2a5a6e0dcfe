"""What a bundle may not take away from the one before it: the words and places of what is stored already. Pure.

Values lie sealed under a field and its class, agreements name a template and its digest, people were given a notice. A bundle that
no longer knows them would leave data that nobody can decide on, so it is refused, a rollback too: sign a corrected bundle instead.
"""

from collections.abc import Collection, Iterator
from typing import Final

from vault.policy.bundle import Bundle
from vault.policy.files import template_digest

_PLACES: Final = ("class", "type", "index")  # what seals a value, what shape it has, what it is found by


def losses(old: Bundle, new: Bundle, agreed: Collection[str], served: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield what the new bundle lacks or moves, and how. `agreed`: templates (`id@version`) there are, `served`: notices given."""
    before, after = old.catalogue["fields"], new.catalogue["fields"]
    for name, entry in before.items():
        if name not in after:
            yield name, "field.gone"
        elif any(entry.get(part) != after[name].get(part) for part in _PLACES):
            yield name, "field.moved"
    for reference, document in old.templates.items():
        if reference in new.templates and template_digest(new.templates[reference]) != template_digest(document):
            yield reference, "template.changed"
    yield from ((reference, "template.gone") for reference in sorted(agreed) if reference not in new.templates)
    for reference, notice in old.notices.items():
        if reference in new.notices and new.notices[reference].texts != notice.texts:
            yield reference, "notice.changed"
    yield from ((reference, "notice.gone") for reference in sorted(served) if reference not in new.notices)
