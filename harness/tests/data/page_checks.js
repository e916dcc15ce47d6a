// Runs beside the page, in a window that holds it once for each width and theme, and writes what is
// wrong into <pre id="checks">. Needs nothing from the page but its markup.

// Colours as the browser computes them: `rgb(r, g, b)` or `rgba(r, g, b, a)`.
const channels = (colour) => {
  const numbers = colour.match(/[\d.]+/g).map(Number);
  return { rgb: numbers.slice(0, 3), alpha: numbers[3] ?? 1 };
};

// Relative luminance and contrast of WCAG 2.2.
const luminance = (rgb) => {
  const [r, g, b] = rgb.map((c) => {
    const s = c / 255;
    return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};

// An element in few words.
const named = (element) => {
  const text = (element.textContent ?? "").trim().replace(/\s+/g, " ").slice(0, 40);
  const kind = [...element.classList].map((c) => "." + c).join("");
  return `<${element.localName}${kind}> "${text}"`;
};

function overflow(page, view, report) {
  const root = page.scrollingElement;
  if (root.scrollWidth <= view.innerWidth) return;
  const scrolls = (e) => e !== page.body && (view.getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
  const out = [...page.body.querySelectorAll("*")].filter(
    (e) => e.getBoundingClientRect().right > view.innerWidth + 0.5 && !scrolls(e.parentElement),
  );
  report(`${root.scrollWidth} px wide in a window of ${view.innerWidth}: ${out.slice(-3).map(named).join(", ")}`);
}

function structure(page, report) {
  if (page.documentElement.lang === "") report("no lang");
  if (page.title.trim() === "") report("no title");
  const levels = [...page.querySelectorAll("h1, h2, h3, h4")].map((h) => Number(h.localName[1]));
  if (levels.filter((l) => l === 1).length !== 1) report(`${levels} are its headings: one h1 is wanted`);
  levels.forEach((l, i) => i > 0 && l > levels[i - 1] + 1 && report(`h${levels[i - 1]}, then h${l}`));
  const ids = [...page.querySelectorAll("[id]")].map((e) => e.id);
  ids.forEach((id, i) => ids.indexOf(id) < i && report(`the id ${id} twice`));
  for (const picture of page.querySelectorAll("svg, img, canvas")) {
    const by = (picture.getAttribute("aria-labelledby") ?? "").split(" ").filter((id) => id !== "");
    const text = [picture.getAttribute("aria-label") ?? picture.getAttribute("alt") ?? ""]
      .concat(by.map((id) => page.getElementById(id)?.textContent ?? ""))
      .join(" ");
    if (picture.getAttribute("role") !== "img" && picture.localName !== "img") report(`${named(picture)} has no role`);
    if (text.trim() === "") report(`${named(picture)} has no text alternative`);
  }
  for (const region of page.querySelectorAll("[role=region]")) {
    if ((region.getAttribute("aria-label") ?? "").trim() === "") report(`${named(region)} has no label`);
  }
}

// WCAG AA: 4.5, and 3 for letters of 24 px, or 18.66 px where they are bold.
function readable(page, view, report) {
  const seen = new Set();
  const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const element = node.parentElement;
    if (node.data.trim() === "" || element.closest("script, style, title, desc")) continue;
    if (!element.checkVisibility()) continue;
    const style = view.getComputedStyle(element);
    const ink = channels(element.closest("svg") ? style.fill : style.color);
    let ground = { rgb: [255, 255, 255], alpha: 0 };
    for (let e = element; e !== null && ground.alpha < 1; e = e.parentElement) {
      const under = channels(view.getComputedStyle(e).backgroundColor);
      if (under.alpha > 0) ground = under;
    }
    // A label inside a bar.
    const at = element.getBoundingClientRect();
    const [x, y] = [(at.left + at.right) / 2, (at.top + at.bottom) / 2];
    for (const bar of element.closest("svg")?.querySelectorAll("rect, polygon") ?? []) {
      const box = bar.getBoundingClientRect();
      const fill = view.getComputedStyle(bar).fill;
      const holds = box.left <= x && x <= box.right && box.top <= y && y <= box.bottom;
      if (holds && fill !== "none") ground = channels(fill);
    }
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const found = contrast(ink.rgb, ground.rgb);
    const fault = `contrast ${found.toFixed(2)} of ${ink.rgb} on ${ground.rgb}`;
    if ((found < (large ? 3 : 4.5) || ink.alpha < 1) && !seen.has(fault)) {
      seen.add(fault);
      report(`${fault}: ${named(element)}`);
    }
  }
}

// Whatever the keyboard reaches is seen, is not covered, and shows that it is reached.
function focusable(page, view, report) {
  const reached = [...page.querySelectorAll("a[href], button, summary, input, select, [tabindex]")];
  for (const element of reached.filter((e) => e.tabIndex >= 0 && e.checkVisibility({ visibilityProperty: true }))) {
    element.focus({ focusVisible: true });
    if (page.activeElement !== element) {
      report(`${named(element)} takes no focus`);
      continue;
    }
    const style = view.getComputedStyle(element);
    if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 1) report(`${named(element)} shows no focus`);
    // A region may be higher than the window.
    const box = element.getBoundingClientRect();
    const x = box.left + box.width / 2;
    const y = (Math.max(box.top, 0) + Math.min(box.bottom, view.innerHeight)) / 2;
    const top = page.elementFromPoint(x, y);
    if (!element.contains(top)) report(`${named(element)} has the focus; at ${x}, ${y} is ${top && named(top)}`);
  }
  page.activeElement?.blur();
}

// Numbers by value, before words such as "unavailable"; words by their letters.
const less = (a, b) => {
  const [m, n] = ["v" in a.dataset, "v" in b.dataset];
  if (m !== n) return m;
  if (m) return Number(a.dataset.v) < Number(b.dataset.v);
  return a.textContent.trim() < b.textContent.trim();
};
const equal = (a, b) => !less(a, b) && !less(b, a);
const word = (cell) => !("v" in cell.dataset);

function sorts(page, report) {
  let moved = 0;
  for (const table of page.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = head.querySelector("button");
      const what = `${named(table)}, column "${head.textContent}"`;
      if (button === null) return report(`${what} has no button`);
      if (button.textContent.trim() === "") report(`${what} has a button without a name`);
      for (const direction of ["ascending", "descending"]) {
        const before = [...body.rows];
        button.click();
        const after = [...body.rows];
        if (head.getAttribute("aria-sort") !== direction) report(`${what} is not said to be ${direction}`);
        if (heads.some((h) => h !== head && h.hasAttribute("aria-sort"))) report(`${what}: another is said to be sorted`);
        if (new Set([...before, ...after]).size !== before.length) report(`${what} lost or gained rows`);
        if (after.some((row, i) => row !== before[i])) moved += 1;
        for (let i = 1; i < after.length; i += 1) {
          const [a, b] = [after[i - 1].cells[column], after[i].cells[column]];
          const down = direction === "descending" && word(a) === word(b);
          if (down ? less(a, b) : less(b, a)) {
            report(`${what}, ${direction}: "${a.textContent}" before "${b.textContent}"`);
          }
          if (equal(a, b) && before.indexOf(after[i - 1]) > before.indexOf(after[i])) {
            report(`${what}, ${direction}: equal rows changed places`);
          }
        }
      }
    });
  }
  return moved;
}

