// Every trial's loss and the best so far, over trials, time or what was spent.

function history() {
  const { steps } = data;
  const costs = data.gpus ? "GPU-hours" : "worker-hours";
  const host = document.getElementById("history");
  const figure = el("figure", { class: "view" });
  host.append(figure);
  const failed = steps.trial.filter((i) => trials.loss[i] === null).length;
  const off = usable.filter(beyond).length;
  figure.append(el("h2", {}, "Loss history"));
  if (!steps.trial.some((i) => trials.loss[i] !== null)) return nothing(figure, "No trial has succeeded yet.");
  const notes = ["line: the best so far"];
  if (failed) notes.push(`× ${counted(failed, "trial")} ended without a loss`);
  if (pruned.size) notes.push("○ pruned, and no part of the best so far");
  if (steps.trial.some((i) => trials.loss[i] !== null && trials.infeasible[i])) notes.push("grey: not feasible, and no part of the best so far");
  if (off) notes.push(`△ ${counted(off, "loss lies", "losses lie")} beyond the axis`);
  const untimed = steps.seconds.filter((s) => s === null).length;
  // Where no loss has a time there is nothing to show over it.
  const options = [["trials", "over trials"], ["time", "over time"], ["work", `over ${costs}`]];
  if (!steps.trial.some((i, k) => trials.loss[i] !== null && steps.seconds[k] !== null)) options.splice(1);
  if (untimed) notes.push(options.length > 1 ? `${counted(untimed, "trial")} without times, left out over time and ${costs}` : "trials without times");
  let over = options.some(([value]) => value === state.over) ? state.over : "trials";
  const [unit, unitS] = unitOf(steps.seconds[steps.seconds.length - 1] || 0);
  const scale = data.gpus || 1;
  const per = (s, size) => (s === null ? null : s / size);
  const xs = { trials: (k) => k + 1, time: (k) => per(steps.seconds[k], unitS), work: (k) => per(steps.work[k], 3600 / scale) };
  const names = { trials: "trials that have ended", time: `time since the first trial began [${unit}]`, work: `${costs} spent` };
  const axes = el("div", { class: "bars" }, choice("Over what", options, over, (value) => {
    over = value;
    keep({ over });
    drawn.again();
  }));
  if (data.loss.low > 0) {
    axes.append(choice("Axis of the loss", [[false, "linear loss"], [true, "log loss"]], isLossLog(), (value) => {
      keep({ isLossLog: value });
      for (const one of all) one.again();
    }));
  }
  figure.append(axes, el("p", { class: "note" }, notes.join(" · ")));
  const drawn = plot(figure, "Loss of every trial and the best so far", 300, () => {
    const x = xs[over], dots = [], crosses = [], line = [], at = steps.trial.indexOf(data.best);
    let best = Infinity;
    const top = isLossLog() ? data.loss.high * 1.12 : data.loss.high + (data.loss.high - data.loss.low || 1) * 0.045;
    steps.trial.forEach((i, k) => {
      const loss = trials.loss[i];
      if (x(k) === null) return;
      if (loss === null) return crosses.push({ value: [x(k), top], i });
      dots.push({ value: [x(k), clamped(loss)], i, symbol: beyond(i) ? "triangle" : pruned.has(i) ? "emptyCircle" : "circle", symbolRotate: loss < data.loss.low ? 180 : 0, ...(trials.infeasible[i] && { itemStyle: { color: theme.muted } }) });
      if (loss < best && !pruned.has(i) && !trials.infeasible[i]) {
        best = loss;
        line.push([x(k), clamped(loss)]);
      }
    });
    if (line.length) line.push([x(steps.trial.length - 1), line[line.length - 1][1]]);
    const xAxis = axisBase(names[over]);
    return base({
      grid: { left: 58, right: 14, top: 32, bottom: 42 }, toolbox: zoomTools(),
      xAxis: { ...xAxis, type: "value", min: over === "trials" ? 1 : 0, max: Math.max(x(steps.trial.length - 1), over === "trials" ? 2 : 1e-9), splitLine: { show: false },
        axisLabel: { ...xAxis.axisLabel, formatter: num, showMaxLabel: false } },
      yAxis: lossAxis(),
      series: [
        { type: "scatter", data: dots, symbolSize: count > 3000 ? 4 : 6, itemStyle: { color: theme.main, opacity: count > 3000 ? 0.3 : 0.5 } },
        { type: "scatter", data: crosses, symbol: "path://M-5,-4 -4,-5 0,-1 4,-5 5,-4 1,0 5,4 4,5 0,1 -4,5 -5,4 -1,0Z", symbolSize: 7,
          itemStyle: { color: theme.bad } },
        { type: "line", step: "end", data: line, showSymbol: false, silent: true, lineStyle: { color: theme.best, width: 2 }, z: 8 },
        star(at < 0 || x(at) === null ? null : { value: [x(at), clamped(trials.loss[data.best])], i: data.best }),
      ],
    });
  }, opens);
}
