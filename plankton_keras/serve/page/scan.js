// What is known of an open scan: its objects, which are selected and shown, and corrections in their order.

import { json, jobPath, listen, patiently } from "./api.js";
import { announce, diameter, many } from "./dom.js";
import { fault } from "./notices.js";
import { FINAL } from "./jobs.js";

const PALETTE = ["#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"];
const MOST_KEYS = 9;

/** Events: `job`, `objects`, `selection`, `shown` (classes, outlines or filters), `hover`. */
export class OpenScan extends EventTarget {
  constructor(id, job) {
    super();
    Object.assign(this, { id, job, objects: new Map(), classes: new Map(), revision: 0 });
    this.selected = new Set();
    this.hidden = new Set();
    this.outlines = true;
    this.hovered = null;
    this.several = false;
    this.commonest = [];
    this.filter = { taxon: "", below: 1, low: null, high: null, uncorrected: false, sort: "taxon" };
    this.versions = new Map();
    // The order of the gallery before the last correction; null once something else is selected.
    this.kept = null;
    this.over = new AbortController();
    this.turn = Promise.resolve();
    this.refused = 0;
    if (job.state === "done") this.load().catch(fault);
    if (!FINAL.includes(job.state)) {
      this.stop = listen(jobPath(id, "events"), { changed: (each) => this.changed(each), removed: () => this.reload(), back: () => this.reload() });
    }
  }

  close() {
    this.stop?.();
    this.over.abort();
    this.closed = true;
  }

  raise(kind) {
    if (!this.closed) this.dispatchEvent(new Event(kind));
  }

  changed(job) {
    const before = this.job.state;
    this.job = job;
    if (FINAL.includes(job.state)) this.stop?.();
    if (job.state === "done" && before !== "done") this.load().catch(fault);
    this.raise("job");
  }

  async reload() {
    try {
      this.changed(await json("GET", jobPath(this.id)));
    } catch (error) {
      // Somebody deleted it.
      if (error.status === 404) this.stop();
      fault(error);
    }
  }

  async load() {
    const { revision, classes, objects } = await patiently(jobPath(this.id, "objects"), fault, this.over.signal);
    this.revision = revision;
    this.classes = new Map(classes.map((each) => [each.name, each]));
    this.objects = new Map(objects.map((object) => [object.label, prepared(object)]));
    this.selected = new Set([...this.selected].filter((label) => this.objects.has(label)));
    if (!this.commonest.length) this.commonest = this.counts().map(([name]) => name).slice(0, MOST_KEYS);
    this.loaded = true;
    this.raise("objects");
    this.raise("selection");
  }

  /** Number of objects of each class, those with most first; classes without one last. */
  counts() {
    const counts = new Map([...this.classes.keys()].map((name) => [name, 0]));
    for (const { taxon } of this.objects.values()) counts.set(taxon, (counts.get(taxon) ?? 0) + 1);
    return [...counts].sort((one, other) => other[1] - one[1] || one[0].localeCompare(other[0]));
  }

  colourOf(taxon) {
    const known = this.classes.get(taxon)?.colour;
    if (known) return known;
    let sum = 0;
    for (const letter of taxon) sum = (31 * sum + letter.codePointAt(0)) % 65521;
    return PALETTE[sum % PALETTE.length];
  }

  livingOf(taxon) {
    return this.classes.get(taxon)?.living ?? true;
  }

  picture(label) {
    const version = this.versions.get(label);
    return jobPath(this.id, "objects", `${label}.png`) + (version ? `?revision=${version}` : "");
  }

  // What is shown

  setFilter(values) {
    Object.assign(this.filter, values);
    this.raise("shown");
  }

  toggleOutlines() {
    this.outlines = !this.outlines;
    announce(`Outlines ${this.outlines ? "on" : "off"}.`);
    this.raise("shown");
  }

  selectShown() {
    this.select(this.order().map((object) => object.label), false);
    announce(`${many(this.selected.size, "object")} selected.`);
  }

  toggleClasses(names, visible) {
    for (const name of names) visible ? this.hidden.delete(name) : this.hidden.add(name);
    this.raise("shown");
  }

  /** The objects that pass the filters, in the order of the gallery. */
  order() {
    const { taxon, below, low, high, uncorrected, sort } = this.filter;
    const passes = (object) =>
      (!taxon || object.taxon === taxon) &&
      (below >= 1 || (object.score ?? 0) < below) &&
      (low === null || diameter(object) >= low) &&
      (high === null || diameter(object) <= high) &&
      !(uncorrected && object.corrected);
    const orders = {
      taxon: (one, other) => one.taxon.localeCompare(other.taxon) || diameter(other) - diameter(one),
      size: (one, other) => diameter(other) - diameter(one),
      small: (one, other) => diameter(one) - diameter(other),
      score: (one, other) => (one.score ?? 0) - (other.score ?? 0),
    };
    return [...this.objects.values()].filter(passes).sort(orders[sort]);
  }

