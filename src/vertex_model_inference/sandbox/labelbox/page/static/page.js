// What the page adds to plain links and forms: dialogs, the Train Model button, the live status. No library, no build.
"use strict";

const $ = (selector, from = document) => from.querySelector(selector);
const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];

async function call(method, path, value) {
  let response, answer = null;
  try {
    response = await fetch(path, {
      method,
      headers: value === undefined ? {} : { "Content-Type": "application/json" },
      body: value === undefined ? undefined : JSON.stringify(value),
    });
    answer = await response.json();
  } catch (error) {
    throw Object.assign(new Error("The sandbox does not answer. Is it still running?"), { status: 0 });
  }
  if (!response.ok) {
    const said = answer && answer.answer;
    const more = said && (said.error || said.message || said.detail || (typeof said === "string" ? said.slice(0, 300) : ""));
    const text = (answer && answer.error) || `The sandbox answered ${response.status}.`;
    const detail = more && (more.message || more);
    throw Object.assign(new Error(detail ? `${text} It says: ${typeof detail === "string" ? detail : JSON.stringify(detail)}` : text), { status: response.status });
  }
  return answer;
}

let toastTimer;
function toast(text) {
  const box = $("#toast");
  box.textContent = text;
  box.classList.add("on");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => box.classList.remove("on"), 5000);
}

function trouble(form, text) {
  const box = $(".trouble", form);
  box.textContent = text || "";
  box.hidden = !text;
}

// ---- dialogs --------------------------------------------------------------------------------------------------------
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open]");
  if (opener) $(`#${opener.dataset.open}`).showModal();
  const closer = event.target.closest("[data-close]");
  if (closer && closer.closest("dialog")) closer.closest("dialog").close();
  if (event.target instanceof HTMLDialogElement) event.target.close();
});

const settings = $("#settings-form");
settings.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(settings);
  const value = { url: String(form.get("url")).trim() || null };
  if (form.get("secret")) value.secret = String(form.get("secret"));
  else if (form.get("clear")) value.secret = null;
  try {
    await call("PUT", "/_sandbox/webhook", value);
    location.reload();
  } catch (error) {
    trouble(settings, error.message);
  }
});

// ---- Train Model ----------------------------------------------------------------------------------------------------
const trainButton = $("#train-button");
if (trainButton) {
  const dialog = $("#train"), form = $("#train-form"), list = $("#train-options"), go = $("#train-go");

  const choose = (names) => {
    list.replaceChildren();
    const filter = document.createElement("input");
    if (names.length > 8) {
      Object.assign(filter, { type: "search", placeholder: `Search ${names.length} models`, ariaLabel: "Search models" });
      filter.addEventListener("input", () => {
        for (const option of $$(".option", list)) option.hidden = !option.textContent.toLowerCase().includes(filter.value.toLowerCase());
      });
      list.append(filter);
    }
    for (const name of names) {
      const label = document.createElement("label"), radio = document.createElement("input");
      label.className = "option";
      Object.assign(radio, { type: "radio", name: "option", value: name, required: true });
      label.append(radio, document.createTextNode(name));
      list.append(label);
    }
  };
  list.addEventListener("change", () => { go.disabled = !$("input[name=option]:checked", list); });

  let asked = 0;  // which opening of the dialog an answer belongs to
  const ask = async (mine) => {
    try {
      const names = Object.keys(await call("GET", "/_sandbox/train_options"));
      if (mine !== asked || !dialog.open) return;
      if (!names.length) {
        // A service that has just been started, or a model that has just been made: its list fills in a moment.
        list.textContent = "The training service offers no models yet; asking again …";
        setTimeout(() => { if (mine === asked && dialog.open) ask(mine); }, 2000);
        return;
      }
      choose(names);
      const first = $("input[name=option]", list);
      if (names.length === 1) { first.checked = true; go.disabled = false; }
      first.focus();
    } catch (error) {
      if (mine !== asked) return;
      list.textContent = "";
      if (error.status === 409) {
        const button = document.createElement("button");
        Object.assign(button, { type: "button", textContent: "Set the training service" });
        button.addEventListener("click", () => { dialog.close(); $("#settings").showModal(); });
        list.append(button);
        trouble(form, "No training service is set yet.");
      } else trouble(form, error.message);
    }
  };

  trainButton.addEventListener("click", () => {
    trouble(form);
    go.disabled = true;
    list.textContent = "Asking the training service …";
    dialog.showModal();
    ask(++asked);
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const chosen = $("input[name=option]:checked", list);
    if (!chosen) return;
    go.disabled = true;
    trouble(form);
    try {
      await call("POST", `/_sandbox/model_runs/${trainButton.dataset.run}/train`, { modelType: chosen.value });
      dialog.close();
      toast(`Asked the training service to run “${chosen.value}”.`);
      eager = Date.now() + 20000;
      look();
    } catch (error) {
      trouble(form, error.message);
      go.disabled = false;
    }
  });
}

