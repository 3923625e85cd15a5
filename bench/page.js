"use strict";
// Sort by a click on a column's head, filter by words (all must occur in a row), switch between light and dark.
for (const box of document.querySelectorAll(".data")) {
  const table = box.querySelector("table"), body = table.tBodies[0], rows = [...body.rows];
  const input = box.querySelector("input"), count = box.querySelector("output");
  const value = (row, i) => row.cells[i].dataset.v ?? row.cells[i].textContent;
  [...table.tHead.rows[0].cells].forEach((head, i) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending", sign = down ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.sort((a, b) => {
        const x = value(a, i), y = value(b, i), d = Number(x) - Number(y);
        return sign * (Number.isNaN(d) ? x.localeCompare(y) : d);
      });
      body.append(...rows);
    });
  });
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} rows`;
  };
  input.addEventListener("input", filter);
  filter();
}
const theme = document.querySelector("#theme");
theme.addEventListener("click", () => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = root.dataset.theme ?? (dark ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  theme.setAttribute("aria-pressed", String(root.dataset.theme === "dark"));
});
