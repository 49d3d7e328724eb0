"use strict";
// Everything from a run is set as text, never as markup.
const make = (tag, className = "", text = null) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== null) element.textContent = text;
  return element;
};
const button = (className, text, onClick) => {
  const element = make("button", className, text);
  element.type = "button";
  element.addEventListener("click", onClick);
  return element;
};
const dataOf = (script) => JSON.parse(script.textContent);

/* Order: numbers by value, texts as people count, what is missing last whichever way. */
const isMissing = (value) => value === null || value === undefined || value === "";
const compare = (a, b) =>
  typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
const sorted = (items, key, down) => {
  const known = items.filter((item) => !isMissing(key(item)));
  known.sort((a, b) => (down ? compare(key(b), key(a)) : compare(key(a), key(b))));
  return [...known, ...items.filter((item) => isMissing(key(item)))];
};

/* Heads that sort; `sort(place, down)` does it. */
const sortableHeads = (heads, sort) => {
  heads.forEach((head, place) => {
    const title = head.textContent;
    head.replaceChildren(button("", title, () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(place, down);
    }));
  });
};

/* Tables; rows beyond the first few hundred are made when they are asked for. */
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const script = table.parentElement.querySelector("script.more-rows");
  const waiting = script ? dataOf(script) : [];
  let more = null;
  const addRows = () => {
    for (const cells of waiting.splice(0)) {
      const row = body.insertRow();
      cells.forEach((cell, place) => {
        const [text, sort] = Array.isArray(cell) ? cell : [cell, null];
        const made = row.insertCell();
        made.textContent = text;
        made.className = heads[place].className;
        if (sort !== null) made.dataset.sort = sort;
      });
    }
    if (more) more.remove();
  };
  if (waiting.length) {
    more = button("plain", `Show ${waiting.length.toLocaleString("en")} more rows`, addRows);
    table.parentElement.after(more);
  }
  sortableHeads(heads, (place, down) => {
    addRows();
    const texts = new Map([...body.rows].map((row) => [row, row.cells[place].dataset.sort ?? row.cells[place].textContent]));
    const numeric = [...texts.values()].every((text) => text === "" || !Number.isNaN(Number(text)));
    const key = (row) => (numeric && texts.get(row) !== "" ? Number(texts.get(row)) : texts.get(row));
    body.append(...sorted([...body.rows], key, down));
  });
}
