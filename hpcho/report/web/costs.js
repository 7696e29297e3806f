// What trials cost: loss against duration, learning curves, and time lost by cause.

function durations() {
  const { title, across, up, trial, xs, ys, front, line } = data.tradeoff;
  const what = up === "loss" && across === "duration_s" ? "loss and time" : line ? `${up} and ${across}` : "all that is minimised";
  const figure = view("parameters", title, `${line ? "Line" : "Orange"}: the Pareto front, trials that no other beats in ${what} at once.`);
  if (!trial.length) {
    const both = `No trial has both ${up} and ${across === "duration_s" ? "a duration" : across}.`;
    return nothing(figure, what === "loss and time" ? "No trial tells how long it took." : both);
  }
  const left = usable.length - trial.length;
  if (left > 0 && across === "duration_s") figure.noteLine.append(` Left out: ${counted(left, "trial")} without times.`);
  const at = new Map(trial.map((i, k) => [i, k]));
  const scale = (values, isTime) => {
    const sorted = [...values].sort((a, b) => a - b);
    const [low, high] = [sorted[0], sorted[sorted.length - 1]];
    const [unit, size] = isTime ? unitOf(high) : ["", 1];
    const isLog = low > 0 && high / low > 50;
    return { unit, size, isLog, low: isLog ? low / size / 1.1 : isTime ? 0 : undefined };
  };
  const [x, y] = [scale(xs, across === "duration_s"), scale(ys, false)];
  const rejected = trial.filter((i) => trials.infeasible[i]);
  if (rejected.length) figure.noteLine.append(" Grey: trials that are not feasible.");
  plot(figure, `${title}, with the Pareto front`, 350, () => {
    const dot = (i) => ({ value: [xs[at.get(i)] / x.size, up === "loss" ? clamped(ys[at.get(i)]) : ys[at.get(i)]], i });
    const axis = axisBase(across === "duration_s" ? `duration of the last attempt [${x.unit}]` : across);
    const upwards = axisBase("");
    const dots = (of, color) => ({ type: "scatter", data: sample(of, 3000).map(dot), symbolSize: 6, itemStyle: { color, opacity: 0.45 } });
    return base({
      grid: { left: 58, right: 14, top: 26, bottom: 42 }, toolbox: zoomTools(),
      xAxis: { ...axis, type: x.isLog ? "log" : "value", min: x.low, scale: true, splitLine: { show: false }, axisLabel: { ...axis.axisLabel, formatter: num, showMinLabel: !x.isLog } },
      yAxis: up === "loss" ? lossAxis() : { ...upwards, type: y.isLog ? "log" : "value", min: y.low, scale: true, axisLabel: { ...upwards.axisLabel, formatter: num, showMinLabel: !y.isLog } },
      series: [
        dots(rejected, theme.muted), dots(trial.filter((i) => !trials.infeasible[i]), theme.main),
        { type: "line", step: "end", data: front.map(dot), symbol: "circle", symbolSize: 8, lineStyle: { color: theme.best, width: line ? 1.8 : 0 },
          itemStyle: { color: "#e69f00", borderColor: theme.ink, borderWidth: 0.6 }, z: 6 },
        star(data.best === null || !at.has(data.best) ? null : dot(data.best)),
      ],
    });
  }, opens);
}

