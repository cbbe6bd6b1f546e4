// The gallery and a row: the confidence slider, what is drawn, and the keyboard.
"use strict";

// ---- the slider: hides what is less sure, and counts again ------------------------------------------------------------
const slider = $(".slider");
const share = (part, whole) => (whole ? (part / whole).toFixed(3) : "–");

function above(counts, hundredth) {
  let sum = 0;
  for (let i = hundredth; i <= 100; i++) sum += counts[i];
  return sum;
}

function recount(hundredth) {
  const t = hundredth / 100;
  $("#t-said").textContent = t.toFixed(2);
  for (const item of $$("[data-confidence]")) item.classList.toggle("off", Number(item.dataset.confidence) < t);
  for (const badge of $$(".judged")) {
    const numbers = badge.dataset.judged.split(" ").filter(Boolean).map(Number);
    let right = 0, wrong = 0;
    for (let i = 0; i < numbers.length; i += 2) if (numbers[i] >= t) numbers[i + 1] ? right++ : wrong++;
    $("[data-of=right]", badge).textContent = right;
    $("[data-of=wrong]", badge).textContent = wrong;
    $("[data-of=missed]", badge).textContent = Math.max(0, Number(badge.dataset.labels) - right);
  }
  const sweep = JSON.parse(slider.dataset.sweep);
  const right = above(sweep.right, hundredth), judged = above(sweep.judged, hundredth);
  const said = $("#t-means");
  if (!sweep.labels && !above(sweep.judged, 0)) {
    said.textContent = `No labels to compare ${slider.dataset.whom} with.`;
    return;
  }
  const f1 = judged + sweep.labels ? (2 * right) / (judged + sweep.labels) : 0;
  said.replaceChildren();
  for (const [word, figure, title] of [
    ["precision", share(right, judged), `${right.toLocaleString("en")} of ${judged.toLocaleString("en")} predictions are right`],
    ["recall", share(right, sweep.labels), `${right.toLocaleString("en")} of ${sweep.labels.toLocaleString("en")} labels are found`],
    ["F1", f1.toFixed(3), ""],
  ]) {
    const box = document.createElement("span"), number = document.createElement("b");
    number.textContent = figure;
    box.title = title;
    box.append(number, ` ${word}`);
    said.append(box);
  }
  const whom = document.createElement("span");
  whom.className = "soft";
  whom.textContent = `${judged.toLocaleString("en")} predictions, ${sweep.labels.toLocaleString("en")} labels of ${slider.dataset.whom}`;
  said.append(whom);
}

// Every view has an address: the threshold goes into it, and along with each link to a row or page.
function keep(hundredth) {
  const put = (address) => {
    const url = new URL(address, location.href);
    if (hundredth) url.searchParams.set("t", hundredth);
    else url.searchParams.delete("t");
    return url.pathname + url.search;
  };
  history.replaceState(null, "", put(location.href));
  for (const link of $$("a[data-row], a[rel], .strip a")) link.setAttribute("href", put(link.getAttribute("href")));
  const kept = $("#t-kept");
  if (kept) kept.value = hundredth;
}

if (slider) {
  const input = $("#t");
  let keeping;
  input.addEventListener("input", () => {
    recount(Number(input.value));
    clearTimeout(keeping);
    keeping = setTimeout(() => keep(Number(input.value)), 150);
  });
  recount(Number(input.value));
}

// ---- what is drawn ----------------------------------------------------------------------------------------------------
for (const box of $$("[data-toggle]")) {
  const show = () => document.body.classList.toggle(`no-${box.dataset.toggle}`, !box.checked);
  box.addEventListener("change", show);
  show();
}

for (const image of $$(".picture img")) {
  const lost = () => {
    image.hidden = true;
    const over = $("svg", image.parentElement);
    if (over) over.classList.add("off");
    $(".lost", image.parentElement).hidden = false;
  };
  if (image.complete && image.naturalWidth === 0 && image.loading !== "lazy") lost();
  image.addEventListener("error", lost);
}

// An object in the list is lit up in the picture.
const mark = (row, on) => {
  const { side, index } = row.dataset;
  for (const shape of $$(`.stage [data-side="${side}"][data-index="${index}"]`)) shape.classList.toggle("lit", on);
};
for (const row of $$(".objects tr[data-index]")) {
  row.addEventListener("mouseenter", () => mark(row, true));
  row.addEventListener("mouseleave", () => mark(row, false));
}

// ---- keyboard ---------------------------------------------------------------------------------------------------------
const follow = (rel) => { const link = $(`a[rel=${rel}]`); if (link) location.href = link.href; };

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select, textarea, [role=region]")) return;
  const grid = $("#grid");
  if (!grid) {
    const to = { ArrowLeft: "prev", ArrowRight: "next", Escape: "up" }[event.key];
    if (to) { event.preventDefault(); follow(to); }
    return;
  }
  if (event.key === "n") follow("next");
  if (event.key === "p") follow("prev");
  const cards = $$("[data-row]", grid);
  const at = cards.indexOf(document.activeElement);
  const wide = cards.findIndex((card, i) => i && card.parentElement.offsetTop > cards[0].parentElement.offsetTop);
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -(wide > 0 ? wide : 1), ArrowDown: wide > 0 ? wide : 1 }[event.key];
  if (!by) return;
  if (at < 0 && event.key !== "ArrowRight" && event.key !== "ArrowLeft") return; // up and down scroll until a row is chosen
  event.preventDefault();
  const next = cards[at < 0 ? 0 : at + by];
  if (next) next.focus();
  else if (at + by >= cards.length && event.key === "ArrowRight") follow("next");
});

const waiting = $("[data-reload]");
if (waiting) setTimeout(() => { if (!document.hidden) location.reload(); }, Number(waiting.dataset.reload));
