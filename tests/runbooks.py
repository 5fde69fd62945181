"""The commands of the runbooks: blocks marked ``bash`` in ``docs/operations``, each run by a test as it stands.

A block is of one program. ``searchsync`` and ``curl`` are run on real servers (``tests/integration/operations``),
``airflow`` on a database of Airflow (``tests/dags``), and ``aws`` on what Terraform applied (``tests/infra``), by
``tests.aws_command``.
"""

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[1] / "docs" / "operations"
SEQUENCES = {"index_rollback.md", "index_retire.md"}
"""Pages whose blocks belong together, and have a test of their own."""

_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """Commands that are copied together.

    :ivar heading: below which they are
    """

    page: str
    heading: str
    text: str

    def programs(self) -> set[str]:
        """Return the programs that the lines begin with, or whose output they keep."""
        joined = re.sub(r"\\\n\s*", " ", self.text)
        firsts = (re.sub(r"^\w+=(\$\()?", "", line).split() for line in joined.splitlines() if line[:1].strip())
        return {words[0] for words in firsts if words}

    def of(self, entity: str, index: str = "") -> str:
        """Return the commands for an entity and one of its indexes."""
        text = self.text.replace("<entity>", entity).replace("<ENTITY>", entity.upper())
        return text.replace("<index>", index)


def blocks(program: str | None = None) -> list[Block]:
    """Return the blocks of all pages, or those of a program without the sequences."""
    found = [
        Block(page.name, text[: match.start()].rpartition("\n#")[2].splitlines()[0].lstrip("# "), match[1])
        for page in sorted(FOLDER.glob("*.md"))
        for text in [page.read_text(encoding="utf-8")]
        for match in _BLOCK.finditer(text)
    ]
    if program is None:
        return found
    return [block for block in found if program in block.programs() and block.page not in SEQUENCES]
