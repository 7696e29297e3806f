// One trial, whole: facts, params, learning curve, error, logs, attachments.

const dialog = document.getElementById("trial");

function openTrial(i) {
  if (dialog.open) dialog.close();
  dialog.replaceChildren(...trialParts(i));
  dialog.showModal();
  dialog.scrollTop = 0;
  keep({ open: trials.tid[i] });
}
dialog.addEventListener("close", () => keep({ open: null }));
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

function trialParts(i) {
  const parts = [el("div", { class: "head" }, el("h2", { id: "trial-name" }, `Trial ${trials.tid[i]}`), el("button", { type: "button", onclick: () => dialog.close() }, "Close"))];
  const facts = [["state", trials.state[i]], ["loss", trials.loss[i] === null ? null : String(trials.loss[i])], ["took", seconds(trials.seconds[i])],
    ...data.numbers.map(({ name, values }) => [name, values[i] === null ? null : String(values[i])]),
    ["attempts", String(trials.attempts[i])], ["last cause", trials.cause[i]], ["interrupted", trials.interrupted[i]], ["worker", trials.owner[i]],
    ["started", trials.started[i]], ["finished", trials.finished[i]]];
  parts.push(list(facts.filter(([, value]) => value)));
  const other = (words, k) => el("p", {}, words, el("button", { type: "button", onclick: () => openTrial(Number(k)) }, `Trial ${trials.tid[k]}`));
  if (data.parents[i] !== undefined) parts.push(other("Promoted: it goes on from ", data.parents[i]));
  for (const [child, parent] of Object.entries(data.parents)) if (parent === i) parts.push(other("Promoted: it goes on as ", child));
  const found = params.map((column) => [column.name, valueOf(column, i)]);
  const button = el("button", { type: "button", class: "copy" }, "Copy params");
  button.addEventListener("click", () => copy(i === data.best ? document.querySelector("#best .copy").dataset.copy
    : `{${params.filter((c) => c.values[i] !== null).map((c) => `${JSON.stringify(c.name)}: ${asJson(c, i)}`).join(", ")}}`, button));
  parts.push(el("div", { class: "head" }, el("h3", {}, "Params"), button), list(found.map(([name, value]) => [name, value === null ? "inactive" : String(value)])));
  const error = trials.error[i];
  if (error !== null) parts.push(el("h3", {}, trials.state[i] === "error" ? "Error" : "Error of an earlier attempt"), el("pre", { class: "bad", tabindex: "0" }, trials.errors[error]));
  for (const [name, text] of data.logs[i] || []) parts.push(el("h3", {}, `End of ${name}`), el("pre", { tabindex: "0" }, text));
  const files = data.files[i];
  if (files) {
    parts.push(el("h3", {}, "Attachments"));
    parts.push(el("ul", {}, ...files.map(([name, url]) => el("li", {}, url ? el("a", { href: url }, name) : name))));
  }
  if (!data.logs[i]) parts.push(el("p", { class: "note" }, `Its folder is trials/${trials.tid[i]}/ in the job directory, with its logs if it has any.`));
  return parts;
}

const list = (pairs) => el("dl", { class: "facts" }, ...pairs.map(([name, value]) => el("div", {}, el("dt", {}, el("bdi", {}, name)), el("dd", {}, el("bdi", {}, value)))));

// A param as JSON writes it, whole numbers of any size with all their digits: what is shown bare is a string.
function asJson(column, i) {
  const value = valueOf(column, i);
  if (!column.texts) return JSON.stringify(value);
  try {
    JSON.parse(value);
    return value;
  } catch {
    return JSON.stringify(value);
  }
}
