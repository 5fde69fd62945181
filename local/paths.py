"""Where things are. Everything that this package writes is below one ignored folder of the checkout.

The environment and the Java archives are always in `.local`. What a stack keeps (data, logs, state) is in its *home*:
`.local` as well, unless `SEARCHSYNC_LOCAL_HOME` names another folder, which lets a test run a whole stack beside the
one that a person works with.
"""

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCAL = ROOT / ".local"
JARS = LOCAL / "jars"


@dataclass(frozen=True, slots=True)
class Home:
    """The files of one stack.

    :param folder: holds everything below.
    :param dags: the DAG files that its Airflow reads.
    """

    folder: Path
    dags: Path

    @classmethod
    def from_environment(cls) -> "Home":
        folder, dags = os.environ.get("SEARCHSYNC_LOCAL_HOME"), os.environ.get("SEARCHSYNC_LOCAL_DAGS")
        return cls(Path(folder).resolve() if folder else LOCAL, Path(dags).resolve() if dags else ROOT / "dags")

    def part(self, name: str) -> Path:
        """The folder of one part; it also marks the part's processes."""
        return self.folder / name

    def stream(self, entity: str) -> Path:
        """The folder of the delivery of an entity's stream."""
        return self.part("stream") / entity

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets.json"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    @property
    def slack_messages(self) -> Path:
        return self.folder / "slack" / "messages.jsonl"
