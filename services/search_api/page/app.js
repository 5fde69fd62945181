// The search page: what is asked stands in the address after #, so a search can be kept as a link. The token does not.

import { forget, prepare } from "/page/ask.js";
import { make, marked, text } from "/page/make.js";
import { draw, point } from "/page/map.js";

const $ = (id) => document.getElementById(id);
const AFTER_TYPING = 120; // ms
const FACTS = 6;
const NOTHING = "Nothing is found. Try fewer words, or take a filter away.";
const SHOWN_VALUES = 8; // of a facet

let token = "";
let entities = [];
let entity = null;
let asked = new Map(); // parameter -> list of values
let shown = []; // hits on the page
let now = -1; // the hit that the keyboard stands on
let latest = 0; // number of the last search: an answer to an earlier one comes too late
let running = null;
let cursor = null;

class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail);
    Object.assign(this, { status, problem });
  }
}

async function send(path, options = {}, again = true) {
  const answer = await fetch(path, { ...options, headers: { ...options.headers, authorization: `Bearer ${token}` } });
  return answer.status === 401 && again && (await renewed()) ? send(path, options, false) : answer;
}

async function ask(path, options = {}) {
  const answer = await send(path, options);
  const body = await answer.json();
  if (!answer.ok) throw new Refused(answer.status, body);
  return [body, answer.headers];
}

// ---- who searches

async function signIn() {
  const development = await fetch("/dev/identities").catch(() => null);
  if (!development?.ok) {
    $("sign-in").hidden = false;
    $("sign-in").addEventListener("submit", (event) => {
      event.preventDefault();
      use($("token").value.trim().replace(/^Bearer /, ""));
    });
    $("token").focus();
    return;
  }
  const who = (await development.json()).identities.filter((one) => one.role !== "service");
  $("who").replaceChildren(
    ...who.map((one) => make("option", { value: JSON.stringify(one) }, `${one.tenant} · ${one.role.replace("_", " ")}`)),
  );
  $("identity").hidden = false;
  $("who").addEventListener("change", become);
  await become();
}

async function become() {
  if (await renewed()) await use(token);
}

// A token has expired, or is none: on a developer's machine there is a new one, elsewhere a person has to bring it.
async function renewed() {
  if ($("identity").hidden) {
    $("main").hidden = true;
    $("sign-in").hidden = false;
    return false;
  }
  const headers = { "content-type": "application/json" };
  const answer = await fetch("/dev/token", { method: "POST", headers, body: $("who").value });
  const body = await answer.json();
  if (answer.ok) token = body.token;
  else complain(body);
  return answer.ok;
}

async function use(given) {
  token = given;
  try {
    const served = (await ask("/v1/entities"))[0];
    entities = served.entities;
    $("agent").hidden = !served.agent;
    forget();
  } catch (error) {
    complain(error.problem ?? { detail: String(error) });
    return;
  }
  $("problem").hidden = true;
  $("sign-in").hidden = true;
  $("token").value = "";
  $("main").hidden = false;
  read();
}

// ---- what is asked

function read() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const named = parts.get("entity");
  parts.delete("entity");
  entity = entities.find((one) => one.name === named) ?? entities[0];
  asked = new Map([...new Set(parts.keys())].map((name) => [name, parts.getAll(name)]));
  $("q").value = value("q");
  describe();
  search();
}

const value = (name) => asked.get(name)?.[0] ?? "";

function set(name, values) {
  const kept = values.filter((one) => one !== "");
  if (kept.length) asked.set(name, kept);
  else asked.delete(name);
}

function pairs() {
  return [...asked].flatMap(([name, values]) => values.map((one) => [name, one]));
}

function keep() {
  const parts = new URLSearchParams([["entity", entity.name], ...pairs()]);
  history.replaceState(null, "", `#${parts}`);
}

function change(name, values) {
  set(name, values);
  describe();
  search();
}

const label = (name) => name.replaceAll("_", " ");

function describe() {
  $("entities").replaceChildren(
    ...entities.map((one) =>
      make("button", { type: "button", "aria-pressed": String(one === entity), onclick: () => enter(one) }, one.name),
    ),
  );
  const orders = ["relevance", ...(asked.has("near") ? ["distance"] : []), ...entity.sorts.flatMap((one) => [one, `-${one}`])];
  if (!orders.includes(value("sort"))) asked.delete("sort");
  $("sort").replaceChildren(
    make("option", { value: "" }, "what fits best"),
    ...orders.map((one) => make("option", { value: one }, `${label(one.replace(/^-/, ""))}${one[0] === "-" ? " ↓" : ""}`)),
  );
  $("sort").value = value("sort");
  $("filters").replaceChildren(...fields().map(([name, parameters]) => filter(name, parameters)));
  $("chosen").replaceChildren(...chosen());
}

function enter(one) {
  entity = one;
  asked = new Map(asked.has("q") ? [["q", asked.get("q")]] : []);
  describe();
  search();
  $("q").focus();
}

function fields() {
  const found = new Map();
  for (const one of entity.filters) {
    const facet = entity.facets.includes(one.field);
    if (!facet) found.set(one.field, [...(found.get(one.field) ?? []), one]);
  }
  return [...found];
}

