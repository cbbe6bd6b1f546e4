// What the pages add to plain links and forms: live parts, and a token from the address. No library, no build.
"use strict";

const $ = (selector, from = document) => from.querySelector(selector);
const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];

let toastTimer;
function toast(text) {
  const box = $("#toast");
  box.textContent = text;
  box.classList.add("on");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => box.classList.remove("on"), 5000);
}

// ---- live parts: asked for again as long as they say so ---------------------------------------------------------------
function live(box) {
  let timer;
  const look = async () => {
    clearTimeout(timer);
    let next = Number(box.dataset.every) || 0;
    if (!document.hidden) {
      try {
        const address = new URL(location.href);
        address.searchParams.set("fragment", "1");
        const response = await fetch(address, { headers: { Accept: "text/html" } });
        if (response.status === 401) { location.reload(); return; }
        if (response.ok) {
          const text = await response.text();
          // A page that is being read or operated stays as it is until something has changed.
          if (text !== box.shown) {
            const open = new Set($$("details[id][open]", box).map((item) => item.id));
            const focus = document.activeElement && box.contains(document.activeElement) && document.activeElement.getAttribute("href");
            box.innerHTML = text;
            for (const item of $$("details[id]", box)) if (open.has(item.id)) item.open = true;
            if (focus) $$("a[href]", box).find((link) => link.getAttribute("href") === focus)?.focus();
          }
          box.shown = text;
          const told = $("[data-next]", box);
          next = told ? Number(told.dataset.next) : next;
        }
      } catch (error) { next = Math.max(next, 5); }
    }
    if (next) timer = setTimeout(look, next * 1000);
  };
  if (Number(box.dataset.every)) timer = setTimeout(look, Number(box.dataset.every) * 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && Number(box.dataset.every)) look(); });
}
$$("[data-live]").forEach(live);

document.addEventListener("change", (event) => {
  const field = event.target.closest("[data-submit]");
  if (field) field.form.requestSubmit();
});

// A button that cannot be taken back asks once more.
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.ask;
  if (question && !confirm(question)) event.preventDefault();
});

document.addEventListener("click", async (event) => {
  const copier = event.target.closest("[data-copy]");
  if (!copier) return;
  const from = document.getElementById(copier.dataset.copy);
  try {
    await navigator.clipboard.writeText(from.textContent.trim() + "\n");
    toast("Copied.");
  } catch (error) { toast("Your browser does not let pages copy: select the text instead."); }
});

// ---- login: the server prints an address whose part behind # never leaves the browser ----------------------------------
const login = $("#login");
if (login && location.hash.length > 1) {
  const token = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
  const field = $("input[name=token]", login);
  if (field) { field.value = token; login.requestSubmit(); }
}
