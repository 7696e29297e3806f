// Importance with its confidence, slices with a band for inactive trials, and contours of two parameters.

const DOTS = 1500;
const pct = (share) => `${Math.round(share * 100)}%`;

function importance() {
  const figure = view("parameters", "Importance", "Share of the variance of the losses' ranks that a parameter explains by itself; whiskers: 90 % confidence. Interactions are not seen.");
  const known = data.axes.filter((axis) => axis.share);
  if (!known.length) return nothing(figure, "This needs 10 successful trials whose losses differ, and parameters that vary.");
  const bars = known.slice(0, 15).reverse();
  if (known.length > bars.length) figure.noteLine.append(` The first ${bars.length} of ${known.length} are shown.`);
  const label = `Importance: ${known.slice(0, 5).map((axis) => `${axis.name} ${pct(axis.share[0])}`).join(", ")}`;
  plot(figure, label, Math.max(Math.min(340, 60 + 40 * bars.length), 46 + 23 * bars.length), () => base({
    grid: { left: 8, right: 40, top: 6, bottom: 24, containLabel: true },
    xAxis: { ...axisBase(""), type: "value", min: 0, max: Math.min(1, Math.ceil(10 * Math.max(0.1, ...bars.map((axis) => axis.share[2]))) / 10),
      axisLabel: { ...axisBase("").axisLabel, formatter: pct } },
    yAxis: { ...axisBase(""), type: "category", data: bars.map((axis) => axis.name), splitLine: { show: false },
      axisLabel: { color: theme.ink, fontSize: 11, width: 130, overflow: "truncate", interval: 0 } },
    tooltip: { show: false },
    series: [
      { type: "bar", barWidth: "62%", barMaxWidth: 22, data: bars.map((axis) => axis.share[0]), itemStyle: { color: theme.main } },
      { type: "custom", silent: true, z: 5, data: bars.map((axis, k) => [k, axis.share[1], axis.share[2]]), renderItem: (_, api) => {
        const [from, to] = [1, 2].map((d) => api.coord([api.value(d), api.value(0)]));
        const stroke = { stroke: theme.ink, lineWidth: 1.2, fill: null };
        const segment = (x1, y1, x2, y2) => ({ type: "line", shape: { x1, y1, x2, y2 }, style: stroke });
        return { type: "group", children: [segment(from[0], from[1], to[0], to[1]), segment(from[0], from[1] - 4, from[0], from[1] + 4),
          segment(to[0], to[1] - 4, to[0], to[1] + 4),
          { type: "text", style: { x: to[0] + 7, y: to[1], text: pct(bars[api.value(0)].share[0]), fill: theme.muted, font: "11px system-ui", verticalAlign: "middle" } }] };
      }, encode: { x: [1, 2], y: 0 } },
    ],
  }));
}

function slices() {
  const figure = view("parameters", "Loss against each parameter",
    "Most important first. Trials without the parameter stand on the band at the left: it was inactive there.", { broad: true });
  if (!data.axes.length) return nothing(figure, "No parameter varies.");
  const box = el("div", { class: "slices" });
  figure.append(box);
  const show = (axes) => { for (const axis of axes) slice(box, axis); };
  show(data.axes.slice(0, 8));
  const rest = data.axes.slice(8);
  if (!rest.length) return;
  const more = () => {
    show(rest);
    button.remove();
    keep({ slices: true });
  };
  const button = el("button", { type: "button", onclick: more }, `Show ${rest.length} more`);
  figure.append(el("div", { class: "bar" }, button));
  if (state.slices) more();
}

function slice(box, axis) {
  const host = el("div", { class: "slice" }, el("h4", {}, el("bdi", { title: axis.name }, axis.name), el("span", {}, axis.share ? pct(axis.share[0]) : "")));
  box.append(host);
  const chosen = sample(usable, DOTS);
  const isPartly = chosen.some((i) => spread(axis, i) === null);
  plot(host, `Loss against ${axis.name}`, 165, () => {
    const on = [], off = [];
    for (const i of chosen) {
      const at = spread(axis, i);
      if (at === null) off.push({ value: [-0.27 + 0.16 * jitter(i), lossAt(i)], i });
      else on.push({ value: [inside(at), lossAt(i)], i });
    }
    const best = data.best !== null && spread(axis, data.best);
    const x = unitAxis(axis, isPartly ? 0.42 : 0.04, 0.04, { width: axis.kind === "categorical" ? Math.max(26, 150 / axis.ticks.length) : 60, off: isPartly ? -0.27 : null });
    return base({
      grid: { left: 44, right: 8, top: 8, bottom: 24 }, xAxis: x, yAxis: unitAxis(data.loss, 0.05, 0.05),
      series: [
        { type: "scatter", data: on, symbolSize: 5, itemStyle: { color: theme.main, opacity: 0.5 },
          markArea: { silent: true, itemStyle: { color: theme.band },
            data: isPartly ? [[{ xAxis: -0.4 }, { xAxis: -0.13 }]] : [] } },
        { type: "scatter", data: off, symbolSize: 4, itemStyle: { color: theme.muted, opacity: 0.5 } },
        star(best === false || best === null ? null : { value: [inside(best), lossAt(data.best)], i: data.best }, 14),
      ],
    });
  }, opens);
}

