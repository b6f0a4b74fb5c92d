"use strict";
// Sortable columns, folds that are filled when they are opened, and search and status filters for the claims. Without
// this script every row simply stays visible, and folds link to what they hold.
(function () {
  function value(row, index) {
    const cell = row.cells[index];
    if (!cell) return null;
    if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
    // The label goes before its second line, which only tells equal labels apart.
    const parts = Array.from((cell.querySelector(".cell") || cell).childNodes, function (n) { return n.textContent; });
    const text = parts.join("\n").trim();
    if (text === "" || parts[0].trim() === "–") return null;
    const span = /^\[([+−-]?[\d.]+),/.exec(text); // an interval goes by its lower end
    return span ? Number(span[1].replace("−", "-")) : text.toLowerCase();
  }

  const words = new Intl.Collator("en", { numeric: true });

  function compare(a, b, sign) {
    if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1; // empty cells last, either way
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    return sign * words.compare(String(a), String(b));
  }

  function sortable(table) {
    const heads = Array.from(table.tHead.rows[0].cells);
    if (table.tBodies[0].rows.length < 2) return;
    heads.forEach(function (head, index) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      while (head.firstChild) button.appendChild(head.firstChild);
      head.appendChild(button);
      button.addEventListener("click", function () {
        const falling = head.getAttribute("aria-sort") === "descending" ||
          (!head.hasAttribute("aria-sort") && !head.classList.contains("num"));
        heads.forEach(function (h) { h.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", falling ? "ascending" : "descending");
        const keyed = Array.from(table.tBodies[0].rows, function (row) { return [value(row, index), row]; });
        keyed.sort(function (a, b) { return compare(a[0], b[0], falling ? 1 : -1); });
        table.tBodies[0].append(...keyed.map(function (pair) { return pair[1]; }));
      });
    });
  }

  // Of a long table the first rows are shown until all are asked for; sorting brings others there.
  const phone = matchMedia("screen and (max-width: 44rem)").matches;
  const LONG = phone ? 8 : 30;
  function foldable(table) {
    const count = table.tBodies[0].rows.length;
    if (count <= LONG) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "unfold";
    button.dataset.shown = phone ? 8 : 20;
    button.textContent = "Show all " + count.toLocaleString("en") + " rows";
    button.addEventListener("click", function () { table.classList.remove("folded"); });
    table.classList.add("folded");
    table.parentElement.after(button);
  }

  function enhance(box) {
    box.querySelectorAll("table.sortable").forEach(function (table) { sortable(table); foldable(table); });
  }
  enhance(document);

  // What a fold holds lies in a file beside the page, which hands it over from a frame out of sight.
  function fill(box) {
    if (!box.dataset.part) return Promise.resolve();
    if (box.filling) return box.filling;
    box.filling = new Promise(function (done) {
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.src = box.dataset.part;
      addEventListener("message", function take(event) {
        if (event.source !== frame.contentWindow) return;
        removeEventListener("message", take);
        frame.remove();
        const held = document.createElement("div");
        held.innerHTML = event.data;
        box.querySelector(".part").replaceWith(...held.childNodes);
        delete box.dataset.part;
        enhance(box);
        document.dispatchEvent(new CustomEvent("filled", { detail: box }));
        done();
      });
      document.body.append(frame);
    });
    return box.filling;
  }

  document.addEventListener("toggle", function (event) { if (event.target.open) fill(event.target); }, true);
  document.querySelectorAll("details[open][data-part]").forEach(fill); // as a browser restores them
  window.fillAll = function (boxes) { return Promise.all(Array.from(boxes, fill)); };

  if (phone) document.querySelectorAll("details.fold").forEach(function (box) { box.open = false; });

  // On a phone the sections of a long page are folded under their headings.
  const LONGEST = 12;  // screens
  function foldSection(section) {
    const heading = section.querySelector(":scope > h2");
    if (!heading) return;
    const box = document.createElement("details"), summary = document.createElement("summary");
    const rest = [];
    for (let next = heading.nextSibling; next; next = next.nextSibling) rest.push(next);
    box.className = "section";
    heading.before(box);
    summary.append(heading);
    box.append(summary, ...rest);
    section.classList.add("lined");
  }
  // The height once all of it is laid out: what is out of sight has only a guess until then.
  function height() {
    const page = document.documentElement;
    page.classList.add("laid-out");
    const px = page.scrollHeight;
    page.classList.remove("laid-out");
    return px;
  }
  if (phone && height() > LONGEST * innerHeight)
    document.querySelectorAll("main > section:not(.hero)").forEach(foldSection);

  // A link to a row inside folded details or of a folded table unfolds them.
  function reveal() {
    const id = decodeURIComponent(location.hash.slice(1));
    const target = id && document.getElementById(id);
    if (!target) {
      const family = id.replace(/-[0-9a-f]+$/, "");
      const holders = Array.from(document.querySelectorAll("details[data-part]")).filter(function (box) {
        const held = box.dataset.ids.split(" ");
        return id && (held.includes(family) || held.includes(id));
      });
      // A target that came late is marked as one by going to it once more.
      if (holders.length) fillAll(holders).then(function () { location.replace(location.hash); reveal(); });
      return;
    }
    const table = target.closest(".folded");
    if (table) table.classList.remove("folded");
    const own = target.querySelector(":scope > details.section");
    if (own) own.open = true;
    for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    target.scrollIntoView();
  }
  addEventListener("hashchange", reveal);
  reveal();

  document.querySelectorAll("[data-filters]").forEach(function (box) {
    const groups = Array.from(document.getElementById(box.dataset.filters).tBodies);
    const search = box.querySelector("[data-search]");
    const chips = Array.from(box.querySelectorAll("[data-status]"));
    const shown = box.querySelector(".shown");
    box.hidden = groups.length < 4;
    function apply() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const wanted = chips.filter(function (c) { return c.getAttribute("aria-pressed") === "true"; })
        .map(function (c) { return c.dataset.status; });
      let count = 0;
      groups.forEach(function (group) {
        const text = group.textContent.toLowerCase();
        const has = group.dataset.statuses.split(" ");
        const keep = words.every(function (w) { return text.includes(w); }) &&
          (!wanted.length || wanted.some(function (s) { return has.includes(s); }));
        group.hidden = !keep;
        count += keep ? 1 : 0;
      });
      shown.textContent = count === groups.length ? "" : count + " of " + groups.length + " claims";
    }
    search.addEventListener("input", apply);
    chips.forEach(function (chip) {
      chip.addEventListener("click", function () {
        chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") === "true" ? "false" : "true");
        apply();
      });
    });
  });
})();
