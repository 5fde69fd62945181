"""Which items of a table are an entity's, where one table holds several kinds of items (single-table design)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Selection:
    """A condition on one string attribute, which may be of the key. Either ``equals`` or ``prefix`` is not empty.

    An item without the attribute, or with one of another type, is not selected.
    """

    attribute: str
    equals: str = ""
    prefix: str = ""

    def __str__(self) -> str:
        """Return what it selects, in the form of ``entity new --select``."""
        return f"{self.attribute}={self.equals or f'{self.prefix}*'}"

    def takes(self, item: Any) -> bool:
        """Return whether an item is selected.

        :param item: DynamoDB's JSON; the keys of an event do where the attribute is one of the key
        """
        attribute = item.get(self.attribute) if isinstance(item, Mapping) else None
        text = attribute.get("S") if isinstance(attribute, Mapping) else None
        if not isinstance(text, str):
            return False
        return text == self.equals if self.equals else text.startswith(self.prefix)

    def overlaps(self, other: "Selection") -> bool:
        """Return whether both select some items, as far as that shows: of two attributes, nobody can tell."""
        if self.attribute != other.attribute:
            return False
        if self.equals and other.equals:
            return self.equals == other.equals
        mine, theirs = self.equals or self.prefix, other.equals or other.prefix
        return (bool(other.prefix) and mine.startswith(theirs)) or (bool(self.prefix) and theirs.startswith(mine))

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of a Scan that let the server leave out what is not selected."""
        return {
            "FilterExpression": "#selected = :wanted" if self.equals else "begins_with(#selected, :wanted)",
            "ExpressionAttributeNames": {"#selected": self.attribute},
            "ExpressionAttributeValues": {":wanted": {"S": self.equals or self.prefix}},
        }
