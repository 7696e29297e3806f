// Plots by ECharts: drawn when they come into view, in the page's colours, again when these change.

const all = [];
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const VIRIDIS = ["#440154", "#482878", "#3e4a89", "#31688e", "#26838f", "#1f9d8a", "#6cce5a", "#b6de2b", "#d8e219"];
const OUTCOMES = { ok: "#0072b2", pruned: "#8fb4d9", rejected: "#7f8fa3", running: "#56b4e9", objective: "#d55e00", timeout: "#cc79a7", oom: "#9a4fc4", worker: "#a65628",
  preempted: "#e69f00", node: "#c9b400", walltime: "#009e73", network: "#6b8e23", scancel: "#999999" };

let theme = {};
function readTheme() {
  const dark = document.documentElement.dataset.theme === "dark";
  // The best trials stand out: dark on white, bright on black.
  theme = { ...theme, dark, ink: css("--ink"), muted: css("--muted"), line: css("--line"), card: css("--card"), main: css("--main"), best: css("--best"),
    bad: css("--bad"), band: css("--band"), idle: css("--idle"), scale: dark ? [...VIRIDIS].reverse() : VIRIDIS };
}
function colour(at) {
  const scale = theme.scale, x = inside(at) * (scale.length - 1), k = Math.min(Math.floor(x), scale.length - 2);
  const part = (hex, c) => parseInt(hex.slice(1 + 2 * c, 3 + 2 * c), 16);
  const mix = [0, 1, 2].map((c) => Math.round(part(scale[k], c) + (part(scale[k + 1], c) - part(scale[k], c)) * (x - k)));
  return `rgb(${mix})`;
}

// A plot in host. build() gives ECharts' option; ready(chart) adds what it answers to.
function plot(host, label, height, build, ready = null) {
  const box = el("div", { class: "plot", role: "img", "aria-label": label });
  box.style.height = `${height}px`;
  host.append(box);
  const entry = { box, build, chart: null, draw() {
    if (!entry.chart) {
      entry.chart = echarts.init(box, null, { renderer: "canvas" });
      if (ready) ready(entry.chart);
      new ResizeObserver(() => { if (box.clientWidth) entry.chart.resize(); }).observe(box);
    }
    entry.chart.setOption(build(), { notMerge: true });
    entry.chart.getZr().flush();
  }, again() { if (entry.chart) entry.draw(); } };
  all.push(entry);
  new IntersectionObserver((seen, observer) => {
    if (!seen.some((one) => one.isIntersecting)) return;
    observer.disconnect();
    soon(entry);
  }, { rootMargin: "150px" }).observe(box);
  return entry;
}

// One plot a turn, so that the page answers in between.
const waiting = [];
function soon(entry) {
  waiting.push(entry);
  if (waiting.length === 1) setTimeout(nextOne, 30);
}
function nextOne() {
  const entry = waiting[0];
  if (!entry.chart) entry.draw();
  waiting.shift();
  if (waiting.length) setTimeout(nextOne, 30);
}

// A figure with its heading. Its body is the part below, to be filled.
function view(host, title, note, { broad = false } = {}) {
  const noteLine = el("p", { class: "note" }, note);
  const figure = el("figure", { class: broad ? "view broad" : "view" }, el("h3", {}, title), noteLine);
  document.getElementById(host).append(figure);
  figure.noteLine = noteLine;
  return figure;
}
// What the colours of losses mean.
const shades = () => el("span", { class: "scale" }, `loss ${num(data.loss.low)}`, el("i", { "aria-hidden": "true" }), num(data.loss.high));
const nothing = (host, why) => host.append(el("div", { class: "none" }, why));

function axisBase(name) {
  return {
    name, nameLocation: "middle", nameGap: 28, nameTextStyle: { color: theme.muted, fontSize: 12 },
    axisLabel: { color: theme.muted, fontSize: 11, hideOverlap: true }, axisLine: { show: false, lineStyle: { color: theme.line } },
    axisTick: { show: false }, splitLine: { lineStyle: { color: theme.line } }, minorTick: { show: false }, minorSplitLine: { show: false },
  };
}

