"""Write the OpenAPI document: `python -m api.openapi docs/openapi.json`. A check fails when the committed one differs."""

import json
import sys
from pathlib import Path

from api.described import document
from api.main import bare_app


def text() -> str:
    """Return the document as it is committed."""
    return json.dumps(document(bare_app()), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