// Two parameters to choose; onchange gets both axes.
function pairOf(figure, key, onchange) {
  const names = data.axes.map((axis) => axis.name);
  const known = state[key] && state[key][0] !== state[key][1] && state[key].every((name) => names.includes(name)) ? state[key] : data.pair;
  const picks = known.map((name, k) => {
    const pick = el("select", { "aria-label": `${k ? "Second" : "First"} parameter` }, ...names.map((one) => el("option", { selected: one === name }, one)));
    let was = names.indexOf(name);
    pick.addEventListener("change", () => {
      // One parameter spans no plane: choosing the other's swaps the two.
      const other = picks[1 - k];
      if (other.selectedIndex === pick.selectedIndex) other.turn(was);
      was = pick.selectedIndex;
      keep({ [key]: picks.map((one) => names[one.selectedIndex]) });
      onchange();
    });
    pick.turn = (index) => { pick.selectedIndex = was = index; };
    return pick;
  });
  figure.append(el("div", { class: "bar" }, ...picks, shades()));
  return () => picks.map((pick) => data.axes[pick.selectedIndex]);
}

const CELLS = 72, LEVELS = 14;

function contour() {
  const figure = view("parameters", "Loss over two parameters", "Filled contours of a smoothed loss (nearby trials, weighted by distance); blank where nothing was tried.");
  if (!data.pair) return nothing(figure, "This needs two parameters that vary.");
  const chosen = sample(usable, DOTS);
  const pair = pairOf(figure, "contour", () => drawn.again());
  const drawn = plot(figure, "Filled contours of the loss over two parameters", 340, () => {
    const [x, y] = pair();
    const spots = chosen.map((i) => [spread(x, i, 0.5), spread(y, i, 0.5, 0.5), lossAt(i), i]).filter(([a, b]) => a !== null && b !== null);
    return base({
      grid: { left: 66, right: 12, top: 20, bottom: 44 },
      xAxis: { ...unitAxis(x, 0, 0, { name: x.name, width: 70 }), splitLine: { show: false } },
      yAxis: { ...unitAxis(y, 0, 0, { width: 56 }), splitLine: { show: false }, name: y.name, nameLocation: "end", nameGap: 4, nameTruncate: { maxWidth: 220 }, nameTextStyle: { color: theme.muted, align: "left", padding: [0, 0, 0, -20] } },
      series: [
        { type: "custom", silent: true, data: field(spots), progressive: 0, renderItem: (_, api) => {
          const from = api.coord([api.value(0), api.value(1)]), to = api.coord([api.value(0) + 1 / CELLS, api.value(3)]);
          return { type: "rect", shape: { x: from[0], y: to[1], width: to[0] - from[0] + 0.6, height: from[1] - to[1] + 0.6 }, style: { fill: colour(api.value(2)) } };
        } },
        { type: "scatter", symbolSize: 4.5, data: spots.map(([a, b, loss, i]) => ({ value: [inside(a), inside(b)], i, itemStyle: { color: colour(loss) } })),
          itemStyle: { borderColor: theme.card, borderWidth: 0.6 } },
        star(starOn(x, y), 16),
      ],
    });
  }, opens);
}
function starOn(x, y) {
  if (data.best === null) return null;
  const [a, b] = [spread(x, data.best, 0.5), spread(y, data.best, 0.5, 0.5)];
  return a === null || b === null ? null : { value: [inside(a), inside(b)], i: data.best };
}

// Cells of a grid (left, foot, level, top): the mean of losses weighted by a Gaussian of the distance.
function field(spots) {
  const near = Math.min(0.2, Math.max(0.05, 0.55 / Math.sqrt(spots.length || 1)));
  const reach = 3 * near, cells = [];
  const buckets = new Map(), size = reach;
  for (const spot of spots) {
    const key = `${Math.floor(spot[0] / size)},${Math.floor(spot[1] / size)}`;
    if (!buckets.has(key)) buckets.set(key, []);
    buckets.get(key).push(spot);
  }
  for (let c = 0; c < CELLS; c++) {
    for (let r = 0; r < CELLS; r++) {
      const x = (c + 0.5) / CELLS, y = (r + 0.5) / CELLS;
      let weight = 0, total = 0;
      for (let dx = -1; dx <= 1; dx++) for (let dy = -1; dy <= 1; dy++) {
        for (const [a, b, loss] of buckets.get(`${Math.floor(x / size) + dx},${Math.floor(y / size) + dy}`) || []) {
          const w = Math.exp(-((a - x) ** 2 + (b - y) ** 2) / (2 * near * near));
          weight += w;
          total += w * loss;
        }
      }
      if (weight <= 0.25) continue;
      const level = Math.round((total / weight) * LEVELS) / LEVELS, last = cells[cells.length - 1];
      // Cells of one level that lie upon each other are one.
      if (last && last[0] === c / CELLS && last[2] === level && Math.abs(last[3] - r / CELLS) < 1e-9) last[3] = (r + 1) / CELLS;
      else cells.push([c / CELLS, r / CELLS, level, (r + 1) / CELLS]);
    }
  }
  return cells;
}
