const form = document.querySelector("form");
const [values, button, trouble] = form.querySelectorAll("textarea, button, [role=alert]");

async function start() {
  const conf = JSON.parse(values.value.trim() || "{}");
  const answer = await fetch(form.dataset.api, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify({ logical_date: null, conf }),
  });
  const said = await answer.json();
  if (!answer.ok) {
    throw new Error(typeof said.detail === "string" ? said.detail : JSON.stringify(said.detail));
  }
  location.assign(form.dataset.runs + encodeURIComponent(said.dag_run_id));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  button.disabled = true;
  trouble.textContent = "";
  start().catch((error) => {
    trouble.textContent = `Nothing was started: ${error.message}`;
    button.disabled = false;
    button.focus(); // which it lost when it was disabled
  });
});
button.hidden = false;
