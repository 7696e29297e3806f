// The page as a whole: its colours, its parts in order, printing, and opening itself again while a run goes on.

const SHEET = 700;
const root = document.documentElement;
const isDark = matchMedia("(prefers-color-scheme: dark)");
function dress(printing = false) {
  theme.isPrinted = printing;
  root.dataset.theme = printing ? "light" : state.theme || (isDark.matches ? "dark" : "light");
  const button = document.getElementById("theme");
  button.textContent = root.dataset.theme === "dark" ? "Light" : "Dark";
  readTheme();
  for (const one of all) one.again();
}
document.getElementById("theme").addEventListener("click", () => {
  keep({ theme: root.dataset.theme === "dark" ? "light" : "dark" });
  dress();
});
isDark.addEventListener("change", () => dress());
for (const button of document.querySelectorAll("#best .copy")) button.addEventListener("click", () => copy(button.dataset.copy, button));

dress();
history();
table();
// Without a success there is nothing to compare, and one plot has said so.
document.getElementById("parameters").parentElement.hidden = !usable.length;
if (usable.length) {
  importance();
  contour();
  turning();
  durations();
  slices();
  lanes();
}
curves();
distribution();
waste();
workers();

// On paper there is all of it, and on white.
window.addEventListener("beforeprint", () => {
  dress(true);
  for (const one of all) {
    if (!one.chart) one.draw();
    // As wide as a sheet, so that what is written in it is not made small with it.
    if (one.box.clientWidth > SHEET) one.chart.resize({ width: SHEET });
    one.chart.getZr().flush();
  }
});
window.addEventListener("afterprint", () => {
  for (const one of all) if (one.chart) one.chart.resize({ width: "auto" });
  dress();
});

window.addEventListener("scroll", () => { state.scroll = scrollY; }, { passive: true });
window.addEventListener("pagehide", () => keep({ scroll: scrollY }));
window.history.scrollRestoration = "manual";
if (state.scroll) scrollTo(0, state.scroll);
const opened = state.open === undefined || state.open === null ? -1 : trials.tid.indexOf(state.open);
if (opened >= 0) openTrial(opened);
const filter = document.getElementById("filter");
if (state.caret && filter) {
  filter.focus({ preventScroll: true });
  filter.setSelectionRange(...state.caret);
}
keep({ caret: null });

const again = Number(root.dataset.reload);
if (again) follow(again * 1000);
root.dataset.ready = Math.round(performance.now());
