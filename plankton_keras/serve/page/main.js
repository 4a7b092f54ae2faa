// Starts the page: which view is open follows from the address.

import { patiently } from "./api.js";
import { h } from "./dom.js";
import { JobList } from "./jobs.js";
import { fault } from "./notices.js";
import { ScanView } from "./scan_view.js";

const main = document.getElementById("main");
const [listPlace, scanPlace] = [h("div"), h("div", { class: "place" })];
const help = document.getElementById("help");
let view = null;
let turn = 0;

function title(text) {
  document.getElementById("title").textContent = text;
  document.title = `${text} – plankton`;
}

async function route() {
  const mine = ++turn;
  view?.close();
  view = null;
  scanPlace.replaceChildren();
  const id = location.hash.match(/^#\/scan\/([^/]+)$/)?.[1];
  document.body.classList.toggle("full", Boolean(id));
  listPlace.hidden = Boolean(id);
  scanPlace.hidden = !id;
  if (!id) return title("Scans");
  title("…");
  try {
    const opened = await ScanView.open(scanPlace, decodeURIComponent(id), title);
    // Another view was asked for while this one was opened.
    if (mine === turn) view = opened;
    else opened.close();
  } catch (error) {
    fault(error);
    location.hash = "#/";
  }
  return undefined;
}

function about(service) {
  const parts = [`Model ${service.model}`, service.version !== undefined && `version ${service.version}`, service.model_sha256 && `SHA-256 ${service.model_sha256.slice(0, 12)}`];
  document.getElementById("about").textContent = `${parts.filter(Boolean).join(", ")}. ${service.classifier ? "A classifier names the objects." : "The classes are those of the segmentation."}`;
}

async function start() {
  const service = await patiently("v1/service", fault);
  document.getElementById("notices").replaceChildren();
  about(service);
  main.replaceChildren(listPlace, scanPlace);
  new JobList(listPlace, service);
  addEventListener("hashchange", () => route().then(() => main.focus({ preventScroll: true })));
  await route();
}

const single = document.getElementById("single-keys");
single.checked = localStorage.getItem("single keys") !== "off";
single.addEventListener("change", () => localStorage.setItem("single keys", single.checked ? "on" : "off"));
document.getElementById("help-button").addEventListener("click", () => help.showModal());
document.addEventListener("keydown", (event) => {
  if (event.key === "?" && single.checked && !event.target.closest("input, textarea, dialog")) help.showModal();
});
// A hash of the skip link is no address.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
start().catch(fault);