  // What is selected

  /** Selects objects; `add` keeps the others, and lets go of those that were selected. */
  select(labels, add = this.several) {
    const before = add ? new Set(this.selected) : new Set();
    for (const label of labels) add && before.has(label) ? before.delete(label) : before.add(label);
    this.selected = before;
    this.kept = null;
    this.raise("selection");
  }

  step(by) {
    const shown = new Set(this.order().map((object) => object.label));
    if (!shown.size) return null;
    // A corrected object may have left its place: what came next there comes next.
    const order = this.kept ?? [...shown];
    const at = order.indexOf(this.kept ? this.keptAt : this.last());
    const ahead = by > 0 ? order.slice(at + 1) : order.slice(0, at < 0 ? order.length : at).reverse();
    const label = ahead.find((each) => shown.has(each)) ?? (by > 0 ? [...shown][0] : [...shown].at(-1));
    const next = this.objects.get(label);
    this.select([label], false);
    announce(`Object ${next.label}, ${next.taxon}.`);
    return next;
  }

  /** The label that was selected last. */
  last() {
    return [...this.selected].at(-1);
  }

  hover(label) {
    if (label === this.hovered) return;
    this.hovered = label;
    this.raise("hover");
  }

  // Corrections: one after the other, each of the revision that the one before gave

  correct(operation, said) {
    this.kept ??= this.order().map((object) => object.label);
    this.keptAt = this.last() ?? this.keptAt;
    return this.inTurn(() => json("POST", jobPath(this.id, "corrections"), { revision: this.revision, ...operation }), said);
  }

  undo() {
    return this.inTurn(() => json("POST", jobPath(this.id, "corrections", "undo"), { revision: this.revision }), "Undone.");
  }

  redo() {
    return this.inTurn(() => json("POST", jobPath(this.id, "corrections", "redo"), { revision: this.revision }), "Redone.");
  }

  rename(taxon, labels = [...this.selected]) {
    if (!labels.length) return undefined;
    return this.correct({ op: "rename", labels, taxon }, `${many(labels.length, "object")}: ${taxon}.`);
  }

  remove(labels = [...this.selected]) {
    if (!labels.length) return undefined;
    return this.correct({ op: "delete", labels }, `${many(labels.length, "object")} deleted.`);
  }

  merge(labels = [...this.selected]) {
    if (labels.length < 2) return undefined;
    return this.correct({ op: "merge", labels }, `${many(labels.length, "object")} merged.`);
  }

  split(label, line) {
    return this.correct({ op: "split", label, line }, "Split.");
  }

  inTurn(work, said) {
    const asked = this.refused;
    this.turn = this.turn.then(async () => {
      // Meant for objects that someone else had changed: of those that are shown now, it may undo or change what it should not.
      if (asked !== this.refused) return;
      try {
        this.take(await work());
        announce(said);
      } catch (error) {
        fault(error);
        if (error.status !== 409) return;
        await this.load().catch(fault);
        this.refused++;
      }
    });
    return this.turn;
  }

  take({ revision, objects, removed }) {
    this.revision = revision;
    const gone = (removed ?? []).filter((label) => this.selected.has(label));
    for (const label of removed ?? []) this.objects.delete(label);
    for (const object of objects) {
      const before = this.objects.get(object.label);
      const same = before && before.area_px === object.area_px && String(before.box) === String(object.box);
      if (!same) this.versions.set(object.label, revision);
      this.objects.set(object.label, prepared(object));
    }
    for (const label of gone) this.selected.delete(label);
    // What replaces selected objects is selected: the parts of a split, the whole of a merge.
    if (gone.length || (removed?.length && objects.length)) for (const { label } of objects) this.selected.add(label);
    this.raise("objects");
    this.raise("selection");
  }
}

/** An object as the views take it: with the outlines that `simplified` makes of its own. */
function prepared(object) {
  return { ...object, outline: object.outline ?? [], coarser: new Map() };
}

/** Whether a point of the scan lies in an object. */
export function contains(object, x, y) {
  let inside = false;
  for (const ring of object.outline) {
    for (let at = 0, before = ring.length - 1; at < ring.length; before = at++) {
      const [[x1, y1], [x2, y2]] = [ring[at], ring[before]];
      if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
    }
  }
  return inside;
}
