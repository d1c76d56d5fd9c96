// SPDX-License-Identifier: Apache-2.0
(() => {
  document.querySelectorAll("input[data-outlines]").forEach((box) => box.addEventListener("change", () =>
    document.getElementById(box.dataset.outlines).classList.toggle("plain", !box.checked)));
  const key = (row, column) => {
    const cell = row.cells[column];
    return "key" in cell.dataset ? Number(cell.dataset.key) : cell.textContent;
  };
  document.querySelectorAll("table[data-sortable]").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const [x, y] = [key(a, column), key(b, column)];
        if (typeof x !== "number") return (ascending ? 1 : -1) * x.localeCompare(y, undefined, { numeric: true });
        const missing = Number.isNaN(x) - Number.isNaN(y);
        return missing || (ascending ? x - y : y - x) || 0;
      });
      table.tBodies[0].append(...rows);
    }));
  });
  document.querySelectorAll(".scroll, .drawn").forEach((box) => { // for those who have no mouse
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  });
  document.querySelectorAll("input[data-find]").forEach((field) => field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const table = document.getElementById(field.dataset.find);
    for (const row of table.tBodies[0].rows) {
      const content = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => content.includes(word));
    }
  }));
})();
