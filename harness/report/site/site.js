"use strict";
(() => {
  const root = document.documentElement, all = (what, where = document) => [...where.querySelectorAll(what)];
  const one = (what) => document.querySelector(what);

  // Light and dark: what the screen says, until somebody chooses.
  const theme = one("#theme"), kept = { get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("theme", value); } catch { /* a page from a file may keep nothing */ } } };
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  if (kept.get()) root.dataset.theme = kept.get();
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; kept.set(root.dataset.theme); name(); });
  name();

  // What a mark, a cell or a column's head is, on hover, focus and tap.
  const tip = Object.assign(document.createElement("div"), { id: "tip", hidden: true });
  tip.setAttribute("role", "tooltip");
  document.body.append(tip);
  all(".mark > title").forEach((title) => title.remove()); // the same words are its label
  const explained = (of) => {
    if (of.dataset?.tip) return [of.dataset.tip];
    if (of.matches(".mark")) return [of.getAttribute("aria-label")];
    const place = document.getElementById(of.getAttribute("href")?.slice(1));
    if (!place) return null;
    const copy = place.cloneNode(true).childNodes;
    const cited = all("a.cite", place).map((link) => document.getElementById(link.hash.slice(1))).filter(Boolean);
    const list = document.createElement("ol");
    list.append(...cited.map((item) => { const line = document.createElement("li"); line.value = +item.id.slice(1);
      line.append(...item.cloneNode(true).childNodes); return line; }));
    return cited.length ? [...copy, list] : [...copy];
  };
  const targets = ".mark, td a[href^='#'], th[data-tip], .plot a";
  const show = (of) => {
    const inner = of.matches(".plot a") ? of.querySelector(".mark") : of;
    const words = explained(inner);
    if (!words) return;
    tip.replaceChildren(...words);
    tip.hidden = false;
    const box = of.getBoundingClientRect(), width = tip.offsetWidth, height = tip.offsetHeight;
    const left = Math.min(Math.max(8, box.left + box.width / 2 - width / 2), root.clientWidth - width - 8);
    const top = box.bottom + height + 10 < innerHeight ? box.bottom + 6 : Math.max(4, box.top - height - 6);
    tip.style.left = `${left + scrollX}px`; tip.style.top = `${top + scrollY}px`;
  };
  let going = 0;
  const hide = () => { going = setTimeout(() => { tip.hidden = true; }, 150); }, stay = () => clearTimeout(going);
  const on = (event) => { const of = event.target.closest?.(targets); if (of) { stay(); show(of); } };
  const off = (event) => { if (event.target.closest?.(targets)) hide(); };
  for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, on);
  for (const kind of ["pointerout", "focusout"]) document.addEventListener(kind, off);
  tip.addEventListener("pointerenter", stay); tip.addEventListener("pointerleave", hide);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });
  document.addEventListener("click", (event) => { // a tap shows what is known; a second one, or a mouse, goes there
    const link = event.target.closest?.("td a[href^='#']");
    if (link && event.pointerType === "touch" && link !== tip.of) { event.preventDefault(); tip.of = link; stay(); show(link); }
  });
  const open = () => { // a link into something closed opens it
    const place = location.hash && document.getElementById(location.hash.slice(1));
    for (let part = place; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    if (place) place.scrollIntoView();
  };
  addEventListener("hashchange", open); open();

  const table = one("#board");
  if (!table) return;
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], rows = [...body.rows];
  const keys = heads.map((head) => head.dataset.key);
  one(".controls").hidden = false;

  // Sorting: the best first, then the worst; what has no value stays below.
  const value = (row, at) => at === 0 ? row.cells[0].textContent : row.cells[at].dataset.v;
  const compare = (a, b) => isNaN(a) && isNaN(b) ? a.localeCompare(b) : a - b;
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const first = head.dataset.better === "higher" ? "descending" : "ascending";
      const other = first === "descending" ? "ascending" : "descending";
      const way = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", way);
      const those = (keep) => rows.filter((row) => keep(value(row, at)))
        .sort((a, b) => compare(value(a, at), value(b, at)) * (way === "ascending" ? 1 : -1));
      body.append(...those((has) => has !== undefined && !isNaN(has)), ...those((has) => has !== undefined && isNaN(has)),
        ...rows.filter((row) => value(row, at) === undefined));
    });
  });

  // Filtering: words, or conditions as `harness board --where` has them.
  const find = one("#find"), kind = one("#kind");
  const about = ["model", "engine", "quantization", "nodes", "hardware", "provider"];
  const tests = { ">=": (a, b) => a >= b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, "<": (a, b) => a < b,
    "=": (a, b) => a === b, "!=": (a, b) => a !== b, "~": (a, b) => `${a}`.includes(b) };
  const holds = (row, word) => {
    const [, key, sign, wanted] = word.match(/^(\w+)(>=|<=|!=|>|<|=|~)(.+)$/) || [];
    const at = keys.indexOf(key);
    if (at < 0 && !about.includes(key)) return row.textContent.toLowerCase().includes(word.toLowerCase());
    const has = at < 0 ? row.dataset[key] : value(row, at);
    if (has === undefined) return false;
    return sign === "~" || isNaN(wanted) || isNaN(has) ? tests[sign](has.toLowerCase(), wanted.toLowerCase()) : tests[sign](+has, +wanted);
  };
  const filter = () => {
    const words = find.value.replace(/\s*(>=|<=|!=|>|<|=|~)\s*/g, "$1").split(/\s+/).filter(Boolean), which = kind ? kind.value : "";
    rows.forEach((row) => { row.hidden = !words.every((word) => holds(row, word)) ||
      (which === "measured" ? row.dataset.measured === undefined : which !== "" && row.dataset.kind !== which); });
    const left = rows.filter((row) => !row.hidden).length;
    one("#count").textContent = left === rows.length ? `${left} rows` : `${left} of ${rows.length} rows`;
  };
  find.addEventListener("input", filter);
  kind?.addEventListener("change", filter);
  one(".controls").addEventListener("submit", (event) => event.preventDefault());

  // Columns: at first those that a terminal shows.
  const choose = (box) => {
    const at = keys.indexOf(box.dataset.column);
    [heads[at], ...rows.map((row) => row.cells[at])].forEach((cell) => { cell.hidden = !box.checked; });
  };
  all("[data-column]").forEach((box) => { choose(box); box.addEventListener("change", () => choose(box)); });
})();
