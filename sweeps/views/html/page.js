"use strict";
(() => {
  const root = document.documentElement;
  const message = document.getElementById("message");
  const picked = document.getElementById("picked");
  const tip = document.getElementById("tip");
  const read = (script) => JSON.parse(script.textContent);
  const { tips, config } = read(document.getElementById("shared"));
  document.querySelectorAll(".controls").forEach((box) => { box.hidden = false; });

  // Keys of the highlighted trials, set by a brush, a mark, a row, the filter, or the list at the top.
  let marks = new Set();
  let active = null;
  const charts = [];
  const pick = (trials) => {
    marks = new Set(trials);
    document.querySelectorAll("[data-t]").forEach((part) => part.classList.toggle("on", marks.has(part.dataset.t)));
    document.querySelectorAll("[data-pick]").forEach((button) => {
      button.setAttribute("aria-pressed", String(marks.has(button.dataset.pick)));
    });
    const all = Object.fromEntries([...marks].map((mark) => [mark, true]));
    charts.forEach(({ view }) => view.signal("picked", all).signal("any", marks.size > 0).runAsync());
    picked.value = marks.size === 1 ? [...marks][0] : "";
    const subject = marks.size === 1 ? tips[[...marks][0]] : `${marks.size} trials`;
    message.textContent = marks.size ? `${subject}: highlighted in every chart. Press Escape to clear.` : "";
    document.dispatchEvent(new Event("picked"));
  };
  const toggle = (mark, { adds = false } = {}) => {
    const is = marks.has(mark);
    pick(adds ? [...[...marks].filter((each) => each !== mark), ...(is ? [] : [mark])] : is && marks.size === 1 ? [] : [mark]);
  };
  picked.addEventListener("change", () => pick(picked.value ? [picked.value] : []));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && marks.size) clear(); });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-pick]");
    if (button) toggle(button.dataset.pick, { adds: event.shiftKey || event.ctrlKey });
  });

  // Charts. Screen readers use the label of the frame and the table of the data instead of the drawing.
  const rowsOf = (columns) => {
    const fields = Object.keys(columns);
    return fields.length ? columns[fields[0]].map((_, at) => Object.fromEntries(fields.map((field) => [field, columns[field][at]]))) : [];
  };
  const isWithin = (range) => (row) => Object.entries(range).every(([field, ends]) => (
    typeof ends[0] === "string" ? ends.includes(row[field]) : row[field] >= Math.min(...ends) && row[field] <= Math.max(...ends)
  ));
  const unbrush = ({ view, brushed }) => brushed.forEach((axis) => view.signal(`brush_${axis}`, []));
  const clear = () => { charts.forEach((chart) => { unbrush(chart); }); active = null; pick([]); };

  const draw = async (figure) => {
    const plot = figure.querySelector(".plot");
    const content = read(figure.querySelector("script"));
    const datasets = Object.fromEntries(Object.entries(content.rows).map(([name, columns]) => [name, rowsOf(columns)]));
    const rows = Object.values(datasets)[0];
    const { view } = await vegaEmbed(plot, { ...content.spec, datasets }, {
      mode: "vega-lite", renderer: "svg", ast: true, actions: false, defaultStyle: false, tooltip: false, config,
    });
    const axes = (name) => content.spec.layer.flatMap((each) => each.params).filter((each) => each.name === name).flatMap((each) => each.select.encodings);
    const chart = { view, brushed: axes("brush"), zoomed: axes("zoom") };
    charts.push(chart);
    plot.querySelector("svg").setAttribute("aria-hidden", "true");
    watch(chart, plot, rows);
    const details = figure.querySelector("details.data");
    details.addEventListener("toggle", () => { if (!details.querySelector("table")) details.append(tableOf(rows, content.columns)); });
  };

  const watch = (chart, plot, rows) => {
    const { view, brushed, zoomed } = chart;
    let timer = 0;
    let isBrushed = false;
    let down = [0, 0];
    plot.addEventListener("pointerdown", (event) => { active = view; down = [event.clientX, event.clientY]; });
    view.addEventListener("click", (event, item) => {
      if (Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 4) return;
      clearTimeout(timer);
      const mark = item && item.datum && item.datum.t;
      if (mark !== undefined && mark !== null) toggle(mark, { adds: event.shiftKey || event.ctrlKey });
      else if (marks.size) clear();
    });
    const hide = () => { tip.textContent = ""; };
    view.addEventListener("pointermove", (event, item) => {
      const mark = item && item.datum && item.datum.t;
      tip.textContent = mark === undefined || mark === null ? "" : tips[mark];
      tip.style.left = `${Math.min(event.clientX + 12, root.clientWidth - Math.min(340, root.clientWidth) )}px`;
      tip.style.top = `${event.clientY + 16}px`;
    });
    plot.addEventListener("pointerleave", hide);
    document.addEventListener("scroll", hide, { passive: true });
    if (brushed.length) view.addSignalListener("brush", (_, range) => {
      const is = Object.keys(range).length > 0;
      if (active !== view || (!is && !isBrushed)) return;
      isBrushed = is;
      clearTimeout(timer);
      timer = setTimeout(() => {
        charts.filter((each) => each !== chart).forEach(unbrush);
        pick(is ? rows.filter(isWithin(range)).map((row) => row.t) : []);
      }, 60);
    });
    // Keyboard: select the next or previous trial, zoom.
    const order = [...new Set(rows.map((row) => row.t).filter((mark) => mark !== undefined))];
    const reset = () => Object.keys(view.getState({ signals: (name) => /^zoom_(?!translate|zoom|tuple|x$|y$)/.test(name), data: () => false }).signals)
      .forEach((name) => view.signal(name, null));
    const scale = (by) => {
      const middle = Object.fromEntries(zoomed.map((axis) => {
        const known = view.scale(axis);
        return [axis, known.invert((known.range()[0] + known.range()[1]) / 2)];
      }));
      view.signal("zoom_zoom_anchor", middle).signal("zoom_zoom_delta", by, { force: true });
    };
    plot.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step && order.length) {
        const at = marks.size === 1 ? order.indexOf([...marks][0]) : -1;
        pick([order[at < 0 ? (step > 0 ? 0 : order.length - 1) : (at + step + order.length) % order.length]]);
      } else if (zoomed.length && ["+", "=", "-", "0"].includes(event.key)) {
        if (event.key === "0") reset();
        else scale(event.key === "-" ? 1.25 : 0.8);
        view.runAsync();
      } else return;
      event.preventDefault();
    });
  };

  const tableOf = (rows, columns) => {
    const box = document.createElement("div");
    box.className = "wide";
    box.tabIndex = 0;
    const table = box.appendChild(document.createElement("table"));
    const head = table.createTHead().insertRow();
    const body = table.createTBody();
    Object.values(columns).forEach((name) => {
      const cell = head.appendChild(document.createElement("th"));
      cell.scope = "col";
      cell.textContent = name;
    });
    rows.forEach((row) => {
      const line = body.insertRow();
      Object.keys(columns).forEach((field) => { line.insertCell().textContent = row[field] ?? ""; });
    });
    return box;
  };

  const drawAll = async () => {
    for (const script of document.querySelectorAll("figure > script")) {
      await draw(script.parentElement);
      await new Promise((done) => { setTimeout(done); });  // keeps the page responsive
    }
    root.dataset.drawn = charts.length;
  };
  addEventListener("load", drawAll);

  // The theme of the system, until the button is used.
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

  // Sorting: empty cells last, numbers before text.
  const sort = (column, sign) => {
    const compare = (one, other) => {
      const a = valueOf(one, column);
      const b = valueOf(other, column);
      if (a === "" || b === "") return (a === "") - (b === "");
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
      return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
    };
    body.append(...[...rows].sort(compare));
    heads.forEach((head, index) => {
      head.setAttribute("aria-sort", index !== column ? "none" : sign > 0 ? "ascending" : "descending");
    });
  };
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      sort(column, head.getAttribute("aria-sort") === "ascending" ? -1 : 1);
    });
  });

  // Filtering: words that a row must contain, or comparisons of a column with a value.
  const filter = document.getElementById("filter");
  const count = document.getElementById("filter-count");
  const plain = (text) => text.toLowerCase().replace(/[%±_ .]/g, "");
  const names = heads.map((head) => plain(head.textContent));
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const columnOf = (name) => names.findIndex((each) => each === plain(name));
  const holds = (text) => (row) => texts.get(row).includes(text.toLowerCase());
  const compares = (column, sign, value) => (row) => {
    const found = valueOf(row, column);
    if (found === "") return false;
    const order = typeof found === "number" && !Number.isNaN(Number(value))
      ? found - Number(value) : String(found).localeCompare(value);
    return { "<": order < 0, ">": order > 0, "<=": order <= 0, ">=": order >= 0, "=": order === 0, "!=": order !== 0 }[sign];
  };
  // `val acc > 60` is one condition: a column name with or without its spaces, an operator, and a value.
  const loose = (name) => [...name].map((letter) => letter.replace(/[^a-z0-9]/, "\\$&")).join("[%±_ .]*");
  const condition = new RegExp(`(?<!\\S)(${names.map(loose).join("|")})[%±_ .]*\\s*(<=|>=|!=|=|<|>)\\s*(\\S+)`, "gi");
  const testsOf = (typed) => {
    const tests = [];
    const words = typed.replace(condition, (_, name, sign, value) => {
      tests.push(compares(columnOf(name), sign, value));
      return " ";
    });
    return [...tests, ...words.split(/\s+/).filter(Boolean).map(holds)];
  };
  const apply = () => {
    const tests = testsOf(filter.value);
    let shown = 0;
    rows.forEach((row) => {
      row.hidden = !tests.every((test) => test(row)) || (only.checked && !marks.has(row.dataset.t));
      shown += !row.hidden;
    });
    count.textContent = shown < rows.length ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
  };
  const only = document.getElementById("only");
  filter.addEventListener("input", apply);
  only.addEventListener("change", apply);
  document.addEventListener("picked", apply);
  document.getElementById("highlight").addEventListener("click", () => {
    charts.forEach(unbrush);
    pick(rows.filter((row) => !row.hidden).map((row) => row.dataset.t));
  });
  document.getElementById("filter-form").addEventListener("submit", (event) => event.preventDefault());
  apply();
})();