addEventListener("load", () => {
  const faults = [];
  const seen = { views: 0, tables: 0, moved: 0, pictures: 0 };
  for (const frame of [...document.querySelectorAll("iframe")]) {
    const report = (fault) => faults.push(`${frame.id}: ${fault}`);
    try {
      const [view, page] = [frame.contentWindow, frame.contentDocument];
      const scripted = !frame.hasAttribute("sandbox");
      const dark = frame.id.includes("dark");
      if (view.innerWidth !== Number(frame.width)) report(`the window is ${view.innerWidth} px wide`);
      if (view.matchMedia("(prefers-color-scheme: dark)").matches !== dark) report("the theme is another");
      seen.views += 1;
      page.querySelectorAll("details").forEach((d) => (d.open = true));
      overflow(page, view, report);
      structure(page, report);
      readable(page, view, report);
      if (scripted) {
        focusable(page, view, report);
        seen.moved += sorts(page, report);
        overflow(page, view, report);
        view.faults.forEach(report);
      } else if (page.querySelector("thead button") !== null) {
        report("a script ran");
      }
      seen.tables = page.querySelectorAll("table.sortable").length;
      seen.pictures = page.querySelectorAll("svg").length;
      const empty = [...page.querySelectorAll("tbody")].filter((b) => b.rows.length === 0);
      if (empty.length > 0) report("a table without rows");
    } catch (error) {
      report(`${error} ${error.stack}`);
    }
  }
  const verdict = document.createElement("pre");
  verdict.id = "checks";
  verdict.textContent = JSON.stringify({ ...seen, faults });
  document.body.replaceChildren(verdict);
});
