"""What may be asked of an entity: the block ``search`` of its file, with the types of its mapping."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import msgspec

from search_api.caller import EveryTenant, Scope
from searchsync.catalog import Entity
from searchsync.mapping import searching
from searchsync.mapping.field_types import Field
from searchsync.mapping.searching import Compared


class NotServed(Exception):
    """An entity's file does not say that, or to whom, the search API may show its documents."""


@dataclass(frozen=True)
class TextRoles:
    """The fields that ``q`` looks in, by what they mean; their types and sub-fields are in ``Searchable.properties``.

    :ivar names: text fields with the main names
    :ivar other_names: text fields with names in other languages and the like
    :ivar words: text and keyword fields whose words narrow a search
    :ivar prominence: the number field that puts the greater one of equal names first
    """

    names: tuple[str, ...]
    other_names: tuple[str, ...]
    words: tuple[str, ...]
    prominence: str | None


@dataclass(frozen=True)
class Parameter:
    """A parameter that filters.

    :ivar field: what is compared
    :ivar bound: whether its value is the least or the greatest that is found; empty when it is the value itself
    """

    name: str
    field: Compared
    bound: Literal["", "min", "max"]


@dataclass(frozen=True)
class Searchable:
    """What may be asked of one entity.

    :ivar name: name of the entity
    :ivar tenant: the field that holds a document's tenant; None when all tenants share all documents
    :ivar visible: filter that leaves out tombstones, expired documents and the heartbeat
    :ivar properties: fields of the mapping, without ``sync``
    :ivar fields: names of the fields that a hit may show
    :ivar key: paths of the key's fields: they order hits that are equal otherwise
    :ivar text: the fields that ``q`` looks in
    :ivar near: the field that distances are measured to
    :ivar parameters: the parameters that filter, by name
    :ivar facets: the fields whose values can be counted, by name
    :ivar sorts: the fields that hits can be sorted by, by name
    """

    name: str
    tenant: str | None
    visible: Mapping[str, Any]
    properties: Mapping[str, Field]
    fields: tuple[str, ...]
    key: tuple[str, ...]
    text: TextRoles
    near: str | None
    parameters: Mapping[str, Parameter]
    facets: Mapping[str, Compared]
    sorts: Mapping[str, Compared]

    @classmethod
    def of(cls, entity: Entity) -> "Searchable":
        """Return what may be asked of an entity. Raise ``NotServed`` if its file does not allow it.

        :raises BadMapping: when the mapping file is missing or wrong
        """
        search = entity.search
        if search is None:
            raise NotServed(f"the file of {entity.name} has no block 'search'")
        if entity.tenant is None and not search.shared:
            raise NotServed(f"the file of {entity.name} names no tenant, and does not say search.shared: true")
        properties = {
            name: field for name, field in entity.index_body["mappings"]["properties"].items() if name != "sync"
        }
        filters = [searching.filtered(properties, name) for name in search.filters]
        return cls(
            name=entity.name,
            tenant=entity.tenant,
            visible=_visible(entity, properties),
            properties=properties,
            fields=tuple(properties),
            key=tuple(searching.tie_breaker(properties, part) for part in entity.key),
            text=TextRoles(search.names, search.other_names, search.words, search.prominence),
            near=search.near,
            parameters={one.name: one for field in filters for one in _parameters(field)},
            facets={name: searching.faceted(properties, name) for name in search.facets},
            sorts={name: searching.sorted_by(properties, name) for name in search.sorts},
        )

    @cached_property
    def version(self) -> str:
        """A hash of all of this: an answer that was made by another file or mapping is not the answer of this one."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    def filters(self, scope: Scope) -> list[Mapping[str, Any]]:
        """Return the filters of every query: what is visible at all, and what this scope may see.

        A document without a tenant is seen by ``EveryTenant`` alone.
        """
        if self.tenant is None or isinstance(scope, EveryTenant):
            return [self.visible]
        return [self.visible, {"term": {self.tenant: {"value": scope.id}}}]


def _visible(entity: Entity, properties: Mapping[str, Field]) -> Mapping[str, Any]:
    """Return what nobody may see left out: the heartbeat is nobody's document, and not every entity has tenants."""
    if entity.heartbeat is None:
        return entity.visible
    partition = {"term": {searching.tie_breaker(properties, entity.key[0]): {"value": entity.heartbeat_key}}}
    return {"bool": {"must_not": [*entity.visible["bool"]["must_not"], partition]}}


def _parameters(field: Compared) -> list[Parameter]:
    if field.parameters == (field.name,):
        return [Parameter(field.name, field, "")]
    least, greatest = field.parameters
    return [Parameter(least, field, "min"), Parameter(greatest, field, "max")]
