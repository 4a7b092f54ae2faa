// One scan: viewer or gallery, with the panel beside it and the keys for both.

import { json, jobPath } from "./api.js";
import { announce, button, h, many } from "./dom.js";
import { CountPanel, FilePanel, SpectrumPanel, summaries } from "./counts.js";
import { Gallery } from "./gallery.js";
import { FINAL } from "./jobs.js";
import { bindKeys } from "./keys.js";
import { confirmed, tell } from "./notices.js";
import { ObjectPanel } from "./panel.js";
import { OpenScan } from "./scan.js";
import { Viewer } from "./viewer.js";

const MANY = 20;

export class ScanView {
  /** Opens the scan of an id in an element; `title` names it in the head of the page. */
  static async open(element, id, title) {
    return new ScanView(element, new OpenScan(id, await json("GET", jobPath(id))), title);
  }

  constructor(element, scan, title) {
    this.scan = scan;
    title(scan.job.scan);
    this.viewer = new Viewer(scan);
    this.gallery = new Gallery(scan);
    this.objects = new ObjectPanel(scan, { split: () => this.split(), remove: () => this.remove() });
    const [counts, sizes, files] = [new CountPanel(scan), new SpectrumPanel(), new FilePanel(scan)];
    summaries(scan, counts, sizes);
    this.stage = h("div", { class: "stage" });
    this.progress = h("div", { class: "progress", hidden: true });
    const tabs = new Tabs([["Object", this.objects.element], ["Classes", counts.element], ["Sizes", sizes.element], ["Files", files.element]]);
    this.tabs = tabs;
    this.cutting = h("p", { class: "cuthelp", hidden: true }, "Draw a line over the object, or move it with ← →, turn it with ↑ ↓, and cut with Enter. Esc ends.");
    this.element = h("div", { class: "scanview" }, this.toolbar(), this.progress, h("div", { class: "split" }, h("div", { class: "left" }, this.stage, this.cutting), h("aside", { class: "side", "aria-label": "Details" }, tabs.element)));
    element.append(this.element);
    scan.addEventListener("job", () => this.showJob());
    scan.addEventListener("selection", () => scan.selected.size && tabs.choose(0, false));
    scan.addEventListener("shown", () => this.showTools());
    scan.addEventListener("objects", () => this.showTools());
    this.unbind = bindKeys(this);
    this.mode("viewer");
    this.showJob();
  }

  close() {
    this.unbind();
    this.element.remove();
    this.scan.close();
    this.viewer.close();
    this.gallery.close();
  }

  toolbar() {
    const { scan } = this;
    this.modes = ["viewer", "gallery"].map((mode) => button(mode === "viewer" ? "Viewer" : "Gallery", () => this.mode(mode), { "data-mode": mode, title: mode === "viewer" ? "Viewer (V)" : "Gallery (G)" }));
    this.outlines = button("Outlines", () => scan.toggleOutlines(), { title: "Outlines on and off (O)" });
    this.several = button("Several", () => this.toggleSeveral(), { title: "Select several: a click adds to the selection" });
    const arrow = (sign, word) => [h("span", { "aria-hidden": "true" }, sign), h("span", { class: "word" }, word)];
    this.undo = button(arrow("↶", "Undo"), () => scan.undo(), { title: "Undo (Ctrl+Z)", "aria-label": "Undo" });
    this.redo = button(arrow("↷", "Redo"), () => scan.redo(), { title: "Redo (Ctrl+Y)", "aria-label": "Redo" });
    return h("div", { class: "bar", role: "group", "aria-label": "Tools" },
      h("div", { class: "segments" }, this.modes), this.outlines, this.several, h("span", { class: "grow" }), this.undo, this.redo);
  }

  mode(mode) {
    this.now = mode;
    for (const each of this.modes) each.setAttribute("aria-pressed", String(each.dataset.mode === mode));
    this.cancelSplit();
    this.stage.replaceChildren(this[mode].element);
    const object = this.scan.objects.get(this.scan.last());
    this.outlines.hidden = mode === "gallery";
    if (mode === "gallery") this.gallery.show();
    if (object) this[mode].lookAt(object);
    this.showTools();
  }

  toggleSeveral() {
    this.scan.several = !this.scan.several;
    announce(this.scan.several ? "A click adds to the selection." : "A click selects one object.");
    this.showTools();
  }

  showTools() {
    this.outlines.setAttribute("aria-pressed", String(this.scan.outlines));
    this.several.setAttribute("aria-pressed", String(this.scan.several));
    for (const each of [this.undo, this.redo]) each.disabled = !this.scan.revision;
  }

  showJob() {
    const { state, progress, error } = this.scan.job;
    this.progress.hidden = state === "done";
    if (state === "done") return;
    const words = { waiting: "Waiting for its turn.", predicting: "Finding objects.", measuring: "Measuring objects.", failed: error?.error, cancelled: "Cancelled." };
    this.progress.replaceChildren(
      h("span", {}, words[state] ?? state),
      error && h("span", { class: "soft" }, `Expected: ${error.expected} Fix: ${error.fix}`),
      ...(FINAL.includes(state) ? [] : [h("progress", { max: 1, value: progress ?? 0, "aria-label": `Progress of ${this.scan.job.scan}` })]),
    );
  }

  step(by) {
    const object = this.scan.step(by);
    if (object) this[this.now].lookAt(object);
  }

  name() {
    // The field lies in the first tab, and what is hidden takes no focus: its letters would be keys.
    this.tabs.choose(0, false);
    this.objects.naming.focus();
  }

  async remove() {
    const { size } = this.scan.selected;
    const sure = size < MANY || (await confirmed(`Delete ${many(size, "object")}?`, "Undo brings them back.", "Delete"));
    if (sure) await this.scan.remove();
  }

  split() {
    const [label] = this.scan.selected;
    const object = this.scan.objects.get(label);
    if (!object || this.scan.selected.size !== 1) return;
    if (this.now !== "viewer") this.mode("viewer");
    if (!this.viewer.osd) {
      tell("The line is drawn on the picture, which is being prepared.");
      return;
    }
    this.cutting.hidden = false;
    this.viewer.cut(object, (line) => {
      this.cutting.hidden = true;
      // A click alone is no line.
      if (line) this.scan.split(label, line);
    });
  }

  cancelSplit() {
    if (!this.viewer.cutting) return false;
    this.viewer.endCut();
    this.cutting.hidden = true;
    return true;
  }
}

/** Tabs as ARIA describes them. */
class Tabs {
  constructor(panels) {
    this.tabs = panels.map(([name], index) =>
      h("button", { type: "button", role: "tab", id: `tab-${index}`, "aria-controls": `panel-${index}`, onclick: () => this.choose(index), onkeydown: (event) => this.key(event, index) }, name));
    this.panels = panels.map(([, content], index) => h("div", { role: "tabpanel", id: `panel-${index}`, "aria-labelledby": `tab-${index}`, tabindex: 0 }, content));
    this.element = h("div", { class: "tabs" }, h("div", { role: "tablist", "aria-label": "Details" }, this.tabs), this.panels);
    this.choose(0, false);
  }

  choose(index, focus = true) {
    this.tabs.forEach((tab, each) => {
      tab.setAttribute("aria-selected", String(each === index));
      tab.tabIndex = each === index ? 0 : -1;
      this.panels[each].hidden = each !== index;
    });
    if (focus) this.tabs[index].focus();
  }

  key(event, index) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    this.choose((index + by + this.tabs.length) % this.tabs.length);
  }
}
