// Questions in words. What was said stays in this page, goes along with the next question, and is forgotten with it.

import { make } from "/page/make.js";

const $ = (id) => document.getElementById(id);
const EARLIER = 6; // questions that go along: the service takes no more
const LONGEST = 2000; // characters of an earlier answer

let history = [];
let running = null;

// send: fetches with the token; complain: shows a problem
export function prepare(send, complain) {
  $("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    ask($("question").value.trim(), send, complain);
  });
}

// Another person, or another tenant: nothing of what was said before goes along.
export function forget() {
  history = [];
  running?.abort();
  for (const id of ["steps", "said", "ending"]) $(id).replaceChildren();
}

async function ask(question, send, complain) {
  if (!question) return;
  running?.abort();
  const mine = (running = new AbortController());
  for (const id of ["steps", "said"]) $(id).replaceChildren();
  $("ending").textContent = "Looking …";
  try {
    const body = JSON.stringify({ question, history });
    const answer = await send("/v1/ask", {
      method: "POST", body, signal: mine.signal, headers: { "content-type": "application/json" },
    });
    if (!answer.ok) {
      $("ending").textContent = "";
      complain(await answer.json());
      return;
    }
    for await (const event of events(answer.body)) show(event);
  } catch (error) {
    if (mine.signal.aborted) return;
    $("ending").textContent = `The answer broke off: ${error.message}.`;
    return;
  }
  const said = [...$("said").children].map((one) => one.firstChild.textContent).join(" ");
  const answer = said.slice(0, LONGEST).replace(/[\p{Cc}\p{Cs}]/gu, " ").trim(); // the service takes no other text
  if (answer) history = [...history, { question, answer }].slice(-EARLIER);
}

async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    for (const part of parts) yield JSON.parse(part.split("\n").find((line) => line.startsWith("data: ")).slice(6));
  }
}

function show(event) {
  if (event.event === "step") {
    const asked = Object.entries(event.asked).map(([name, one]) => `${name} ${typeof one === "object" ? JSON.stringify(one) : one}`);
    const found = event.problem ? `failed (${event.problem})` : `${event.found.toLocaleString("en")} found`;
    $("steps").append(make("li", {}, `${event.tool.replaceAll("_", " ")} ${asked.join(", ")}: ${found}`));
  } else if (event.event === "answer") {
    $("said").append(...event.statements.map((one) => make("li", {}, make("span", {}, one.text), ...one.documents.flatMap(source))));
  } else $("ending").textContent = event.text;
}

// A source leads to its document, as a search by its name. What the model wrote is text, and never a link.
function source(one) {
  return [" ", make("a", { href: `#${new URLSearchParams({ entity: one.entity, q: one.name })}` }, `${one.entity}/${one.id}`)];
}
