// The map: dots where the results are, in a frame that holds them all, on lines of latitude and longitude.

import { make } from "/page/make.js";

const HEIGHT = 200; // px
const LABEL = 60; // px that the name of a line may take
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 45]; // degrees between lines

export function point(found) {
  const [lat, lon] = typeof found === "string" ? found.split(",").map(Number) : [found?.lat, found?.lon];
  return Number.isFinite(lat) && Number.isFinite(lon) ? { lat, lon } : null;
}

export function draw(svg, places, select) {
  svg.toggleAttribute("hidden", places.length === 0);
  if (!places.length) return;
  const width = svg.getBoundingClientRect().width;
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`); // one unit is one pixel, so labels are as large on a phone
  const { x, y, scale, narrow, west, south } = frame(places, width);
  const apart = (scale) => STEPS.find((one) => one * scale > LABEL) ?? 90;
  const lines = [];
  const labels = [];
  const across = apart(scale);
  for (let lat = Math.ceil(south / across) * across; y(lat) > 0; lat += across) {
    lines.push(make("line", { x1: 0, x2: width, y1: y(lat), y2: y(lat) }));
    labels.push(make("text", { x: 4, y: y(lat) - 3 }, `${+lat.toFixed(2)}°`));
  }
  const along = apart(scale * narrow);
  for (let lon = Math.ceil(west / along) * along; x(lon) < width; lon += along) {
    lines.push(make("line", { y1: 0, y2: HEIGHT, x1: x(lon), x2: x(lon) }));
    const fits = x(lon) > LABEL && x(lon) < width - LABEL;
    if (fits) labels.push(make("text", { x: x(lon) + 3, y: HEIGHT - 6 }, `${+lon.toFixed(2)}°`));
  }
  const drawn = [...lines, ...labels];
  for (const { at, name, lat, lon } of places.toReversed()) {
    const onclick = () => select(at);
    drawn.push(make("circle", { cx: x(lon), cy: y(lat), r: 6, "data-at": at, onclick }, make("title", {}, name)));
  }
  svg.replaceChildren(...drawn);
}

function frame(places, width) {
  const range = (of) => [Math.min(...places.map(of)), Math.max(...places.map(of))];
  const [bottom, top] = range((one) => one.lat);
  const [left, right] = range((one) => one.lon);
  const lat = (bottom + top) / 2;
  const lon = (left + right) / 2;
  const narrow = Math.max(0.1, Math.cos((lat * Math.PI) / 180)); // a degree of longitude is shorter there
  const scale = 0.8 * Math.min(HEIGHT / Math.max(top - bottom, 0.05), width / Math.max((right - left) * narrow, 0.1));
  return {
    x: (one) => width / 2 + (one - lon) * narrow * scale,
    y: (one) => HEIGHT / 2 - (one - lat) * scale,
    scale,
    narrow,
    west: lon - width / 2 / narrow / scale,
    south: lat - HEIGHT / 2 / scale,
  };
}
