"""What controllers of tests say of themselves, so that receipts can be made for them."""

import json
from pathlib import Path
from typing import Any

from vault.settings import Settings

SAMPLE = Path(__file__).parents[1] / "samples" / "controller.json"
SAID: dict[str, Any] = json.loads(SAMPLE.read_text())


def describe(settings: Settings, controller_id: str, **other: Any) -> None:
    """Write the file of a controller."""
    settings.publishers.mkdir(exist_ok=True)
    (settings.publishers / f"{controller_id}.json").write_text(json.dumps({**SAID, **other}))
