// Filters, search and the plots' axis of the leaderboard, kept in the address: a link restores them, Back undoes them.
// Without this script every row and every plot simply stays visible.
(function () {
  const form = document.getElementById("filters");
  let groups, sections, figures, asides, timed;
  const opened = new Set(document.querySelectorAll("details.group[open]")); // to begin with

  // What there is on the page; a fold that is filled brings more.
  function collect() {
    groups = Array.from(document.querySelectorAll(".group"), function (element) {
      const rows = Array.from(element.querySelectorAll("tbody > tr"));
      const folds = Array.from(element.querySelectorAll("[data-part]"));
      return {
        element: element,
        rows: rows.filter(function (row) { return row.dataset.kept === undefined; }),
        marks: Array.from(element.querySelectorAll("[data-row]")),
        folds: element.matches("[data-part]") ? [element] : folds,
        opened: opened.has(element),
      };
    });
    sections = new Set(groups.map(function (group) { return group.element.closest("section"); }));
    figures = Array.from(document.querySelectorAll("figure[data-axis]"));
    asides = Array.from(document.querySelectorAll(".group"), function (group) {
      return Array.from(group.querySelectorAll(".note[data-runtime]")); // what a latency column is, the first at first
    });
    timed = Array.from(document.querySelectorAll("td:has([data-in])"), function (cell) {
      return { cell: cell, own: cell.dataset.own || cell.dataset.sort, shown: cell.querySelector(".cell:not([data-in])") };
    });
    timed.forEach(function (t) { t.cell.dataset.own = t.own; });
  }
  const facets = Array.from(form.querySelectorAll("select"));
  const search = form.elements.q;
  const buttons = Array.from(form.querySelectorAll("button[data-axis]"));
  const shown = form.querySelector(".shown");
  const nothing = document.getElementById("nothing");
  const runtime = form.elements.runtime; // missing where all latencies are of one
  let filtered = false;
  const texts = new Map(); // of rows, read when first searched

  function textOf(row) {
    if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
    return texts.get(row);
  }

  function axis() {
    return buttons.find(function (b) { return b.getAttribute("aria-pressed") === "true"; }).dataset.axis;
  }

  function has(row, facet) {
    return row.dataset[facet.name] === facet.value || facet === runtime && timedIn(row, facet.value) !== undefined;
  }

  function timedIn(box, name) {
    return Array.from(box.querySelectorAll("[data-in]")).find(function (other) { return other.dataset.in === name; });
  }

  // The latency of a ranked row, in the runtime that is asked for, and what the column then is.
  function show(name) {
    timed.forEach(function (t) {
      const other = timedIn(t.cell, name);
      t.cell.querySelectorAll("[data-in]").forEach(function (o) { o.hidden = o !== other; });
      t.shown.hidden = other !== undefined;
      t.cell.dataset.sort = other ? other.dataset.sort : t.own;
    });
    asides.forEach(function (notes) {
      const other = notes.find(function (note) { return note.dataset.runtime === name; }) || notes[0];
      notes.forEach(function (note) { note.hidden = note !== other; });
    });
  }

  // Plots against latency are of one runtime each: the one that is asked for, else the first of their group.
  function drawn(figure) {
    if (figure.dataset.axis !== axis()) return false;
    if (figure.dataset.runtime === undefined) return true;
    const own = figure.parentElement.querySelector("figure[data-runtime]");
    return runtime && runtime.value ? figure.dataset.runtime === runtime.value : figure === own;
  }

  function apply() {
    if (runtime) show(runtime.value);
    const wanted = facets.filter(function (f) { return f.value; });
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const active = wanted.length + words.length > 0;
    if (active) fillAll(groups.flatMap(function (group) { return group.folds; }));
    let count = 0, total = 0;
    groups.forEach(function (group) {
      let kept = 0;
      group.folds.forEach(function (fold) { kept += Number(fold.dataset.rows); }); // until they are here, and looked at
      total += kept;
      const hidden = new Set();
      group.rows.forEach(function (row) {
        const keep = wanted.every(function (f) { return has(row, f); }) &&
          (!words.length || words.every(function (w) { return textOf(row).includes(w); }));
        row.hidden = !keep;
        kept += keep ? 1 : 0;
        if (!keep) hidden.add(row.id);
      });
      group.marks.forEach(function (mark) { mark.classList.toggle("dim", hidden.has(mark.dataset.row)); });
      group.element.hidden = !kept;
      if (group.element.tagName === "DETAILS" && active !== filtered) group.element.open = active || group.opened;
      count += kept;
      total += group.rows.length;
    });
    filtered = active;
    document.documentElement.classList.toggle("filtered", active); // shows every row that was asked for
    sections.forEach(function (section) { section.hidden = !section.querySelector(".group:not([hidden])"); });
    figures.forEach(function (figure) { figure.hidden = !drawn(figure); });
    nothing.hidden = count > 0;
    shown.textContent = count === total ? total + " rows" : count + " of " + total + " rows";
  }

  function address() {
    const state = new URLSearchParams();
    facets.concat(search).forEach(function (f) { if (f.value.trim()) state.set(f.name, f.value.trim()); });
    if (axis() !== buttons[0].dataset.axis) state.set("axis", axis());
    return state.toString();
  }

  function press(wanted) {
    const known = buttons.some(function (b) { return b.dataset.axis === wanted; });
    buttons.forEach(function (b, i) {
      b.setAttribute("aria-pressed", String(known ? b.dataset.axis === wanted : i === 0));
    });
  }

  // The address is the state: a fragment without "=" is an anchor on this page and leaves the filters alone.
  function restore() {
    const fragment = location.hash.slice(1);
    if (fragment && !fragment.includes("=")) return;
    const state = new URLSearchParams(fragment);
    facets.forEach(function (f) {
      f.value = state.get(f.name) || "";
      if (f.selectedIndex < 0) f.value = "";
    });
    search.value = state.get("q") || "";
    press(state.get("axis"));
    apply();
  }

  function changed(replace) {
    const fragment = "#" + address();
    if (fragment !== (location.hash || "#")) history[replace ? "replaceState" : "pushState"](null, "", fragment);
    apply();
  }

  form.addEventListener("submit", function (event) { event.preventDefault(); });
  form.addEventListener("reset", function (event) {
    event.preventDefault();
    facets.concat(search).forEach(function (f) { f.value = ""; });
    changed(false);
  });
  facets.forEach(function (f) { f.addEventListener("change", function () { changed(false); }); });
  let typing = false; // one entry in the history for a whole word, not for every letter
  search.addEventListener("input", function () { changed(typing); typing = true; });
  search.addEventListener("change", function () { typing = false; });
  buttons.forEach(function (b) {
    b.addEventListener("click", function () { press(b.dataset.axis); changed(false); });
  });
  addEventListener("popstate", restore);
  addEventListener("hashchange", restore);

  document.addEventListener("filled", function () { collect(); apply(); });

  function tell(event) {
    const mark = event.target.closest && event.target.closest("a[data-row]");
    if (mark) mark.closest("figure").querySelector(".told").textContent = mark.getAttribute("aria-label") + ".";
  }
  document.addEventListener("pointerover", tell);
  document.addEventListener("focusin", tell);

  collect();
  form.hidden = false;
  restore();
  if (location.hash.includes("=")) form.scrollIntoView();
  else apply();
})();
