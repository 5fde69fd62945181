"""Documents by day as a curve, with the forecast and its interval; drawn by hand, so that it needs no network."""

from datetime import timedelta

from searchsync.capacity.outlook import Outlook

WIDTH, HEIGHT, MARGIN = 640, 160, 70


def curve(outlook: Outlook) -> str:
    """Return the curve; empty when there is nothing to see yet."""
    points, trend = outlook.points, outlook.trend
    if len(points) < 2:
        return ""
    first, ahead = points[0].day, (points[-1].day - points[0].day).days if trend else 0
    ahead = min(ahead, outlook.horizon)  # as far ahead as back: what is behind it cannot be seen
    span = (points[-1].day - first).days + ahead
    intervals = [(days, trend.after(days)) for days in range(ahead + 1)] if trend else []
    top = max(1.0, *(point.documents for point in points), *(interval.high for _, interval in intervals))

    def place(days: float, documents: float) -> str:
        return f"{MARGIN + (WIDTH - MARGIN) * days / span:.1f},{HEIGHT - HEIGHT * documents / top:.1f}"

    last = (points[-1].day - first).days
    dots = [place((point.day - first).days, point.documents).split(",") for point in points]
    highs = [place(last + days, interval.high) for days, interval in intervals]
    lows = [place(last + days, interval.low) for days, interval in intervals]
    line = " ".join(place(last + days, interval.expected) for days, interval in intervals)
    band = (
        f'<polygon points="{" ".join([*highs, *reversed(lows)])}" fill="#1565c0" opacity=".15"/>' if intervals else ""
    )
    drawn = f'<polyline points="{line}" fill="none" stroke="#1565c0" stroke-dasharray="4 3"/>' if intervals else ""
    title = f"documents of {outlook.size.entity} by day"
    return (
        f'<svg viewBox="-4 -6 {WIDTH + 12} {HEIGHT + 26}" width="{WIDTH}" role="img" aria-label="{title}">'
        f'<text x="0" y="8">{top:,.0f}</text><text x="0" y="{HEIGHT}">0</text>'
        f'<path d="M{MARGIN} 0V{HEIGHT}H{WIDTH}" fill="none" stroke="#ccc"/>{band}{drawn}'
        + "".join(f'<circle cx="{x}" cy="{y}" r="2" fill="#1565c0"/>' for x, y in dots)
        + f'<text x="{MARGIN}" y="{HEIGHT + 16}">{first}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 16}" text-anchor="end">{first + timedelta(days=span)}</text></svg>'
    )
