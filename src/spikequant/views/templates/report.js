"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const make = (name, texts = {}, ...inside) => {
    const made = Object.assign(document.createElement(name), texts);
    made.append(...inside);
    return made;
  };

  // Sort: a click on a column's title, numbers by value, text by letter; absent values stay last.
  const value = (row, index) => {
    const cell = row.cells[index];
    return "value" in cell.dataset ? (cell.dataset.value === "" ? null : Number(cell.dataset.value)) : cell.textContent.trim();
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  const sort = (table, index, sign) => {
    const body = table.tBodies[0];
    const pinned = all("tr.float", body);
    const rows = all("tr:not(.float)", body).map((row) => [value(row, index), row]);
    const present = rows.filter(([v]) => v !== null && v !== "–").sort((a, b) => sign * compare(a[0], b[0]));
    body.append(...pinned, ...[...present, ...rows.filter(([v]) => v === null || v === "–")].map(([, row]) => row));
  };

  // Filter: every word must occur in the row; emd<0.02 or accuracy>=97% compares a column by its key.
  const rule = /^([a-z_]+)(<=|>=|<|>|=)(-?[\d.]+(?:e-?\d+)?)(%?)$/i;
  const holds = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b, "=": (a, b) => a === b };
  const test = (table, word) => {
    const found = rule.exec(word);
    const index = found ? all("thead th", table).findIndex((head) => head.dataset.key === found[1].toLowerCase()) : -1;
    if (index < 0) return (row) => row.textContent.toLowerCase().includes(word);
    const bound = Number(found[3]) / (found[4] ? 100 : 1);
    return (row) => typeof value(row, index) === "number" && holds[found[2]](value(row, index), bound);
  };
  const filter = (table, text) => {
    const tests = text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => test(table, word));
    const rows = all("tbody tr", table);
    for (const row of rows) row.hidden = !tests.every((passes) => passes(row));
    return `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  };

  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((head, index) => {
      const button = make("button", { type: "button" }, ...head.childNodes);
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        sort(table, index, up ? 1 : -1);
      });
    });
    const label = table.parentElement.getAttribute("aria-label");
    const input = make("input", { type: "search", placeholder: "words, or emd<0.02 accuracy>97%" });
    input.setAttribute("aria-label", `Filter: ${label}`);
    const count = make("output", { textContent: `${all("tbody tr", table).length} rows` });
    input.addEventListener("input", () => { count.textContent = filter(table, input.value); });
    table.parentElement.before(make("p", { className: "filter" }, input, count));
  }

  // Hover: what a mark is, as text; never as markup.
  const tip = document.body.appendChild(make("div", { id: "tip", hidden: true }));
  tip.setAttribute("role", "status");
  const show = (handler, event, item, told) => {
    tip.hidden = !told;
    if (!told) return;
    const line = ([name, text]) => make("div", {}, make("span", { textContent: name }), make("b", { textContent: String(text) }));
    tip.replaceChildren(...Object.entries(told).map(line));
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(8, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8))}px`;
  };
  const draw = async (script) => {
    const panel = document.getElementById(script.dataset.panel);
    const canvas = make("div");
    const room = Math.max(160, panel.closest(".panels").clientWidth - 110); // beside the axis and what is written at the right edge
    const spec = JSON.parse(script.textContent, (name, value) => (name === "columns" && room < 400 ? 1 : value));
    if (spec.width > room) spec.width = room;
    const options = { mode: "vega-lite", ast: true, actions: false, defaultStyle: false, renderer: "svg", tooltip: show };
    await vegaEmbed(canvas, spec, options);
    const drawn = canvas.querySelector("svg");
    drawn.setAttribute("class", "live");
    panel.querySelector("svg").replaceWith(drawn);
  };
  const done = () => { document.documentElement.dataset.ready = "yes"; };
  Promise.all(all("script[data-panel]").map(draw)).then(done, (error) => { done(); throw error; });
})();
