// What all parts use: the data, elements that hold text only, numbers for people, and what outlives a reload.

const data = JSON.parse(document.getElementById("data").textContent);
const { trials, params } = data;
const count = trials.tid.length;
const usable = [];
for (let i = 0; i < count; i++) if (trials.loss[i] !== null) usable.push(i);
Object.freeze(usable);
const pruned = new Set(data.pruned);
const byLoss = Object.freeze([...usable].sort((a, b) => trials.loss[a] - trials.loss[b] || a - b));
const columns = new Map(params.map((column) => [column.name, column]));

// An element; children are elements or text, and text is never read as HTML.
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// 4 significant digits, as hpcho's own tables have them.
function num(value) {
  if (value === null || value === undefined) return "";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

// So many things, in words.
const counted = (n, one, more = `${one}s`) => `${n} ${n === 1 ? one : more}`;

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
function seconds(value) {
  if (value === null || value === undefined) return "";
  for (let i = 0; i < 3; i++) {
    const [unit, size] = UNITS[i];
    if (value >= size) return `${Math.floor(value / size)} ${unit} ${Math.floor((value % size) / UNITS[i + 1][1])} ${UNITS[i + 1][0]}`;
  }
  return `${num(Math.round(value * 100) / 100)} s`;
}

// The unit in which the longest of some times reads best, and its seconds.
function unitOf(longest) {
  return [["s", 1, 180], ["min", 60, 10800], ["h", 3600, 259200], ["days", 86400, Infinity]].find(([, , limit]) => longest < limit);
}

function valueOf(column, i) {
  const value = column.values[i];
  return value === null ? null : column.texts ? column.texts[value] : value;
}
const shown = (value) => (typeof value === "number" ? num(value) : value);

// Where a value stands on an axis: 0..1 inside, beyond that outside; null for what has no place.
function place(axis, value) {
  if (value === null || value === undefined) return null;
  if (axis.kind === "categorical") return (value + 0.5) / axis.categories.length;
  let { low, high } = axis;
  if (axis.kind === "log") {
    if (value <= 0) return null;
    [low, high, value] = [low, high, value].map(Math.log);
  }
  return high > low ? (value - low) / (high - low) : 0.5 + (value > high) - (value < low);
}
const inside = (at) => Math.min(Math.max(at, 0), 1);
// -0.5..0.5, even over consecutive trials, the same in each drawing.
const jitter = (i, turn = 0) => ((trials.tid[i] * 0.618034 + turn) % 1) - 0.5;
const lossAt = (i) => inside(place(data.loss, trials.loss[i]));

// Where trial i stands on a parameter's axis, of one category spread sideways; null where it is inactive.
function spread(axis, i, width = 0.6, turn = 0) {
  const column = columns.get(axis.name);
  const value = column.values[i];
  if (value === null || (column.texts && axis.kind !== "categorical")) return null;
  const at = place(axis, value);
  if (at === null || axis.kind !== "categorical") return at;
  return at + Math.min(width / axis.categories.length, 0.25) * jitter(i, turn);
}

// At most limit of some trials: the best fifth of that, and evenly of the others.
function sample(of, limit) {
  if (of.length <= limit) return of;
  const loss = (i) => trials.loss[i] ?? Infinity;
  const best = new Set([...of].sort((a, b) => loss(a) - loss(b)).slice(0, Math.floor(limit / 5)));
  const others = of.filter((i) => !best.has(i));
  const step = others.length / (limit - best.size);
  const kept = new Set(best);
  for (let k = 0; k < limit - best.size; k++) kept.add(others[Math.floor(k * step)]);
  return of.filter((i) => kept.has(i));
}

// What a reader has set, kept in the window: a page that opens itself again is as it was.
const KEY = `hpcho:${location.pathname}`;
const state = (() => {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) || {};
  } catch {
    return {}; // A browser may keep nothing for files.
  }
})();
function keep(changes) {
  Object.assign(state, changes);
  try {
    sessionStorage.setItem(KEY, JSON.stringify(state));
  } catch { /* as above */ }
}

// Buttons of which one is pressed.
function choice(name, options, chosen, onchoose) {
  const buttons = options.map(([value, text]) =>
    el("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => {
      for (const button of buttons) button.setAttribute("aria-pressed", String(button === buttons[options.findIndex(([v]) => v === value)]));
      onchoose(value);
    } }, text));
  return el("div", { class: "bar", role: "group", "aria-label": name }, ...buttons);
}

async function copy(text, button) {
  const was = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page from a file may be refused the clipboard: the old way still works there.
    const area = el("textarea", { "aria-hidden": "true" });
    area.value = text;
    button.after(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = was; }, 1500);
}
