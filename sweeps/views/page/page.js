"use strict";
(() => {
  const root = document.documentElement;
  const said = document.getElementById("said");
  const picked = document.getElementById("picked");
  document.querySelectorAll(".controls").forEach((box) => { box.hidden = false; });

  // One trial, highlighted everywhere at once: by its row, its mark in any chart, or the list at the top.
  const pick = (trial, words) => {
    document.querySelectorAll(".on").forEach((part) => part.classList.remove("on"));
    const parts = trial ? document.querySelectorAll(`[data-t="${CSS.escape(trial)}"]`) : [];
    parts.forEach((part) => part.classList.add("on"));
    document.body.classList.toggle("picking", parts.length > 0);
    document.querySelectorAll("[data-pick]").forEach((button) => {
      button.setAttribute("aria-pressed", String(trial !== "" && button.dataset.pick === trial));
    });
    picked.value = trial;
    said.textContent = trial ? `${words || nameOf(trial)} is highlighted in every chart; Escape ends it` : "";
  };
  const nameOf = (trial) => {
    const option = [...picked.options].find((each) => each.value === trial);
    return option ? option.textContent : trial;
  };
  const current = () => (document.body.classList.contains("picking") ? picked.value : "");

  picked.addEventListener("change", () => pick(picked.value));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && current()) pick("");
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-pick]");
    if (button) return pick(current() === button.dataset.pick ? "" : button.dataset.pick);
    const mark = event.target.closest("svg [data-t]");
    if (mark) {
      const title = mark.querySelector("title");
      return pick(current() === mark.dataset.t ? "" : mark.dataset.t, title ? title.textContent : "");
    }
    if (event.target.closest("svg") && current()) pick("");
    return undefined;
  });

  // The theme: the system's until the button says otherwise.
  const theme = document.getElementById("theme");
  const dark = () => root.classList.contains("dark")
    || (!root.classList.contains("light") && matchMedia("(prefers-color-scheme: dark)").matches);
  const name = () => { theme.textContent = dark() ? "Light theme" : "Dark theme"; };
  theme.addEventListener("click", () => {
    const next = dark() ? "light" : "dark";
    root.classList.remove("light", "dark");
    root.classList.add(next);
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();

  const board = document.getElementById("board");
  if (!board) return;
  const body = board.tBodies[0];
  const heads = [...board.tHead.rows[0].cells];
  const rows = [...body.rows];
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent.trim() : Number(cell.dataset.v);
  };

  // Sorting: what has no value stays below, numbers stand before words.
  const sort = (column, sign) => {
    const compare = (one, other) => {
      const a = valueOf(one, column);
      const b = valueOf(other, column);
      if (a === "" || b === "") return (a === "") - (b === "");
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
      return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
    };
    body.append(...[...rows].sort(compare));
    heads.forEach((head, place) => {
      head.setAttribute("aria-sort", place !== column ? "none" : sign > 0 ? "ascending" : "descending");
    });
  };
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      sort(column, head.getAttribute("aria-sort") === "ascending" ? -1 : 1);
    });
  });

  // Filtering: words that a row must hold, or a column, a sign and a number.
  const filter = document.getElementById("filter");
  const count = document.getElementById("filter-count");
  const plain = (text) => text.toLowerCase().replace(/[%±_ .]/g, "");
  const names = heads.map((head) => plain(head.textContent));
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const columnOf = (name) => names.findIndex((each) => each === plain(name));
  const holds = (text) => (row) => texts.get(row).includes(text.toLowerCase());
  const compares = (column, sign, wanted) => (row) => {
    const found = valueOf(row, column);
    if (found === "") return false;
    const order = typeof found === "number" && !Number.isNaN(Number(wanted))
      ? found - Number(wanted) : String(found).localeCompare(wanted);
    return { "<": order < 0, ">": order > 0, "<=": order <= 0, ">=": order >= 0, "=": order === 0, "!=": order !== 0 }[sign];
  };
  // `val acc > 60` is one condition: the words before a sign belong to it as far as they name a column.
  const testsOf = (typed) => {
    const tests = [];
    const words = [];
    typed.replace(/\s*(<=|>=|!=|=|<|>)\s*/g, "$1").trim().split(/\s+/).filter(Boolean).forEach((word) => {
      const match = /^(.+?)(<=|>=|!=|=|<|>)(.+)$/.exec(word);
      let name = match ? match[1] : "";
      let before = 0;
      while (match && columnOf(name) < 0 && before < words.length) {
        before += 1;
        name = words[words.length - before] + name;
      }
      if (match && columnOf(name) >= 0) {
        words.length -= before;
        tests.push(compares(columnOf(name), match[2], match[3]));
      } else {
        words.push(word);
      }
    });
    return [...tests, ...words.map(holds)];
  };
  const apply = () => {
    const tests = testsOf(filter.value);
    let shown = 0;
    rows.forEach((row) => {
      row.hidden = !tests.every((test) => test(row));
      shown += !row.hidden;
    });
    count.textContent = tests.length ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
  };
  filter.addEventListener("input", apply);
  document.getElementById("filter-form").addEventListener("submit", (event) => event.preventDefault());
  apply();
})();