const INPUTS = { "whole number": "number", "decimal number": "number", date: "date" };

function filter(name, parameters) {
  const inputs = parameters.map((one) => {
    const bound = { min: "from", max: "to" }[one.bound] ?? "";
    const attributes = {
      type: INPUTS[one.kind] ?? "text",
      step: one.kind === "decimal number" ? "any" : undefined,
      name: one.parameter,
      value: value(one.parameter),
      placeholder: bound,
      "aria-label": `${label(name)} ${bound}`,
      onchange: (event) => change(one.parameter, [event.target.value.trim()]),
    };
    if (one.kind !== "boolean") return make("input", attributes);
    const select = make("select", attributes, ...["", "true", "false"].map((v) => make("option", { value: v }, v || "any")));
    select.value = value(one.parameter);
    return select;
  });
  return make("fieldset", {}, make("legend", {}, label(name)), make("div", { class: inputs.length > 1 ? "range" : "" }, ...inputs));
}

function chosen() {
  const own = new Set(["q", "sort"]);
  return pairs()
    .filter(([name]) => !own.has(name))
    .map(([name, one]) => {
      const text = name === "near" ? `within ${one.split(",")[2]} km of ${one.split(",").slice(0, 2)}` : `${label(name)}: ${one}`;
      const drop = () => change(name, asked.get(name).filter((other) => other !== one));
      return make("button", { type: "button", "aria-label": `remove ${text}`, onclick: drop }, text);
    });
}

// ---- searching

async function search(more = false) {
  const number = ++latest;
  running?.abort();
  running = new AbortController();
  keep();
  const parameters = new URLSearchParams(pairs());
  parameters.set("highlight", "true");
  if (more) parameters.set("cursor", cursor);
  else if (entity.facets.length) parameters.set("facets", entity.facets.join());
  const began = performance.now();
  try {
    const [body, headers] = await ask(`/v1/${entity.name}/search?${parameters}`, { signal: running.signal });
    if (number !== latest) return;
    show(body, headers, performance.now() - began, more);
    if (!more) suggest(number);
  } catch (error) {
    if (error.name === "AbortError" || number !== latest) return;
    if (!more) {
      empty(); // what is shown answers another question
      $("suggestions").replaceChildren();
    }
    complain(error.problem ?? { detail: `The service does not answer: ${error.message}.` });
  }
}

async function suggest(number) {
  const q = value("q").trim();
  let names = [];
  if (q.length > 1) {
    const parameters = new URLSearchParams({ q, limit: 6 });
    const [body] = await ask(`/v1/${entity.name}/suggest?${parameters}`, { signal: running.signal }).catch(() => [{}]);
    names = [...new Set((body.suggestions ?? []).map(title))];
  }
  if (number !== latest) return;
  const take = (text) => {
    $("q").value = text;
    change("q", [text]);
    $("q").focus();
  };
  $("suggestions").replaceChildren(
    ...names.map((text) => make("button", { type: "button", onclick: () => take(text) }, text)),
  );
}

function complain(problem) {
  $("problem").replaceChildren(
    make("strong", {}, problem.detail ?? "Something failed."),
    ` ${problem.next_step ?? ""} `,
    ...(problem.type ? [make("a", { href: problem.type, target: "_blank" }, "What this means"), " "] : []),
    make("small", {}, problem.request_id ? `(request ${problem.request_id})` : ""),
  );
  $("problem").hidden = false;
  $("status").textContent = "";
}

// ---- showing

function empty() {
  shown = [];
  now = -1;
  $("more").hidden = true;
  for (const id of ["results", "facets"]) $(id).replaceChildren();
  locate();
}

function show(body, headers, milliseconds, more) {
  $("problem").hidden = true;
  if (!more) {
    empty();
    $("facets").replaceChildren(...entity.facets.map((name) => facet(name, body.facets[name] ?? [])).filter((one) => one));
  }
  cursor = body.next_cursor;
  $("more").hidden = !cursor;
  if (!body.hits.length && !more) $("results").append(make("li", { class: "nothing" }, NOTHING));
  const first = shown.length;
  shown.push(...body.hits);
  $("results").append(...body.hits.map((hit, at) => result(hit, first + at)));
  const { value: count, relation } = body.total;
  const cache = headers.get("x-cache");
  const stale = cache === "stale" ? ", an earlier answer: the search engine does not answer" : "";
  $("status").textContent =
    `${relation === "gte" ? "at least " : ""}${count.toLocaleString("en")} found · ${milliseconds.toFixed(0)} ms` +
    ` (${cache === "miss" ? `engine ${body.took_ms} ms, ` : ""}cache: ${cache})${stale}`;
  locate();
}

function locate() {
  const places = shown.map((hit, at) => ({ at, name: title(hit), ...point(hit.document?.[entity.near]) }));
  draw($("map"), places.filter((one) => "lat" in one), (at) => select(at, false));
}

const title = (hit) => text(hit.document?.[entity.names[0]] ?? hit.id);

