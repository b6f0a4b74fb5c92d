// The first screen: figures, times, sentences and the plot of whatever a reader asks for, kept in the address.
// Without this script the page shows the view it was written with. `pages/advice.py`, `pages/choice.py`, `kit/pareto.py`
// and `kit/labels.py` say the same in Python.
(function () {
  const form = document.getElementById("choice");
  if (!form) return;
  const table = document.getElementById("networks");
  const others = document.getElementById("other-networks");
  const box = others && others.closest("details");
  const answer = document.getElementById("answer");
  const repeat = document.getElementById("repeat");
  const figure = document.getElementById("choice-plot");
  const NAMES = {}; // of runtimes, as readers know them
  Array.from(form.elements.in.options).forEach(function (o) { NAMES[o.value] = o.text; });
  const FASTEST = form.elements.in.options[0].value;
  const rows = Array.from(document.querySelectorAll("tr[data-network]"), function (row) {
    return Object.assign(JSON.parse(row.dataset.network), { row: row, id: row.id });
  });
  const NARROW = "\u00a0"; // a space that does not break

  function fixed(value, digits) {
    return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }
  function span(ci) { return ci ? "[" + fixed(ci[0], 1) + "," + NARROW + fixed(ci[1], 1) + "]" : ""; }
  function plural(count, noun) { return count.toLocaleString("en") + NARROW + noun + (count === 1 ? "" : "s"); }

  // -------------------------------------------------------------------------------------------------- a view

  function asked() {
    const option = form.elements.figure.selectedOptions[0];
    const v = {
      figure: option.value, name: option.dataset.name, protocol: option.dataset.protocol,
      runtime: form.elements.in.value, threads: Number(form.elements.threads.value),
      machine: form.elements.machine.value, size: form.elements.size.value,
      within: Math.max(Number(form.elements.within.value) || 0, 0),
    };
    v.joints = new Set(rows.filter(function (n) { return n.scores[v.figure]; }).map(function (n) { return n.joints; }));
    return v;
  }

  function timeOf(n, v) {
    const found = n.times[v.machine + "|" + v.threads] || {};
    if (v.runtime !== FASTEST) return found[v.runtime] && Object.assign({ runtime: v.runtime }, found[v.runtime]);
    return Object.keys(found).filter(function (r) { return found[r].runs; })
      .map(function (r) { return Object.assign({ runtime: r }, found[r]); })
      .sort(function (a, b) { return a.ms - b.ms; })[0];
  }

  function has(n, v) {
    if (v.size && n.input !== v.size) return false;
    return n.scores[v.figure] !== undefined || !Object.keys(n.scores).length && v.joints.has(n.joints);
  }

  function less(a, b) { return a < b ? -1 : a > b ? 1 : 0; }

  function ordered(v) {
    return rows.map(function (n) {
      const time = has(n, v) ? timeOf(n, v) : undefined;
      return { n: n, time: time, score: n.scores[v.figure], shown: time !== undefined };
    }).sort(function (a, b) {
      return less(!a.shown, !b.shown) ||
        less(a.score ? -a.score.v : 1, b.score ? -b.score.v : 1) ||
        less(a.time ? a.time.ms : Infinity, b.time ? b.time.ms : Infinity) ||
        less(a.n.name, b.n.name) || less(a.n.input, b.n.input);
    });
  }

  function named(shown) {
    const count = {};
    shown.forEach(function (c) { count[c.n.name] = (count[c.n.name] || 0) + 1; });
    shown.forEach(function (c) { c.name = count[c.n.name] > 1 ? c.n.name + " " + c.n.input : c.n.name; });
    return shown;
  }

  // -------------------------------------------------------------------------------------------------- sentences

  function spans(c, v) {
    const told = " " + span(c.time.ci) + (v.runtime === FASTEST ? " in " + NAMES[c.time.runtime] : "");
    return [
      { text: c.name, href: "#" + c.n.id }, { text: c.score ? " with " + c.score.p + " " + v.name + ", " : ", " },
      { text: fixed(c.time.ms, 1) + " ms", href: c.time.href }, { text: told.trimEnd() },
    ];
  }

  function against(c, best) {
    const lost = best.score.v - c.score.v;
    const accuracy = lost < 0.05 ? "as accurate as" : fixed(lost, 1) + " points less than";
    const there = c.time.runtime === best.time.runtime ? "" : " in " + NAMES[best.time.runtime];
    return accuracy + " " + best.name + " at ×" + fixed(c.time.ms / best.time.ms, 2) + " of its time" + there;
  }

  function conditions(v) {
    const runtime = v.runtime === FASTEST ? "in any runtime" : "in " + NAMES[v.runtime];
    return runtime + " on " + plural(v.threads, "thread") + " of " + v.machine;
  }

  function nothing(shown, v) {
    if (!shown.length) return [{ text: "No network was timed " + conditions(v) + "." }];
    const wanted = v.name + " under " + v.protocol;
    return [{ text: "None of the " + plural(shown.length, "network") + " timed " + conditions(v) +
      " has a published " + wanted + "." }];
  }

  function within(pick, best, fastest, v) {
    const limit = v.within + " ms";
    if (!pick) {
      return [{ text: "No network with a published " + v.name + " takes at most " + limit + "; the fastest is " }]
        .concat(spans(fastest, v), { text: "." });
    }
    const end = pick === best ? "; no timed network is more accurate" : ", " + against(pick, best);
    const over = pick.time.ci && pick.time.ci[1] > v.within;
    return [{ text: "Most accurate within " + limit + ": " }].concat(spans(pick, v), { text: end },
      { text: over ? ". Its 95 % CI reaches past " + limit + "." : "." });
  }

  function advise(shown, v) {
    const rated = shown.filter(function (c) { return c.score; });
    if (!rated.length) return { told: [nothing(shown, v)] };
    function faster(a, b) { return b.time.ms < a.time.ms ? b : a; }
    const best = rated[0], fastest = rated.reduce(faster);
    const pick = rated.find(function (c) { return c.time.ms <= v.within; });
    const near = rated.filter(function (c) { return best.score.v - c.score.v <= 1 + 1e-9; }).reduce(faster);
    const told = [within(pick, best, fastest, v)];
    told.push([{ text: "Most accurate of all timed: " }].concat(spans(best, v), { text: "." }));
    if (near !== best) {
      told.push([{ text: "Fastest within 1 point of it: " }]
        .concat(spans(near, v), { text: ", " + against(near, best) + "." }));
    } else if (rated.length > 1) {
      told.push([{ text: "No timed network within 1 point of it is faster." }]);
    }
    const than = pick || fastest;
    const unrated = shown.filter(function (c) { return !c.score && c.time.ms < than.time.ms; })
      .sort(function (a, b) { return a.time.ms - b.time.ms; });
    if (unrated.length) {
      const list = [{ text: "Faster than " + than.name + ", but without a published " + v.name + " here: " }];
      unrated.slice(0, 3).forEach(function (c, k) {
        if (k) list.push({ text: ", " });
        list.push({ text: c.name, href: "#" + c.n.id }, { text: " (" + fixed(c.time.ms, 1) + " ms)" });
      });
      list.push({ text: unrated.length > 3 ? " and " + (unrated.length - 3) + " more." : "." });
      told.push(list);
    }
    return { told: told, pick: than };
  }

  function element(name, attributes, text) {
    const made = document.createElement(name);
    Object.keys(attributes).forEach(function (key) { made.setAttribute(key, attributes[key]); });
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function say(advice) {
    answer.replaceChildren.apply(answer, advice.told.map(function (sentence) {
      const item = document.createElement("li");
      sentence.forEach(function (s) { item.append(s.href ? element("a", { href: s.href }, s.text) : s.text); });
      return item;
    }));
    repeat.parentElement.hidden = !advice.pick;
    if (advice.pick) {
      repeat.textContent = advice.pick.n.command + " --runtime " + advice.pick.time.runtime +
        " --threads " + form.elements.threads.value;
    }
  }

  // -------------------------------------------------------------------------------------------------- the table

  function fill(row, column, text, note, sort, href, title) {
    const cell = row.cells[column];
    const words = document.createElement("span");
    words.className = "cell";
    words.append(href ? element("a", { href: href }, text) : text);
    if (note) words.append(element("small", {}, note));
    cell.replaceChildren(words);
    if (sort === undefined) delete cell.dataset.sort; else cell.dataset.sort = sort;
    if (title) cell.title = title; else cell.removeAttribute("title");
    cell.classList.toggle("empty", !text);
  }

  function show(c, v, pick) {
    const row = c.n.row, s = c.score, t = c.time;
    const page = row.cells[0].querySelector("a").getAttribute("href");
    row.classList.toggle("pick", c === pick);
    if (s) fill(row, 2, s.p, s.from, s.v, page + "#claims", [s.from].concat(s.also).join("; also "));
    else fill(row, 2, "–", "none published");
    if (!t) {
      fill(row, 3, "–", "", undefined, "", "not timed"); fill(row, 4, "–"); fill(row, 7, "–");
      return;
    }
    const told = [span(t.ci), v.runtime === FASTEST ? NAMES[t.runtime] : "",
      t.runs ? plural(t.runs, "timing run") : form.dataset.inProcess, t.settled ? "" : "not settled"];
    const ci = t.ci ? "[" + t.ci.join(", ") + "]" : "no interval";
    fill(row, 3, fixed(t.ms, 1), told.filter(Boolean).join(" · "), t.ms, t.href, t.ms + " ms, " + ci + ", " + t.n + " calls");
    fill(row, 4, fixed(1e3 / t.ms, 1), "", 1e3 / t.ms);
    if (t.mib === null) fill(row, 7, "–");
    else fill(row, 7, fixed(t.mib, 0), "", t.mib);
  }

  function lay(all, v, pick) {
    const shown = all.filter(function (c) { return c.shown; }), rest = all.filter(function (c) { return !c.shown; });
    all.forEach(function (c) { show(c, v, pick); });
    table.tBodies[0].append.apply(table.tBodies[0], shown.map(function (c) { return c.n.row; }));
    if (others) {
      others.tBodies[0].append.apply(others.tBodies[0], rest.map(function (c) { return c.n.row; }));
      box.hidden = !rest.length;
      box.querySelector(".count").textContent = rest.length;
    }
    [table, others].filter(Boolean).forEach(function (t) {
      Array.from(t.tHead.rows[0].cells).forEach(function (h) { h.removeAttribute("aria-sort"); });
      const head = t.tHead.rows[0].cells[2];
      (head.querySelector("button") || head).textContent = "Published " + v.name + ", %";
      Array.from(t.tBodies[0].rows).forEach(function (row) {
        row.cells[2].dataset.label = "Published " + v.name + ", %";
      });
    });
    foldAnew();
    const runtime = v.runtime === FASTEST ? "each network's fastest runtime" : NAMES[v.runtime];
    table.caption.firstChild.textContent = v.name + " as published under " + v.protocol + "; latency measured in " +
      runtime + " on " + plural(v.threads, "thread") + " of " + v.machine + ", one image. ";
  }

  // What `table.js` folds, counted anew.
  function foldAnew() {
    const button = table.parentElement.nextElementSibling;
    if (!button || !button.classList.contains("unfold")) return;
    button.textContent = "Show all " + table.tBodies[0].rows.length + " rows";
    button.hidden = table.tBodies[0].rows.length <= Number(button.dataset.shown);
  }

  // -------------------------------------------------------------------------------------------------- the plot

  const HEIGHT = 340, LEFT = 52, RIGHT = 18, TOP = 14, BOTTOM = 46;

  function linear(values, start, end) {
    const max = Math.max.apply(null, values), min = Math.min.apply(null, values);
    const margin = 0.08 * (max - min) || 0.05 * Math.abs(max) || 1;
    const low = Math.max(min - margin, 0), high = max + margin;
    const rough = (high - low) / 5, power = Math.pow(10, Math.floor(Math.log10(rough)));
    const step = [1, 2, 5, 10].map(function (m) { return m * power; }).find(function (s) { return s >= rough * 0.6; });
    const digits = Math.max(0, -Math.floor(Math.log10(step))), ticks = [];
    for (let k = Math.ceil(low / step - 1e-9); k <= Math.floor(high / step + 1e-9); k++) {
      ticks.push([k * step, fixed(k * step, digits)]);
    }
    return { at: function (v) { return start + (v - low) / (high - low) * (end - start); }, ticks: ticks };
  }

  function logarithmic(values, start, end) {
    const max = Math.max.apply(null, values), min = Math.min.apply(null, values);
    const margin = max > min ? Math.pow(max / min, 0.06) : 1.5, low = min / margin, high = max * margin, ticks = [];
    for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++) {
      [1, 2, 5].forEach(function (m) {
        const value = m * Math.pow(10, p);
        if (low <= value && value <= high) ticks.push([value, Number(value.toPrecision(6)).toLocaleString("en")]);
      });
    }
    return { at: function (v) { return start + Math.log(v / low) / Math.log(high / low) * (end - start); }, ticks: ticks };
  }

  function front(dots) {
    let last;
    return dots.slice().sort(function (a, b) { return a.x - b.x || b.y - a.y; }).filter(function (d) {
      const kept = !last || d.y > last.y || d.x === last.x && d.y === last.y;
      if (kept) last = d;
      return kept;
    });
  }

  // The rule of kit/labels.py.
  const AROUND = [[-7, -7, "end"], [0, -9, "middle"], [-9, 4, "end"], [7, -7, "start"],
    [9, 4, "start"], [7, 15, "start"], [0, 18, "middle"], [-7, 15, "end"]];

  function further(offset, away) { return offset === 0 ? 0 : offset > 0 ? away : -away; }

  function place(marks, width, bottom) {
    const taken = marks.map(function (m) { return [m.cx - 6, m.cy - 6, m.cx + 6, m.cy + 6]; });
    marks.forEach(function (m) {
      for (const away of [0, 14, 28, 44]) {
        for (const [right, down, anchor] of AROUND) {
          const x = m.cx + right + further(right, away), y = m.cy + down + further(down - 4, away);
          const w = 7 * m.name.length, left = anchor === "start" ? x : anchor === "middle" ? x - w / 2 : x - w;
          const b = [left, y - 10, left + w, y + 3];
          const inside = b[0] >= LEFT && b[1] >= 0 && b[2] <= width && b[3] <= bottom;
          const free = taken.every(function (o) { return !(b[0] < o[2] && o[0] < b[2] && b[1] < o[3] && o[1] < b[3]); });
          if (inside && free) {
            taken.push(b);
            m.label = { x: x, y: y, anchor: anchor, led: away > 0 };
            return;
          }
        }
      }
    });
  }

  function draw(shown, v) {
    const dots = shown.filter(function (c) { return c.score; })
      .map(function (c) { return { c: c, x: c.time.ms, y: c.score.v, name: c.name }; });
    figure.hidden = !dots.length;
    if (!dots.length) return;
    const holder = figure.querySelector(".figure-box");
    const width = Math.min(Math.max(holder.clientWidth, 340), 900), bottom = HEIGHT - BOTTOM;
    const limits = v.within > 0 ? [v.within] : [];
    const x = logarithmic(dots.map(function (d) { return d.x; }).concat(limits), LEFT, width - RIGHT);
    const y = linear(dots.map(function (d) { return d.y; }), bottom, TOP);
    const svg = svgOf("svg", { class: "pareto", viewBox: "0 0 " + width + " " + HEIGHT, role: "group", "aria-labelledby": "plot-networks-title" });
    const best = front(dots), ahead = new Set(best);
    svg.append(svgOf("title", { id: "plot-networks-title" }, "published " + v.name + ", % against latency of one image, ms, " +
      dots.length + " networks, " + best.length + " on the Pareto front"));
    const every = width < 500 ? x.ticks.filter(function (t, k) { return x.ticks.length < 6 || k % 2 === 0; }) : x.ticks;
    every.forEach(function (t) { svg.append(svgOf("text", { x: x.at(t[0]), y: bottom + 18, "text-anchor": "middle" }, t[1])); });
    y.ticks.forEach(function (t) {
      svg.append(svgOf("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y.at(t[0]), y2: y.at(t[0]) }),
        svgOf("text", { x: LEFT - 8, y: y.at(t[0]), dy: ".35em", "text-anchor": "end" }, t[1]));
    });
    svg.append(svgOf("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: bottom, y2: bottom }),
      svgOf("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, "latency of one image, ms"),
      svgOf("text", { transform: "translate(13 " + (TOP + bottom) / 2 + ") rotate(-90)", "text-anchor": "middle" }, "published " + v.name + ", %"));
    limits.forEach(function (ms) {
      svg.append(svgOf("line", { class: "limit", x1: x.at(ms), x2: x.at(ms), y1: TOP, y2: bottom }),
        svgOf("text", { class: "limit", x: x.at(ms), y: bottom - 5, dx: 4 }, ms + " ms"));
    });
    svg.append(svgOf("path", { class: "steps", d: "M" + x.at(best[0].x) + " " + y.at(best[0].y) + best.slice(1).map(function (d) {
      return "H" + x.at(d.x) + "V" + y.at(d.y);
    }).join("") + "H" + (width - RIGHT) }));
    const marks = best.concat(dots.filter(function (d) { return !ahead.has(d); }));
    marks.forEach(function (m) { m.cx = x.at(m.x); m.cy = y.at(m.y); });
    place(marks, width, bottom);
    marks.forEach(function (m) {
      if (!m.label) return;
      if (m.label.led) svg.append(svgOf("line", { class: "leader", x1: m.cx, y1: m.cy, x2: m.label.x, y2: m.label.y - 4 }));
      svg.append(svgOf("text", { class: "name", x: m.label.x, y: m.label.y, "text-anchor": m.label.anchor }, m.name));
    });
    marks.reverse().forEach(function (m) {
      const told = m.name + ": " + m.c.score.p + " " + v.name + ", " + fixed(m.x, 1) + " ms in " + NAMES[m.c.time.runtime];
      const link = svgOf("a", { class: ahead.has(m) ? "ahead" : "behind", href: m.c.time.href || "#" + m.c.n.id,
        "data-row": m.c.n.id, "aria-label": told });
      link.append(svgOf("title", {}, told), svgOf("circle", { cx: m.cx, cy: m.cy, r: ahead.has(m) ? 5 : 4 }));
      svg.append(link);
    });
    svg.style.maxWidth = width + "px";
    holder.replaceChildren(svg);
  }

  function svgOf(name, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.keys(attributes).forEach(function (key) { made.setAttribute(key, attributes[key]); });
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // -------------------------------------------------------------------------------------------------- the address

  const controls = Array.from(form.elements).filter(function (e) { return e.name; });
  const first = new Map(controls.map(function (e) { return [e.name, e.value]; }));

  function apply() {
    const v = asked(), all = ordered(v), shown = named(all.filter(function (c) { return c.shown; }));
    const advice = advise(shown, v);
    say(advice);
    lay(all, v, advice.pick);
    draw(shown, v);
  }

  function restore() {
    const fragment = location.hash.slice(1);
    if (fragment && !fragment.includes("=")) return;
    const state = new URLSearchParams(fragment);
    controls.forEach(function (e) {
      e.value = state.has(e.name) ? state.get(e.name) : first.get(e.name);
      if (e.selectedIndex < 0) e.value = first.get(e.name);
    });
    apply();
  }

  let typing = false; // one entry in the history for a number, not for every digit
  function changed(replace) {
    const state = new URLSearchParams();
    controls.forEach(function (e) { if (e.value !== first.get(e.name)) state.set(e.name, e.value); });
    const fragment = "#" + state.toString();
    if (fragment !== (location.hash || "#")) history[replace ? "replaceState" : "pushState"](null, "", fragment);
    apply();
  }

  form.addEventListener("submit", function (event) { event.preventDefault(); });
  form.addEventListener("reset", function (event) {
    event.preventDefault();
    controls.forEach(function (e) { e.value = first.get(e.name); });
    changed(false);
  });
  controls.forEach(function (e) {
    if (e.name === "within") {
      e.addEventListener("input", function () { changed(typing); typing = true; });
      e.addEventListener("change", function () { typing = false; });
    } else e.addEventListener("change", function () { changed(false); });
  });
  addEventListener("popstate", restore);
  addEventListener("hashchange", restore);
  addEventListener("resize", function () {
    const v = asked();
    draw(named(ordered(v).filter(function (c) { return c.shown; })), v);
  });
  form.hidden = false;
  restore();
  if (location.hash && !location.hash.includes("=")) apply();
})();