// ---- live status ----------------------------------------------------------------------------------------------------
const status = $("#status");
let eager = 0, timer;

async function look() {
  clearTimeout(timer);
  let running = status.dataset.running === "yes";
  if (!document.hidden) {
    try {
      const found = await call("GET", `${status.dataset.base}/status.json?stamp=${status.dataset.stamp}`);
      if (found.html !== undefined) {
        const open = new Map($$("details", status).map((item) => [item.id, item.open]));
        status.innerHTML = found.html;
        for (const item of $$("details", status)) if (open.has(item.id)) item.open = open.get(item.id);
        const news = String(found.predictions) !== status.dataset.predictions;
        status.dataset.predictions = found.predictions;
        const ended = running && !found.running;
        status.dataset.stamp = found.stamp;
        status.dataset.running = found.running ? "yes" : "no";
        if (news || ended) refresh();
        if (ended) toast(found.status === "FAILED" ? "The run failed." : "The run is complete.");
      }
      running = found.running;
    } catch (error) { /* the next look may succeed; the page stays as it is */ }
  }
  timer = setTimeout(look, running || Date.now() < eager ? 1000 : 8000);
}
if (status) {
  timer = setTimeout(look, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
}

async function refresh() {
  const address = new URL(location.href);
  address.searchParams.set("fragment", "1");
  const response = await fetch(address);
  if (!response.ok) return;
  const focus = document.activeElement && document.activeElement.dataset.row;
  const old = new Map($$("#rows [data-row]").map((card) => [card.dataset.row, card]));
  const made = document.createElement("template");
  made.innerHTML = await response.text();
  // Cards that say the same stay, and so do pictures, which would flicker if they were loaded again.
  for (const card of $$("[data-row]", made.content)) {
    const before = old.get(card.dataset.row);
    if (!before) continue;
    if (before.dataset.stamp === card.dataset.stamp) { card.replaceWith(before); continue; }
    const kept = $(".picture img", before), image = $(".picture img", card);
    if (kept && image && kept.getAttribute("src") === image.getAttribute("src")) image.replaceWith(kept);
    card.classList.add("news");
  }
  $("#rows").replaceChildren(made.content);
  dress($("#rows"));
  if (focus) $(`[data-row="${CSS.escape(focus)}"]`)?.focus();
}

// ---- rows -----------------------------------------------------------------------------------------------------------
// One pixel of the screen in a drawing's own units, so that its names are readable whatever the picture's size.
const sizes = new ResizeObserver((entries) => { for (const entry of entries) measure(entry.target); });

function measure(over) {
  const matrix = over.getScreenCTM();
  if (matrix && matrix.a) over.style.setProperty("--pixel", 1 / matrix.a);
}

function dress(from = document) {
  for (const box of $$("[data-toggle]", from)) {
    const name = `no-${box.dataset.toggle}`;
    box.checked = !document.body.classList.contains(name);
    box.addEventListener("change", () => document.body.classList.toggle(name, !box.checked));
  }
  for (const image of $$(".picture img", from)) {
    const lost = () => { image.classList.add("broken"); image.parentElement.classList.add("lost"); };
    const fit = () => {
      const over = $("svg[data-natural]", image.parentElement);
      if (over) over.setAttribute("viewBox", `0 0 ${image.naturalWidth} ${image.naturalHeight}`);
    };
    if (image.complete && image.src) image.naturalWidth ? fit() : lost();
    if (image.dataset.dressed) continue;  // it was kept when the rows were read again
    image.dataset.dressed = "yes";
    image.addEventListener("load", fit);
    image.addEventListener("error", lost);
  }
  for (const over of $$(".detail svg.over", from)) { measure(over); sizes.observe(over); }
  for (const film of $$(".film[data-film]", from)) roll(film);
}
document.addEventListener("DOMContentLoaded", () => dress());  // film.js is there by then

const rowDialog = $("#row");
if (rowDialog) {
  let shown = null;
  const show = async (id) => {
    const card = $(`[data-row="${CSS.escape(id)}"]`);
    const response = await fetch(`${card.getAttribute("href")}?fragment=1`);
    if (!response.ok) { location.href = card.getAttribute("href"); return; }
    shown = id;
    $("#row-content").innerHTML = await response.text();
    if (!rowDialog.open) rowDialog.showModal();
    dress(rowDialog);
  };
  const step = (by) => {
    const ids = $$("[data-row]").map((card) => card.dataset.row);
    const next = ids[ids.indexOf(shown) + by];
    if (next) show(next);
  };
  document.addEventListener("click", (event) => {
    const card = event.target.closest("[data-row]");
    if (card && !event.metaKey && !event.ctrlKey && !event.shiftKey) { event.preventDefault(); show(card.dataset.row); }
    const stepper = event.target.closest("[data-step]");
    if (stepper) step(Number(stepper.dataset.step));
  });
  rowDialog.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement) return;
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  rowDialog.addEventListener("close", () => $(`[data-row="${CSS.escape(shown || "")}"]`)?.focus());
}