function facet(name, values) {
  const parameter = entity.filters.find((one) => one.field === name && one.bound === "")?.parameter;
  const on = asked.get(parameter) ?? [];
  const found = values.map((one) => ({ ...one, value: String(one.value) }));
  const missing = on.filter((one) => !found.some((other) => other.value === one)).map((one) => ({ value: one, count: 0 }));
  if (!found.length && !missing.length) return null;
  const single = values.some((one) => typeof one.value === "boolean");
  const toggle = (one) => change(parameter, on.includes(one) ? on.filter((o) => o !== one) : single ? [one] : [...on, one]);
  return make(
    "div",
    {},
    make("h2", {}, label(name)),
    ...[...missing, ...found].slice(0, SHOWN_VALUES).map((one) =>
      make(
        "button",
        { type: "button", "aria-pressed": String(on.includes(one.value)), disabled: parameter ? undefined : "", onclick: () => toggle(one.value) },
        make("span", {}, one.value),
        make("span", { class: "count" }, one.count.toLocaleString("en")),
      ),
    ),
  );
}

function result(hit, at) {
  const document = hit.document ?? {};
  const [name] = entity.names;
  const highlights = { ...hit.highlights };
  const heading = highlights[name] ? marked(highlights[name][0]) : [title(hit)];
  delete highlights[name];
  const facts = [...new Set([...entity.facets, ...entity.sorts])].filter((one) => one !== name && text(document[one] ?? ""));
  const far = hit.distance_km == null ? "" : `${hit.distance_km.toFixed(1)} km`;
  const item = make(
    "li",
    { tabindex: "-1", onclick: (event) => !event.target.closest(".whole") && select(at, true) },
    make("h2", {}, make("span", {}, ...heading), make("span", { class: "far" }, far)),
    make("p", { class: "facts" }, ...facts.slice(0, FACTS).map((one) => make("span", {}, `${label(one)} `, make("b", {}, text(document[one]))))),
  );
  const plain = (marks) => marks.map((one) => one.textContent ?? one).join("");
  const extracts = Object.values(highlights).flat().filter((one) => plain(marked(one)) !== title(hit)).slice(0, 2);
  if (extracts.length) item.append(make("p", { class: "extract" }, ...extracts.flatMap((one) => [...marked(one), " … "]).slice(0, -1)));
  return item;
}

function select(at, open) {
  if (!shown[at]) return;
  $("results").children[now]?.removeAttribute("aria-current");
  now = at;
  const item = $("results").children[at];
  item.setAttribute("aria-current", "true");
  item.focus({ preventScroll: true });
  item.scrollIntoView({ block: "nearest" });
  document.querySelectorAll("#map circle").forEach((dot) => dot.classList.toggle("now", dot.dataset.at === String(at)));
  if (open) whole(item, shown[at]);
}

async function whole(item, hit) {
  if (item.querySelector(".whole")) {
    item.querySelectorAll(".whole, .near").forEach((one) => one.remove());
    return;
  }
  try {
    const [body] = await ask(`/v1/${entity.name}/${encodeURIComponent(hit.id)}`);
    const rows = Object.entries(body.document).flatMap(([name, one]) => [make("dt", {}, label(name)), make("dd", {}, text(one))]);
    item.append(make("dl", { class: "whole" }, make("dt", {}, "id"), make("dd", {}, body.id), ...rows));
    const place = entity.near && point(body.document[entity.near]);
    const around = (event) => {
      event.stopPropagation();
      set("q", []);
      $("q").value = "";
      change("near", [`${place.lat},${place.lon},50`]);
    };
    if (place) item.append(make("button", { type: "button", class: "near", onclick: around }, "What is within 50 km?"));
  } catch (error) {
    complain(error.problem ?? { detail: error.message });
  }
}

// ---- keyboard

function key(event) {
  const typing = ["INPUT", "SELECT"].includes(event.target.tagName);
  if (event.key === "/" && !typing) {
    $("q").focus();
    $("q").select();
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && (!typing || event.target === $("q"))) {
    const next = event.key === "ArrowDown" ? now + 1 : now - 1;
    if (next < 0) {
      select(0, false);
      $("q").focus();
      now = -1;
    } else select(Math.min(next, shown.length - 1), false);
  } else if (event.key === "Enter" && event.target === $("q")) {
    clearTimeout(waiting);
    change("q", [$("q").value]);
  } else if (event.key === "Enter" && now >= 0 && event.target === $("results").children[now]) {
    select(now, true);
  } else if (event.key === "Escape" && !$("main").hidden) {
    $("q").value = "";
    asked.clear();
    change("q", []);
    $("q").focus();
  } else return;
  event.preventDefault();
}

let waiting = 0;
$("q").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => change("q", [$("q").value]), AFTER_TYPING);
});
$("sort").addEventListener("change", () => change("sort", [$("sort").value]));
$("more").addEventListener("click", () => search(true));
$("filters").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", key);
prepare(send, complain);
window.addEventListener("hashchange", read);
window.addEventListener("resize", locate);
$("narrow").open = matchMedia("(min-width: 48rem)").matches;
signIn();
