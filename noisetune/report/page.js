"use strict";
(() => {
  const each = (selector, act, from = document) => from.querySelectorAll(selector).forEach(act);

  // One arm in all figures.
  const highlight = (name) => {
    document.body.classList.toggle("dimmed", name !== null);
    each(".arm", (mark) => mark.classList.toggle("lit", mark.dataset.arm === name));
    each("[data-highlight]", (button) =>
      button.setAttribute("aria-pressed", String(button.dataset.highlight === name)));
  };
  each("[data-highlight]", (button) => button.addEventListener("click", () =>
    highlight(button.getAttribute("aria-pressed") === "true" ? null : button.dataset.highlight)));

  // Tables by a column: numbers by their value, what is no number behind them.
  const value = (row, column) => {
    const text = row.cells[column].innerText.trim();
    const number = parseFloat(text.replace(/^[(<]/, ""));
    return Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) =>
    typeof a === typeof b
      ? (typeof a === "number" ? a - b : a.localeCompare(b))
      : (typeof a === "number" ? -1 : 1);
  each("thead th", (heading) => {
    const table = heading.closest("table");
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const falls = heading.getAttribute("aria-sort") === "ascending";
      each("th[aria-sort]", (other) => other.removeAttribute("aria-sort"), table);
      heading.setAttribute("aria-sort", falls ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows];
      const column = heading.cellIndex;
      rows.sort((a, b) => (falls ? -1 : 1) * compare(value(a, column), value(b, column)));
      table.tBodies[0].append(...rows);
    });
  });

  // A link to the runs behind a figure opens them.
  const open = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") {
      target.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", open);
  open();
})();
