// Tables work without this: it only adds sorting.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    // Browsers leave a header where it is if they show its edge.
    button.addEventListener("focus", () => button.scrollIntoView({ block: "nearest", inline: "nearest" }));
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const key = (row) => {
        const cell = row.cells[column];
        return "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent.trim();
      };
      const order = (a, b) => {
        const [x, y] = [key(a), key(b)];
        // Numbers come before words such as "unavailable", whichever way.
        if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
        const sign = down ? -1 : 1;
        return sign * (typeof x === "number" ? x - y : x < y ? -1 : x > y ? 1 : 0);
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}
