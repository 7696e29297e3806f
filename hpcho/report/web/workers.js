// Who ran what and when: a row a worker; blank is idle, a colour is how the attempt ended.

const ROW = 20, TALL = 24;

function workers() {
  const line = data.timeline;
  const figure = view("runs", "Workers", "", { broad: true });
  if (!line.trial.length) return nothing(figure, line.untimed ? "No trial tells when it ran." : "No worker has begun a trial yet.");
  const span = line.end.reduce((most, end) => Math.max(most, end), 0);
  // A worker is there from its first attempt's start to its last one's end.
  const from = line.workers.map(() => Infinity), to = line.workers.map(() => 0), busy = line.workers.map(() => 0);
  let lost = 0;
  line.trial.forEach((_, k) => {
    const w = line.worker[k];
    from[w] = Math.min(from[w], line.start[k]);
    to[w] = Math.max(to[w], line.end[k]);
    busy[w] += line.end[k] - line.start[k];
    if (!["ok", "pruned", "rejected", "running"].includes(line.outcome[k]) && !line.saved[k]) lost += line.end[k] - line.start[k];
  });
  const worked = busy.reduce((sum, b) => sum + b, 0);
  // Clocks that were set back make attempts overlap.
  const there = Math.max(to.reduce((sum, end, w) => sum + end - from[w], 0), worked) || 1;
  figure.noteLine.append(`${counted(line.workers.length, "worker")}: ${pct(Math.max(worked - lost, 0) / there)} of their time useful, ` +
    `${pct(lost / there)} lost, ${pct(Math.max(1 - worked / there, 0))} idle (the band between attempts).`);
  if (line.untimed) figure.noteLine.append(` Left out: ${counted(line.untimed, "trial")} without times.`);
  const order = line.workers.map((_, w) => w).sort((a, b) => from[a] - from[b]);
  const row = [];
  order.forEach((w, k) => { row[w] = k; });
  const [unit, unitS] = unitOf(span);
  const kinds = Object.keys(OUTCOMES).filter((kind) => line.outcome.includes(kind));
  const isTall = order.length > TALL;
  const bar = (params, api, fill, high) => {
    const [a, b] = [api.coord([api.value(0), api.value(2)]), api.coord([api.value(1), api.value(2)])];
    const shape = echarts.graphic.clipRectByRect({ x: a[0], y: a[1] - high / 2, width: Math.max(b[0] - a[0] - (b[0] - a[0] > 4 ? 1 : 0), 1), height: high }, params.coordSys);
    return shape && { type: "rect", shape, style: { fill } };
  };
  plot(figure, `What ${order.length} workers ran over time`, 92 + ROW * Math.min(order.length, TALL), () => base({
    grid: { left: 8, right: isTall ? 34 : 14, top: 34, bottom: 40, containLabel: true },
    legend: { top: 0, left: 0, type: "scroll", textStyle: { color: theme.muted }, itemWidth: 12, itemHeight: 12, icon: "rect", data: kinds, pageTextStyle: { color: theme.muted } },
    dataZoom: [{ type: "inside", xAxisIndex: 0, filterMode: "weakFilter", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false },
      ...(isTall ? [{ type: "slider", yAxisIndex: 0, startValue: 0, endValue: TALL - 1, width: 14, right: 6, showDetail: false, brushSelect: false }] : [])],
    xAxis: { ...axisBase(`time since the first trial began [${unit}]`), type: "value", min: 0, max: span / unitS || 1,
      axisLabel: { ...axisBase("").axisLabel, formatter: num, showMaxLabel: false } },
    yAxis: { ...axisBase(""), type: "category", inverse: true, data: order.map((w) => line.workers[w]), splitLine: { show: false },
      axisLabel: { color: theme.muted, fontSize: 11, width: 130, overflow: "truncate", interval: 0 } },
    series: [
      { type: "custom", silent: true, clip: true, encode: { x: [0, 1], y: 2 }, data: order.map((w, k) => [from[w] / unitS, to[w] / unitS, k]),
        renderItem: (params, api) => bar(params, api, theme.idle, 8) },
      ...kinds.map((kind) => ({ name: kind, type: "custom", clip: true, progressive: 0, itemStyle: { color: OUTCOMES[kind] }, encode: { x: [0, 1], y: 2 },
        data: line.trial.map((i, k) => ({ value: [line.start[k] / unitS, line.end[k] / unitS, row[line.worker[k]]], i, k })).filter((one) => line.outcome[one.k] === kind),
        renderItem: (params, api) => bar(params, api, OUTCOMES[kind], 14) })),
    ],
  }), opens);
}
