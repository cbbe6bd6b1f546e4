// Evaluation: the threshold that can be moved, and tables that can be sorted. Works on whatever is in the page; no library.
"use strict";

(() => {
  const rate = (value) => (value === null ? "–" : value.toFixed(3));

  // ---- a threshold: what is kept is counted from the curve that came with the page ----------------------------------------
  for (const panel of document.querySelectorAll("[data-panel]")) {
    const source = panel.querySelector("script[type='application/json']");
    const slide = panel.querySelector(".slide");
    const input = panel.querySelector("input[type=range]");
    const curve = JSON.parse(source.textContent);
    if (!curve.threshold.length) continue;
    slide.hidden = false;
    const out = (name) => panel.querySelector(`[data-out=${name}]`);
    const chart = panel.querySelector("svg.by-confidence");
    const line = chart && chart.querySelector(".at");

    const show = (at) => {
      // Thresholds fall: the last that is not below the chosen one.
      let low = 0;
      let high = curve.threshold.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (curve.threshold[middle] >= at) low = middle + 1; else high = middle;
      }
      const k = low - 1;
      const said = k < 0 ? 0 : (curve.said.length ? curve.said[k] : null);
      const right = k < 0 ? 0 : (said === null ? Math.round(curve.recall[k] * curve.labels) : Math.round(curve.precision[k] * said));
      out("threshold").textContent = at.toFixed(3);
      out("precision").textContent = rate(k < 0 ? null : curve.precision[k]);
      out("recall").textContent = rate(curve.labels ? (k < 0 ? 0 : curve.recall[k]) : null);
      out("f1").textContent = rate(k < 0 ? 0 : curve.f1[k]);
      out("kept").textContent = said === null ? "" : said.toLocaleString("en");
      const all = curve.said.length ? curve.said[curve.said.length - 1].toLocaleString("en") : "";
      out("words").textContent = `${all ? `of ${all} predictions, ` : ""}${right.toLocaleString("en")} right, of ${curve.labels.toLocaleString("en")} labels`;
      if (line) {
        const x = Number(chart.dataset.left) + Number(chart.dataset.wide) * at;
        line.setAttribute("x1", x);
        line.setAttribute("x2", x);
      }
    };

    input.addEventListener("input", () => show(Number(input.value)));
    const best = panel.querySelector("[data-to-best]");
    if (best) {
      best.addEventListener("click", () => {
        input.value = input.dataset.best;
        show(Number(input.dataset.best)); // exactly, not at the slider's step
      });
    }
    show(Number(input.value));
  }

  // ---- tables: a click on a head sorts, another turns the order round -----------------------------------------------------
  const value = (cell) => {
    const text = cell.textContent.trim();
    const number = Number(text.replaceAll(",", ""));
    return text === "any" ? 0 : Number.isNaN(number) || !text ? text : number;
  };
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        // Names begin with A, numbers with the largest.
        const rising = before ? before === "descending" : column === 0;
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const body = table.tBodies[0];
        const lines = [...body.rows].map((row) => [value(row.cells[column]), row]);
        lines.sort(([one], [other]) => {
          const strange = (typeof one === "string") - (typeof other === "string");
          // What has no number stays last, whichever way round.
          if (column && strange) return strange;
          const order = typeof one === "string" || typeof other === "string" ? String(one).localeCompare(String(other), "en", { numeric: true }) : one - other;
          return rising ? order : -order;
        });
        body.append(...lines.map(([, row]) => row));
      });
    });
  }
})();
