// Elements are made of text alone, never of markup: what a document holds stays text.

const SVG = new Set(["line", "circle", "text", "title"]);

export function make(tag, attributes = {}, ...children) {
  const made = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// A highlight is HTML, in which the service marks what was found with <em>, and all else is escaped text.
export function marked(html) {
  const plain = (part) => new DOMParser().parseFromString(part, "text/html").documentElement.textContent;
  return html.split(/<em>(.*?)<\/em>/s).map((part, at) => (at % 2 ? make("mark", {}, plain(part)) : spaced(part, plain)));
}

// A parser drops the spaces at the beginning of a document.
function spaced(part, plain) {
  return part.match(/^\s*/)[0] + plain(part).trimStart();
}

export function text(found) {
  if (Array.isArray(found)) return found.map(text).join(", ");
  if (typeof found === "number") return found.toLocaleString("en", { maximumFractionDigits: 6 });
  if (typeof found === "string") return found.replace(/^(\d{4}-\d\d-\d\d)T.*/, "$1");
  if (found === null) return "";
  if (typeof found !== "object") return String(found);
  return "lat" in found && "lon" in found ? `${found.lat}, ${found.lon}` : JSON.stringify(found);
}
