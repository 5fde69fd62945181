"""The differences that the last comparisons found, as a picture in SVG: a bar for each run, the newest at the right."""

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

WIDTH, HEIGHT, STEP, BAR = 320, 44, 8, 6
_TONES = {"good": "good", "warning": "warn", "bad": "bad"}
_BAR = Markup('<rect class="{tone}" x="{x}" y="{y}" width="{width}" height="{height}"><title>{said}</title></rect>')
_PICTURE = Markup(
    '<svg class="curve" role="img" viewBox="0 0 {width} {height}" aria-label="{said}"><line x1="0" y1="{base}" '
    'x2="{width}" y2="{base}"/>{bars}</svg>'
)


def curve(results: Sequence[dict[str, Any]]) -> Markup:
    """Return the picture. The height of a bar is the logarithm of the count, so that one is seen beside 9,000.

    :param results: of quality runs, the newest first. A light run compares nothing: it is a dot, in the tone of its
        verdict
    """
    shown = [*results[: WIDTH // STEP]][::-1]
    counts = [result.get("confirmed") for result in shown]
    most = max((count or 0 for count in counts), default=0)
    bars, base = Markup(), HEIGHT - 4
    for place, (result, count) in enumerate(zip(shown, counts, strict=True)):
        share = math.log1p(count) / math.log1p(most) if count else 0.0
        height = 2 + round(share * (base - 6), 1)
        what = "not compared" if count is None else f"{count:,} differences"
        bars += _BAR.format(
            tone=_TONES.get(result["verdict"], "warn"),
            x=WIDTH - (len(shown) - place) * STEP,
            y=base - height,
            width=BAR if count is not None else 2,
            height=height,
            said=f"{result['at']}: {result['verdict']}, {what}",
        )
    compared = [count for count in counts if count is not None]
    said = f"differences found by the last {len(compared)} comparisons, the newest last: " + ", ".join(
        map(str, compared)
    )
    return _PICTURE.format(width=WIDTH, height=HEIGHT, base=base, said=said, bars=bars)
