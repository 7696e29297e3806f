// A page that is written while a run goes on opens itself again, but never under a reader's hands.

const QUIET_MS = 3000;
let touched = -Infinity;
for (const kind of ["input", "keydown", "pointerdown", "pointermove", "wheel"]) {
  window.addEventListener(kind, () => { touched = performance.now(); }, { passive: true });
}
const isInUse = () => dialog.open || !getSelection().isCollapsed || performance.now() - touched < QUIET_MS;

function follow(every_ms) {
  const button = document.getElementById("pause");
  button.hidden = false;
  const tell = () => {
    button.textContent = state.paused ? "Resume" : "Pause";
    button.title = state.paused ? "Open the page again as trials end" : "The page opens itself again as trials end: keep it as it is";
  };
  const reload = () => {
    const field = document.activeElement;
    const caret = field.id === "filter" ? [field.selectionStart, field.selectionEnd] : null;
    keep({ scroll: scrollY, caret });
    location.reload();
  };
  button.addEventListener("click", () => {
    keep({ paused: !state.paused });
    tell();
    if (!state.paused) reload();
  });
  tell();
  const due = performance.now() + every_ms;
  setInterval(() => {
    if (!state.paused && !document.hidden && performance.now() >= due && !isInUse()) reload();
  }, 250);
}
