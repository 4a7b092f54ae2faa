// Messages: errors stay until they are closed, other words go by themselves.

import { announce, button, h } from "./dom.js";

const place = () => document.getElementById("notices");

/** Shows an error in its three lines: what, expected, fix. */
export function fault(error) {
  if (error.name === "AbortError") return;
  const same = [...place().children].find((notice) => notice.dataset.text === error.message);
  same?.remove();
  const notice = h(
    "div",
    { class: "notice bad", role: "alert", "data-text": error.message },
    h(
      "div",
      {},
      h("strong", {}, error.message),
      error.expected && h("p", {}, `Expected: ${error.expected}`),
      error.fix && h("p", {}, `Fix: ${error.fix}`),
    ),
    button("Close", () => notice.remove(), { class: "plain" }),
  );
  place().append(notice);
}

/** Shows a short word, and says it to screen readers. */
export function tell(text) {
  announce(text);
  const notice = h("div", { class: "notice" }, text);
  for (const old of place().querySelectorAll(".notice:not(.bad)")) old.remove();
  place().append(notice);
  setTimeout(() => notice.remove(), 4000);
}

/** Runs what a button does; an error of it is shown. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    fault(error);
    return undefined;
  }
}

/** Asks before something is lost. */
export async function confirmed(title, text, action) {
  const dialog = document.getElementById("confirm");
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector("p").textContent = text;
  dialog.querySelector("[value=yes]").textContent = action;
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  return dialog.returnValue === "yes";
}
