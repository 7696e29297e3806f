// Parallel coordinates: a line a trial, through the band at the foot where a parameter is inactive.

const LANES = 12, LINES = 1200, FOOT = -0.13;

function lanes() {
  const figure = view("parameters", "Parallel coordinates",
    "A line is a trial, its colour the loss. Drag along an axis to keep the lines that cross it there; click the axis to let go.", { broad: true });
  if (!data.axes.length) return nothing(figure, "No parameter varies.");
  const axes = [...data.axes.slice(0, LANES), data.loss];
  if (data.axes.length > LANES) figure.noteLine.append(` The ${LANES} most important of ${data.axes.length} parameters are shown.`);
  // The best are drawn last, above the others.
  const chosen = [...sample(byLoss, LINES)].reverse();
  const isPartly = axes.some((axis) => axis !== data.loss && chosen.some((i) => spread(axis, i) === null));
  const scroll = el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Parallel coordinates" });
  figure.append(el("div", { class: "bar" }, shades()), scroll);
  const drawn = plot(scroll, "Parallel coordinates of the parameters, coloured by loss", 350, () => base({
    tooltip: { show: false },
    parallel: { left: 46, right: 60, top: 40, bottom: isPartly ? 14 : 12,
      parallelAxisDefault: { areaSelectStyle: { width: 16, borderColor: theme.main, color: theme.main, opacity: 0.25 } } },
    parallelAxis: axes.map((axis, dim) => {
      const texts = new Map(axis.ticks.map(([at, text]) => [at, text]));
      const marks = axis.ticks.map(([at]) => at);
      if (isPartly && axis !== data.loss) {
        marks.unshift(FOOT);
        texts.set(FOOT, dim === 0 ? "inactive" : "");
      }
      return { dim, name: axis.name, type: "value", min: isPartly ? -0.2 : 0, max: 1, nameLocation: "end", nameGap: 14,
        nameTextStyle: { color: theme.ink, fontWeight: 600, fontSize: 11, width: 96, overflow: "truncate" },
        axisLine: { lineStyle: { color: theme.muted } }, axisTick: { show: false }, minorTick: { show: false },
        axisLabel: { customValues: marks, formatter: (at) => texts.get(at) ?? "", color: theme.ink, fontSize: 10, width: 70, overflow: "truncate",
          textBorderColor: theme.card, textBorderWidth: 3 } };
    }),
    series: [{ type: "parallel", smooth: false, progressive: 0, inactiveOpacity: 0.03, activeOpacity: 0.9, lineStyle: { width: 1, opacity: 0.4 },
      data: chosen.map((i) => ({ i, lineStyle: i === data.best ? { color: "#e69f00", width: 3, opacity: 1 } : { color: colour(lossAt(i)) },
        value: axes.map((axis) => (axis === data.loss ? lossAt(i) : crossing(axis, i))) })) }],
  }), opens);
  drawn.box.style.minWidth = `${axes.length * 84}px`;
}
function crossing(axis, i) {
  const at = spread(axis, i, 0.4);
  return at === null ? FOOT + 0.06 * jitter(i) : inside(at);
}