// An axis from 0 to 1 with the ticks of one of ours, wider by margins.
function unitAxis(axis, before, after, { name = "", width = 60, off = null } = {}) {
  const base = axisBase(name);
  const texts = new Map(axis.ticks);
  const marks = [...texts.keys()];
  // Where inactive trials stand.
  if (off !== null) {
    texts.set(off, "inactive");
    marks.unshift(off);
  }
  return { ...base, type: "value", min: -before, max: 1 + after,
    axisTick: { show: false, customValues: marks },
    splitLine: { show: axis.kind !== "categorical", lineStyle: { color: theme.line } },
    axisLabel: { ...base.axisLabel, customValues: marks, formatter: (at) => texts.get(at) ?? "", width, overflow: "truncate",
      showMinLabel: null, showMaxLabel: null } };
}

// Whether that axis is logarithmic: as the losses are spread, or as the reader has chosen.
const isLossLog = () => data.loss.low > 0 && (state.isLossLog ?? data.loss.kind === "log");
// The loss on an axis of ECharts' own, which can be zoomed.
function lossAxis() {
  const { low, high } = data.loss;
  const isLog = isLossLog();
  const pad = (high - low || Math.abs(high) || 1) * 0.06;
  const base = axisBase("");
  return { ...base, type: isLog ? "log" : "value", min: isLog ? low / 1.2 : low - pad, max: isLog ? high * 1.2 : high + pad,
    axisLabel: { ...base.axisLabel, showMinLabel: false, showMaxLabel: false, formatter: num } };
}
// A loss on that axis: what lies beyond is drawn at its end.
function clamped(loss) {
  return Math.min(Math.max(loss, data.loss.low), data.loss.high);
}
const beyond = (i) => trials.loss[i] > data.loss.high || trials.loss[i] < data.loss.low;

function base(extra = {}) {
  return {
    animation: false, textStyle: { fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif" },
    backgroundColor: theme.card,
    tooltip: { trigger: "item", confine: true, backgroundColor: theme.card, borderColor: theme.line, textStyle: { color: theme.ink, fontSize: 12 },
      formatter: (item) => tip(item.data) },
    ...extra,
  };
}

// What the pointer tells of a trial; data holds its place as the key "i".
function tip(item) {
  if (!item || item.i === undefined) return "";
  const { i } = item;
  const box = el("div", { class: "tip" }, el("b", {}, `#${trials.tid[i]} ${trials.state[i]}`));
  const line = (name, value) => box.append(el("div", {}, el("span", {}, name), el("span", {}, value)));
  if (trials.loss[i] !== null) line("loss", num(trials.loss[i]));
  if (trials.seconds[i] !== null) line("took", seconds(trials.seconds[i]));
  if (trials.cause[i] && trials.loss[i] === null) line("cause", trials.cause[i]);
  for (const axis of data.axes.slice(0, 8)) {
    const value = valueOf(columns.get(axis.name), i);
    line(axis.name, value === null ? "inactive" : shown(value));
  }
  box.append(el("span", { class: "muted" }, "click for all of it"));
  return box;
}
// Anything drawn for a trial opens it.
function opens(chart) {
  chart.on("click", (item) => { if (item.data && item.data.i !== undefined) openTrial(item.data.i); });
}

function star(at, size = 17) {
  return { type: "scatter", data: at ? [at] : [], symbol: "path://M0,-10 2.4,-3.1 9.5,-3.1 3.8,1.2 5.9,8.1 0,4 -5.9,8.1 -3.8,1.2 -9.5,-3.1 -2.4,-3.1Z",
    symbolSize: size, itemStyle: { color: "#e69f00", borderColor: "#1f2733", borderWidth: 0.8 }, z: 10 };
}
const zoomTools = () => ({ show: !theme.isPrinted, right: 0, top: -4, itemSize: 13, iconStyle: { borderColor: theme.muted }, feature: {
  dataZoom: { title: { zoom: "zoom", back: "back" } }, restore: { title: "whole" }, saveAsImage: { title: "save", name: data.name } } });
