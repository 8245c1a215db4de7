"""Writes the committed OpenAPI document from the application; `--baseline` moves the promise too, at a release."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from tests.contract.stage import staged

ROOT = Path(__file__).parents[2]


async def main() -> None:
    """Write the file, or both."""
    with tempfile.TemporaryDirectory() as folder:
        async with staged(Path(folder)) as stage:
            text = json.dumps(json.loads(stage.app.document()), indent=1) + "\n"
    (ROOT / "zjops" / "openapi.json").write_text(text)
    if "--baseline" in sys.argv:
        (Path(__file__).parent / "baseline" / "v1.json").write_text(text)


asyncio.run(main())
