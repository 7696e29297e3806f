// All trials: sorted by any column, filtered by words and comparisons, shown by the hundred.

const SHOW = 100;
const FACTS = [
  ["trial", (i) => trials.tid[i]], ["state", (i) => trials.state[i]], ["loss", (i) => trials.loss[i]], ["seconds", (i) => trials.seconds[i]],
  ["attempts", (i) => trials.attempts[i]], ["interrupted", (i) => trials.interrupted[i] || null], ["cause", (i) => trials.cause[i]],
];
const LAST = ["error", (i) => (trials.error[i] === null ? null : lastLine(trials.errors[trials.error[i]]))];
const MANY = 24;

function lastLine(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  return lines.length ? lines[lines.length - 1].slice(0, 200) : "no message";
}

function table() {
  const section = document.getElementById("trials");
  if (!count) return nothing(section, "There are no trials yet.");
  let names = params.map((column) => column.name);
  if (names.length > MANY) {
    const kept = new Set(data.axes.slice(0, MANY).map((axis) => axis.name));
    names = names.filter((name) => kept.has(name));
  }
  // Columns in which there is nothing stand in nobody's way.
  const isUsed = ([, of]) => trials.tid.some((_, i) => of(i) !== null);
  const numbers = data.numbers.map(({ name, values }) => [name, (i) => values[i]]);
  const ours = names.map((name) => [name, (i) => valueOf(columns.get(name), i), columns.get(name)]);
  const heads = [...FACTS.slice(0, 3), ...FACTS.slice(3).filter(isUsed), ...numbers, ...ours, ...[LAST].filter(isUsed)];
  // A column's key, as trials.csv has it: a parameter may be called as a fact is.
  const keys = heads.map(([name, , column]) => (column ? `params.${name}` : name));
  const view = { sort: ["loss", false], filter: "", state: "", shown: SHOW, ...state.table };
  if (!keys.includes(view.sort[0])) view.sort = ["loss", false];
  const set = (changes) => {
    Object.assign(view, { shown: SHOW }, changes);
    keep({ table: view });
    fill();
  };
  const filter = el("input", { id: "filter", type: "search", value: view.filter, placeholder: "Filter: words, or comparisons:  loss<0.2  optimizer=adam  \"batch size\">=64",
    "aria-label": "Filter trials", title: "Quote a name, a value or words that hold spaces, with \" or `", oninput: () => set({ filter: filter.value }) });
  const states = [...new Set([...trials.state, ...trials.cause.filter(Boolean)])].sort();
  const pick = el("select", { "aria-label": "State or cause", onchange: () => set({ state: pick.value }) },
    el("option", { value: "" }, "every state and cause"), ...states.map((one) => el("option", { value: one, selected: one === view.state }, one)));
  const told = el("span", { class: "note", role: "status" });
  const headRow = el("tr", {}, ...heads.map(([name], c) => el("th", { scope: "col" }, el("button", { type: "button", title: name,
    onclick: () => set({ sort: [keys[c], view.sort[0] === keys[c] ? !view.sort[1] : false] }) }, el("bdi", {}, name)))));
  const body = el("tbody");
  const more = el("button", { type: "button", onclick: () => set({ shown: view.shown + 500 }) }, "Show 500 more");
  const wide = el("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Trials" }, el("table", {}, el("thead", {}, headRow), body));
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-row]");
    if (row && !getSelection().toString()) openTrial(Number(row.dataset.row));
  });
  section.append(el("div", { class: "bar" }, filter, pick, told), wide, el("div", { class: "bar" }, more),
    el("p", { class: "note" }, names.length < params.length ? `${names.length} of ${params.length} parameters; a click on a trial shows all, and trials.csv has them.` : "A click on a trial shows all of it; trials.csv beside this file holds everything."));

  function fill() {
    const matches = matcher(view.filter, heads, keys);
    const found = [];
    for (let i = 0; i < count; i++) if ((!view.state || trials.state[i] === view.state || trials.cause[i] === view.state) && matches(i)) found.push(i);
    order(found, heads[keys.indexOf(view.sort[0])][1], view.sort[1]);
    [...headRow.cells].forEach((head, c) => {
      if (keys[c] === view.sort[0]) head.setAttribute("aria-sort", view.sort[1] ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    body.replaceChildren(...found.slice(0, view.shown).map((i) => line(i, heads)));
    told.textContent = `${found.length} of ${count} trials${found.length > view.shown ? `, ${view.shown} shown` : ""}`;
    more.hidden = found.length <= view.shown;
  }
  fill();
}

function line(i, heads) {
  const cells = heads.map(([, of, column], c) => {
    const value = of(i);
    if (c === 0) return el("td", { class: "n" }, el("button", { type: "button", "aria-label": `Trial ${value}` }, String(value)));
    if (value === null) return column ? el("td", { class: "off" }, "inactive") : el("td");
    if (typeof value === "number") return el("td", { class: "n" }, num(value));
    return el("td", { title: value.length > 40 ? value : null, class: of === LAST[1] ? "bad" : null }, el("bdi", {}, value));
  });
  return el("tr", { "data-row": i, class: i === data.best ? "best" : null }, ...cells);
}

// Trials without a value come last, whichever way the others go.
function order(found, of, down) {
  const keys = new Map(found.map((i) => [i, of(i)]));
  found.sort((a, b) => {
    const [x, y] = [keys.get(a), keys.get(b)];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    const by = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
    return (down ? -by : by) || a - b;
  });
}

// Whether a trial has all words and meets all comparisons of a filter. What holds spaces or signs stands in quotes.
const QUOTED = /"[^"]*"|`[^`]*`/.source;
const WORDS = new RegExp(`(?:${QUOTED}|\\S)+`, "g");
const COMPARISON = new RegExp(`^(${QUOTED}|.+?)(<=|>=|!=|<|>|=)(.+)$`);
const bare = (text) => (text.length > 1 && /^["`]/.test(text) && text.endsWith(text[0]) ? text.slice(1, -1) : text);

function matcher(text, heads, keys) {
  // As written or in small letters; a fact before a parameter of its name, which params.NAME reaches.
  const of = new Map();
  const call = (name, value) => { if (!of.has(name)) of.set(name, value); };
  for (const fold of [(name) => name, (name) => name.toLowerCase()]) {
    heads.forEach(([name, value], c) => {
      call(fold(name), value);
      call(fold(keys[c]), value);
    });
  }
  const tests = (text.match(WORDS) || []).map((word) => {
    const [, quoted, sign, wanted] = COMPARISON.exec(word) || [];
    const name = quoted === undefined ? "" : bare(quoted);
    const value = of.get(name) || of.get(name.toLowerCase());
    if (value) return (i) => compared(value(i), sign, bare(wanted).toLowerCase());
    const part = bare(word).toLowerCase();
    return (i) => heads.some(([, one]) => String(one(i) ?? "").toLowerCase().includes(part));
  });
  return (i) => tests.every((test) => test(i));
}
function compared(value, sign, wanted) {
  if (value === null) return sign === "=" ? wanted === "inactive" : sign === "!=" && wanted !== "inactive";
  const bound = Number(wanted);
  if (typeof value !== "number" || Number.isNaN(bound)) {
    const same = String(value).toLowerCase() === wanted;
    return sign === "=" ? same : sign === "!=" && !same;
  }
  return { "<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound, "=": value === bound, "!=": value !== bound }[sign];
}