function curves() {
  const figure = view("runs", "Learning curves", "Losses that trials have reported on their way, coloured by where they ended; the best trial in orange." + (pruned.size ? " Dotted: pruned." : ""));
  const told = data.curves.filter((curve) => curve.points.length);
  if (!told.length) return nothing(figure, "No trial has reported a loss on its way.");
  if (told.length >= 400) figure.noteLine.append(" A sample of the trials.");
  const losses = told.flatMap((curve) => curve.points.map(([, loss]) => loss)).sort((a, b) => a - b);
  const at = (share) => losses[Math.floor(share * (losses.length - 1))];
  const isLog = losses[0] > 0 && at(0.95) / losses[0] > 50;
  const span = at(0.98) - losses[0] || Math.abs(losses[0]) || 1;
  plot(figure, "Reported losses by step", 290, () => {
    const y = axisBase("");
    const lines = told.map(({ trial: i, points }) => {
      const isBest = i === data.best;
      const style = isBest ? { color: "#e69f00", width: 3, opacity: 1 } : { color: trials.loss[i] === null ? theme.muted : colour(lossAt(i)), width: 1, opacity: 0.55, type: pruned.has(i) ? "dotted" : "solid" };
      return { type: "line", data: points.map((point) => ({ value: point, i })), showSymbol: points.length === 1 || undefined, symbol: points.length > 1 ? "none" : "circle", symbolSize: 5,
        lineStyle: style, itemStyle: { color: style.color }, z: isBest ? 6 : 2, triggerLineEvent: true, emphasis: { lineStyle: { width: 3, opacity: 1 } } };
    });
    return base({
      grid: { left: 58, right: 14, top: 26, bottom: 42 }, toolbox: zoomTools(),
      xAxis: { ...axisBase("step"), type: "value", minInterval: 1, min: "dataMin", max: "dataMax", splitLine: { show: false } },
      yAxis: { ...y, type: isLog ? "log" : "value", min: isLog ? losses[0] / 1.1 : losses[0] - 0.05 * span, max: isLog ? at(0.99) * 1.1 : at(0.98) + 0.05 * span,
        axisLabel: { ...y.axisLabel, formatter: num, showMinLabel: false, showMaxLabel: false } },
      tooltip: { ...base().tooltip, formatter: (item) => tip({ i: told[item.seriesIndex].trial }) },
      series: lines,
    });
  }, (chart) => chart.on("click", (item) => openTrial(told[item.seriesIndex].trial)));
}

// How good the search is as a whole: the share of trials that reach a loss.
function distribution() {
  const figure = view("runs", "Distribution of the losses", "The share of the successful trials that reach a loss or a better one.");
  if (!usable.length) return nothing(figure, "No trial has succeeded yet.");
  const every = Math.ceil(byLoss.length / 1500);
  plot(figure, "The share of trials that reach a loss", 290, () => {
    const y = axisBase("");
    const points = byLoss.map((i, k) => ({ value: [clamped(trials.loss[i]), (k + 1) / byLoss.length], i })).filter((_, k) => k % every === 0 || k === byLoss.length - 1);
    return base({
      grid: { left: 58, right: 14, top: 26, bottom: 42 },
      xAxis: { ...lossAxis(), name: "loss", splitLine: { show: false } },
      yAxis: { ...y, type: "value", min: 0, max: 1, axisLabel: { ...y.axisLabel, formatter: pct } },
      series: [{ type: "line", step: "end", data: points, symbol: "circle", symbolSize: 4, showSymbol: points.length < 60, itemStyle: { color: theme.main },
        lineStyle: { color: theme.main, width: 2 }, areaStyle: { color: theme.main, opacity: 0.12 } }],
    });
  }, opens);
}

function waste() {
  const costs = data.gpus ? "GPU" : "Worker";
  const figure = view("runs", `${costs}-hours lost, by cause`, "Time of attempts that came to nothing. Where an attempt's work was saved, its time is not lost.", { broad: true });
  const lost = data.causes.filter(([, wasted]) => wasted > 0).sort((a, b) => a[1] - b[1]);
  if (!lost.length) return nothing(figure, "Nothing was lost.");
  const most = lost.reduce((before, [, s]) => Math.max(before, s), 0) * (data.gpus || 1);
  const [unit, unitS] = most > 360 ? ["h", 3600] : unitOf(most);
  const name = unit === "h" ? `${costs}-hours` : `${costs} time [${unit}]`;
  const spentOn = (s) => (s / unitS) * (data.gpus || 1);
  const spent = data.timeline.end.reduce((sum, end, k) => sum + end - data.timeline.start[k], 0);
  plot(figure, `${name} lost: ${lost.map(([cause, s]) => `${cause} ${num(spentOn(s))}`).join(", ")}`, Math.max(120, 60 + 46 * lost.length), () => base({
    grid: { left: 8, right: 110, top: 6, bottom: 40, containLabel: true },
    xAxis: { ...axisBase(name), type: "value", axisLabel: { ...axisBase("").axisLabel, formatter: num } },
    yAxis: { ...axisBase(""), type: "category", data: lost.map(([cause]) => cause), splitLine: { show: false }, axisLabel: { color: theme.ink } },
    tooltip: { show: false },
    series: [{ type: "bar", barMaxWidth: 26, data: lost.map(([cause, s]) => ({ value: spentOn(s), itemStyle: { color: OUTCOMES[cause] } })),
      label: { show: true, position: "right", color: theme.muted, fontSize: 11,
        formatter: (item) => `${num(item.value)} (${pct(spent ? lost[item.dataIndex][1] / spent : 0)}, ${lost[item.dataIndex][2]}×)` } }],
  }));
}
