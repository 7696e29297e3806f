// Loss over the plane of two parameters, to be turned by hand. The projection is ours and ECharts draws the result, so
// that it works where a browser has no WebGL (remote desktops, old laptops).

const NEAR = 900;

function turning() {
  const figure = view("parameters", "Loss in three dimensions", "Drag it, or use the arrow keys, to turn it.");
  if (!data.pair) return nothing(figure, "This needs two parameters that vary.");
  const chosen = sample(usable, NEAR);
  let [turn, tilt] = state.turn || [-0.65, 0.42];
  const pair = pairOf(figure, "plane", () => drawn.again());
  const drawn = plot(figure, "Loss over the plane of two parameters", 340, () => scene(drawn.box, pair(), chosen, turn, tilt), opens);
  const { box } = drawn;
  const by = (across, down) => {
    turn += across;
    tilt = Math.min(Math.max(tilt + down, 0.02), 1.5);
    requestAnimationFrame(drawn.again);
    keep({ turn: [turn, tilt] });
  };
  box.style.touchAction = "pan-y";
  box.style.cursor = "grab";
  box.tabIndex = 0;
  let last = null;
  box.addEventListener("pointerdown", (event) => { last = event; });
  window.addEventListener("pointerup", () => { last = null; });
  window.addEventListener("pointermove", (event) => {
    if (!last) return;
    by((event.clientX - last.clientX) * 0.009, (event.clientY - last.clientY) * 0.007);
    last = event;
  });
  const keys = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.08], ArrowDown: [0, -0.08] };
  box.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    event.preventDefault();
    by(...keys[event.key]);
  });
}

function scene(box, [x, y], chosen, turn, tilt) {
  const [sin, cos, up, flat] = [Math.sin(turn), Math.cos(turn), Math.sin(tilt), Math.cos(tilt)];
  // From the unit cube to the screen: turned about the loss' axis, tilted towards the reader.
  const at = (a, b, c) => {
    const [p, q, r] = [a - 0.5, b - 0.5, (c - 0.5) * 0.85];
    const deep = p * sin + q * cos;
    return [p * cos - q * sin, r * flat + deep * up, deep * flat - r * up];
  };
  const segment = (from, to, style) => ({ coords: [at(...from).slice(0, 2), at(...to).slice(0, 2)], lineStyle: style });
  const grid = { color: theme.line, width: 1 }, edge = { color: theme.muted, width: 1 };
  const lines = [], labels = [];
  // The walls at the back, and the floor.
  const backX = at(0, 0.5, 0)[2] > at(1, 0.5, 0)[2] ? 0 : 1, backY = at(0.5, 0, 0)[2] > at(0.5, 1, 0)[2] ? 0 : 1;
  for (const [t] of x.ticks) lines.push(segment([t, 0, 0], [t, 1, 0], grid), segment([t, backY, 0], [t, backY, 1], grid));
  for (const [t] of y.ticks) lines.push(segment([0, t, 0], [1, t, 0], grid), segment([backX, t, 0], [backX, t, 1], grid));
  for (const [t] of data.loss.ticks) lines.push(segment([backX, 0, t], [backX, 1, t], grid), segment([0, backY, t], [1, backY, t], grid));
  lines.push(segment([0, 1 - backY, 0], [1, 1 - backY, 0], edge), segment([1 - backX, 0, 0], [1 - backX, 1, 0], edge), segment([backX, 1 - backY, 0], [backX, 1 - backY, 1], edge));
  const label = (spot, text, style = {}) => labels.push({ value: at(...spot).slice(0, 2), label: { formatter: () => text, ...style } });
  const outX = backY ? -0.08 : 1.08, outY = backX ? -0.08 : 1.08;
  const name = { fontWeight: 600, color: theme.ink, fontSize: 11, width: box.clientWidth < 450 ? 84 : 120, overflow: "truncate" };
  for (const [t, text] of thinned(x)) label([t, outX, 0], text);
  for (const [t, text] of thinned(y)) label([outY, t, 0], text);
  // Past the longest of an axis' labels.
  const past = (axis) => (axis.ticks.some(([, text]) => text.length > 6) ? 0.42 : 0.24);
  for (const [t, text] of data.loss.ticks) label([backX ? 1.05 : -0.05, backY ? -0.06 : 1.06, t], text);
  label([0.5, backY ? -past(x) : 1 + past(x), 0], x.name, name);
  label([backX ? -past(y) : 1 + past(y), 0.5, 0], y.name, name);
  label([backX ? 1.05 : -0.05, backY ? -0.06 : 1.06, 1.12], "loss", name);
  const dots = [];
  let best = null;
  for (const i of chosen) {
    const [a, b] = [spread(x, i, 0.3), spread(y, i, 0.3, 0.5)];
    if (a === null || b === null) continue;
    const [u, v, deep] = at(inside(a), inside(b), lossAt(i));
    const dot = { value: [u, v], i, deep, itemStyle: { color: colour(lossAt(i)) }, symbolSize: 8.5 - 3 * deep };
    if (i === data.best) best = dot;
    dots.push(dot);
  }
  dots.sort((one, other) => other.deep - one.deep);
  // Both axes of the screen have one scale, whatever the box' shape.
  const width = box.clientWidth || 400, height = box.clientHeight || 330, half = width < 450 ? 0.86 : 0.8;
  const wide = half * Math.max(1, width / height), high = half * Math.max(1, height / width);
  const screen = (span) => ({ type: "value", min: -span, max: span, show: false });
  return base({
    grid: { left: 0, right: 0, top: 0, bottom: 0 }, xAxis: screen(wide), yAxis: screen(high),
    series: [
      { type: "custom", silent: true, data: lines.map(({ coords }) => coords.flat()), renderItem: (params, api) => {
        const { lineStyle } = lines[params.dataIndex];
        const [[x1, y1], [x2, y2]] = [0, 2].map((k) => api.coord([api.value(k), api.value(k + 1)]));
        return { type: "line", shape: { x1, y1, x2, y2 }, style: { stroke: lineStyle.color, lineWidth: lineStyle.width } };
      } },
      { type: "scatter", silent: true, symbolSize: 0.1, data: labels, label: { show: true, color: theme.muted, fontSize: 10, width: 70, overflow: "truncate", position: "inside" }, itemStyle: { color: "transparent" } },
      { type: "scatter", data: dots, itemStyle: { borderColor: theme.card, borderWidth: 0.6 } },
      star(best && { value: best.value, i: best.i }),
    ],
  });
}
const thinned = (axis) => (axis.ticks.length > 6 ? axis.ticks.filter((_, k) => k % 2 === 0) : axis.ticks);
