/* Heatmaps: one tip for all, arrow keys from cell to cell, a cell leads to its samples. */
const tip = make("div");
tip.id = "tip";
tip.hidden = true;
tip.setAttribute("role", "tooltip");
document.body.append(tip);
const showTip = (cell) => {
  tip.textContent = cell.dataset.tip;
  tip.hidden = false;
  const place = cell.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = tip;
  const room = document.documentElement.clientWidth - 8 - width;
  tip.style.left = `${Math.max(8, Math.min(place.left + place.width / 2 - width / 2, room))}px`;
  tip.style.top = `${place.top > height + 12 ? place.top - height - 8 : place.bottom + 8}px`;
};
const hideTip = () => { tip.hidden = true; };

for (const table of document.querySelectorAll("table.heat")) {
  const cells = [...table.querySelectorAll("td[title]")];
  const columns = table.tHead.rows[0].cells.length - 1;
  const explorer = "series" in table.dataset ? explorers[0] : null;
  cells.forEach((cell, place) => {
    cell.dataset.tip = cell.title;
    cell.removeAttribute("title");
    cell.tabIndex = place ? -1 : 0;
    cell.setAttribute("aria-describedby", "tip");
    if (explorer) cell.setAttribute("role", "button");
  });
  const cellOf = (event) => (event.target instanceof Element ? event.target.closest("td[data-tip]") : null);
  const pick = (cell) => {
    if (!explorer || cell.classList.contains("missing")) return;
    explorer.pick({
      indexer: table.dataset.series,
      [table.dataset.rows]: cell.parentElement.cells[0].dataset.value,
      [table.dataset.columns]: table.tHead.rows[0].cells[cell.cellIndex].dataset.value,
    });
    hideTip();
    explorer.root.closest("section").scrollIntoView();
    explorer.body.querySelector(".open")?.focus({ preventScroll: true });
  };
  table.addEventListener("mouseover", (event) => { const cell = cellOf(event); if (cell) showTip(cell); });
  table.addEventListener("mouseout", hideTip);
  table.addEventListener("focusin", (event) => { const cell = cellOf(event); if (cell) showTip(cell); });
  table.addEventListener("focusout", hideTip);
  table.addEventListener("click", (event) => { const cell = cellOf(event); if (cell) pick(cell); });
  table.addEventListener("keydown", (event) => {
    const cell = cellOf(event);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    if (!cell) return;
    if (event.key === "Escape") hideTip();
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(cell); }
    const next = event.key in steps ? cells[cells.indexOf(cell) + steps[event.key]] : null;
    if (!next) return;
    event.preventDefault();
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}
document.addEventListener("scroll", hideTip, true);

/* What scrolls sideways can be scrolled by keyboard. */
const reachable = () => {
  for (const box of document.querySelectorAll(".scroll")) {
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0; else box.removeAttribute("tabindex");
  }
};
reachable();
window.addEventListener("resize", reachable);
document.addEventListener("toggle", reachable, true);
