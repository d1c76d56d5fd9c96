// SPDX-License-Identifier: Apache-2.0
(() => {
  const outlines = document.getElementById("outlines");
  if (outlines) outlines.addEventListener("change", () =>
    document.getElementById("cases").classList.toggle("plain", !outlines.checked));
  const table = document.getElementById("table");
  const key = (row, column) => {
    const cell = row.cells[column];
    return "key" in cell.dataset ? Number(cell.dataset.key) : cell.textContent;
  };
  table.querySelectorAll("thead th").forEach((head, column) => head.addEventListener("click", () => {
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const [x, y] = [key(a, column), key(b, column)];
      const order = typeof x === "number"
        ? (Number.isNaN(x) - Number.isNaN(y)) || x - y
        : x.localeCompare(y, undefined, { numeric: true });
      return ascending ? order : -order;
    });
    table.tBodies[0].append(...rows);
  }));
})();
