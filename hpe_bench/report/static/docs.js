"use strict";
(() => {
  const field = document.getElementById("find");
  const list = document.getElementById("found");
  const contents = document.getElementById("contents");
  const SHOWN = 12;

  if (matchMedia("(max-width: 71.99rem)").matches) contents.open = false; // a phone begins with the text

  /** The words of all pages, fetched once, when somebody wants to search. */
  function load() {
    if (window.PARTS || document.getElementById("parts")) return;
    const script = document.createElement("script");
    script.id = "parts";
    script.src = "search.js";
    script.onload = search;
    document.head.append(script);
  }

  /** How well a part fits: words in its title and heading count more; 0 where a word is missing. */
  function fit([, title, , heading, text], words) {
    const [top, below] = [`${title} ${heading}`.toLowerCase(), text.toLowerCase()];
    let sum = 0;
    for (const word of words) {
      const found = (heading.toLowerCase().includes(word) ? 8 : 0) + (top.includes(word) ? 4 : 0) + (below.includes(word) ? 1 : 0);
      if (!found) return 0;
      sum += found;
    }
    return sum;
  }

  function item([page, title, anchor, heading]) {
    const [line, link, where] = ["li", "a", "small"].map((tag) => document.createElement(tag));
    link.href = `${page}#${anchor}`;
    link.textContent = heading;
    where.textContent = heading === title ? "" : title;
    link.append(where);
    line.append(link);
    return line;
  }

  function search() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    list.hidden = !words.length;
    contents.hidden = words.length > 0;
    if (!words.length || !window.PARTS) return;
    const ranked = window.PARTS.map((part) => [fit(part, words), part]).filter(([sum]) => sum > 0);
    ranked.sort(([a], [b]) => b - a);
    const items = ranked.slice(0, SHOWN).map(([, part]) => item(part));
    if (!items.length) {
      const none = document.createElement("li");
      none.textContent = "Nothing has all of these words.";
      items.push(none);
    }
    list.replaceChildren(...items);
  }

  field.hidden = false;
  field.addEventListener("focus", load);
  field.addEventListener("input", () => { load(); search(); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { field.value = ""; search(); }
    if (event.key === "Enter") list.querySelector("a")?.click();
  });
})();
